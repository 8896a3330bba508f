"""How many volumes are attached, should be, and are used on each node: what a scrape shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.controllers.attachdetach.plan import Need


def _plugin(driver: str) -> str:
    return f"kubernetes.io/csi:{driver}"


def families(needs: Sequence[Need], attachments: Sequence[Object]) -> Iterator[Metric]:
    """Yield them for what all pods need attached where they run, and what is asked of attachers."""
    total = GaugeMetricFamily(
        "attachdetach_controller_total_volumes", "[ALPHA] Volumes that are attached, and that are to be.",
        labels=("plugin_name", "state"),
    )  # fmt: skip
    states = Counter(
        (_plugin(one["spec"]["attacher"]), "actual_state_of_world")
        for one in attachments
        if (one.get("status") or {}).get("attached")
    )
    wanted = {need.attachment: need.driver for need in needs}
    states.update((_plugin(driver), "desired_state_of_world") for driver in wanted.values())
    total.add_all(states)
    yield total
    used = GaugeMetricFamily(
        "storage_count_attachable_volumes_in_use", "[ALPHA] Volumes that pods of a node use.",
        labels=("node", "volume_plugin"),
    )  # fmt: skip
    used.add_all(Counter((need.node, _plugin(need.driver)) for need in needs))
    yield used
