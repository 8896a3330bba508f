"""What extenders said about the nodes for one pod, as plugins for one decision.

Pure. By name, as rows may have changed hands while the extenders were asked: a node that was not asked about
is not taken.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.framework import Filtered, Scores
from tiphys.scheduler.podinfo import PodInfo


@dataclass(frozen=True, slots=True)
class Allowed:
    """The nodes that an extender let through, and why it did not let the others."""

    name: str
    nodes: frozenset[str]
    reasons: dict[str, str] = field(default_factory=dict)
    final: frozenset[str] = frozenset()
    """Nodes that it would not let through with fewer pods either."""

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        passes: Mask = np.zeros(len(columns.names), dtype=np.bool_)
        for node in self.nodes:
            row = columns.rows.get(node)
            if row is not None:
                passes[row] = True

        def reasons(row: int) -> tuple[str, ...]:
            text = self.reasons.get(columns.names[row], "")
            return (text,) if text else ()

        # Of nodes that it was not asked about nothing is known: those others have ruled out already.
        unresolvable = np.ones(len(columns.names), dtype=np.bool_)
        for node in self.reasons.keys() - self.final:
            row = columns.rows.get(node)
            if row is not None:
                unresolvable[row] = False
        return Filtered(passes, reasons, unresolvable)


@dataclass(frozen=True, slots=True)
class Preferred:
    """What extenders prefer: scores by node, weights included."""

    points: dict[str, float]
    name: str = "Extenders"

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        if not self.points:
            return None
        scores = np.zeros(len(columns.names))
        for node, points in self.points.items():
            row = columns.rows.get(node)
            if row is not None:
                scores[row] = points
        return scores
