"""What is counted of autoscalers, with upstream's names: how many there are, what each wants, how looks went.

Owns: what a look and the measuring of a metric are counted as.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.client.counting import Counts, Spreads
from tiphys.controllers.metrics import REGISTRY

_PREFIX: Final = "horizontal_pod_autoscaler_controller"

_SECONDS: Final = tuple(0.001 * 2**power for power in range(15))
_LABELS: Final = ("action", "error")
_OF_METRICS: Final = (*_LABELS, "metric_type")
NO_ERROR: Final = "none"
OF_SPEC: Final = "spec"
"""What an autoscaler asks for cannot be done."""
INTERNAL: Final = "internal"
_ACTIONS: Final = (
    "The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should "
    "be either 'spec', 'internal', or 'none'."
)
_FIRST: Final = (
    "Note that if both spec and internal errors happen during a reconciliation, the first one to occur is "
    "reported in `error` label."
)
_OF_TYPE: Final = "The label 'metric_type' corresponds to HPA.spec.metrics[*].type"
LOOKS: Final = Counts(
    f"{_PREFIX}_reconciliations",
    f"[ALPHA] Number of reconciliations of HPA controller. {_ACTIONS} {_FIRST}", _LABELS, REGISTRY,
)  # fmt: skip
LOOK_SECONDS: Final = Spreads(
    f"{_PREFIX}_reconciliation_duration_seconds",
    f"[ALPHA] The time(seconds) that the HPA controller takes to reconcile once. {_ACTIONS} {_FIRST}",
    _LABELS, _SECONDS, REGISTRY,
)  # fmt: skip
MEASURED: Final = Counts(
    f"{_PREFIX}_metric_computation", f"[ALPHA] Number of metric computations. {_ACTIONS} {_OF_TYPE}",
    _OF_METRICS, REGISTRY,
)  # fmt: skip
MEASURED_SECONDS: Final = Spreads(
    f"{_PREFIX}_metric_computation_duration_seconds",
    f"[ALPHA] The time(seconds) that the HPA controller takes to calculate one metric. {_ACTIONS} {_OF_TYPE}",
    _OF_METRICS, _SECONDS, REGISTRY,
)  # fmt: skip


def action(replicas: int, wanted: int) -> str:
    """Return what a step from so many replicas to others is counted as."""
    if wanted == replicas:
        return "none"
    return "scale_up" if wanted > replicas else "scale_down"


def looked(what: str, error: str, seconds: float) -> None:
    """Count a look at an autoscaler."""
    LOOKS.labels(what, error).inc()
    LOOK_SECONDS.labels(what, error).observe(seconds)


def measured(what: str, error: str, kind: str, seconds: float) -> None:
    """Count the measuring of a metric of a kind."""
    MEASURED.labels(what, error, kind).inc()
    MEASURED_SECONDS.labels(what, error, kind).observe(seconds)


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
