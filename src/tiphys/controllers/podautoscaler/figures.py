"""How many autoscalers there are and what each wants, with upstream's names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object

_PREFIX: Final = "horizontal_pod_autoscaler_controller"


def families(scalers: Sequence[Object]) -> Iterator[Metric]:
    """Yield the families of these autoscalers."""
    yield GaugeMetricFamily(
        f"{_PREFIX}_num_horizontal_pod_autoscalers",
        "[ALPHA] Current number of controlled HPA objects.",
        value=len(scalers),
    )
    desired = GaugeMetricFamily(
        f"{_PREFIX}_desired_replicas",
        "[ALPHA] Current desired replica count for HPA objects.",
        labels=("namespace", "hpa_name"),
    )
    for scaler in scalers:
        wanted = (scaler.get("status") or {}).get("desiredReplicas")
        if wanted is not None:
            meta = scaler["metadata"]
            desired.add_metric((meta["namespace"], meta["name"]), wanted)
    yield desired
