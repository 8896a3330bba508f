"""Counts zones and evictions of nodes, as ``node_collector_*``. The controller calls it where it acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.controllers import metrics
from tiphys.controllers.nodelifecycle.zones import zone_of

_GIVEN_UP: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class ZoneTally:
    """Shows the zones of one controller; those that are gone are not shown any more."""

    def __init__(self) -> None:
        self._shown: Mapping[str, tuple[int, int]] = {}

    def show(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Take how many nodes of each zone are ready, and how many are not."""
        if sizes == self._shown:
            return
        for zone in self._shown.keys() - sizes.keys():
            for family in (metrics.ZONE_SIZE, metrics.ZONE_HEALTH, metrics.ZONE_UNHEALTHY):
                family.remove(zone)
        for zone, (ready, down) in sizes.items():
            metrics.ZONE_SIZE.labels(zone).set(ready + down)
            metrics.ZONE_HEALTH.labels(zone).set(100 * ready / (ready + down))
            metrics.ZONE_UNHEALTHY.labels(zone).set(down)
        self._shown = dict(sizes)


def _gives_up(taints: Sequence[Object]) -> bool:
    return any(one.get("key") in _GIVEN_UP and one.get("effect") == "NoExecute" for one in taints)


def tainted(node: Object, taints: Sequence[Object]) -> None:
    """Count a node whose pods are given up with these taints."""
    if _gives_up(taints) and not _gives_up((node.get("spec") or {}).get("taints") or ()):
        metrics.NODE_EVICTIONS.labels(zone_of(node)).inc()
