"""A scheduler plugin: keeps pods off nodes that are soon serviced, and prefers cheap ones.

A package that offers it says so in its pyproject.toml; the scheduler then finds it by itself:

    [project.entry-points."tiphys.scheduler.plugins"]
    fleet = "scheduler_plugin:Fleet"
"""

from __future__ import annotations

import numpy as np

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import Columns, Mask
from tiphys.scheduler.framework import Filtered, Scores, normalize
from tiphys.scheduler.plugins.static import ShapeCache
from tiphys.scheduler.podinfo import PodInfo

SERVICED, PRICE = "example.com/serviced-soon", "example.com/price"


def labels(node: Object | None) -> dict[str, str]:
    return (node or {}).get("metadata", {}).get("labels") or {}


class Fleet:
    name = "Fleet"
    weight = 5

    def __init__(self) -> None:
        self._masks = ShapeCache()  # kept until a label, a taint or the set of nodes changes

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        """Return a mask over all nodes; None when every node will do."""
        passes = self._masks.get_mask(info, columns, lambda node: SERVICED not in labels(node))
        if passes is None:
            return None
        # Ending other pods would not help: preemption need not look at these nodes.
        return Filtered(passes, lambda _row: ("node(s) are soon serviced",), unresolvable=True)

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        """Return numbers from 0 to 100 for all nodes: the cheapest gets most."""
        prices = np.array([float(labels(node).get(PRICE, "0")) for node in columns.nodes])
        return normalize(prices, feasible, reverse=True) if prices.any() else None
