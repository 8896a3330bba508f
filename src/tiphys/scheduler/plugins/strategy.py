"""How NodeResourcesFit ranks nodes: the emptiest, the fullest, or by a shape over how full they would be.

Pure. Whole numbers throughout, rounded as upstream rounds them: a pod must not land elsewhere for a fraction.
Source: kubescheduler.config.k8s.io/v1, ScoringStrategy.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.counts import Ints

LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
STRATEGIES = (LEAST, MOST, RATIO)
CORE_RESOURCES = (("cpu", 1), ("memory", 1))
_FULL = 100
_SHAPE_POINTS = 10
"""A shape's scores end there; a plugin's end at a hundred."""


@dataclass(frozen=True)
class Strategy:
    """One profile's: which resources weigh what, and for a ratio the points (percent in use, score)."""

    kind: str = LEAST
    resources: tuple[tuple[str, int], ...] = CORE_RESOURCES
    shape: tuple[tuple[int, int], ...] = ()

    def points(self, requested: Ints, capacity: Ints) -> Ints:
        """Judge one resource by row: what would be requested of it, out of what there is."""
        safe = np.maximum(capacity, 1)
        taken = np.clip(requested, 0, capacity)
        if self.kind == LEAST:
            found = (capacity - taken) * _FULL // safe
        elif self.kind == MOST:
            found = taken * _FULL // safe
        else:
            found = np.array(self._curve)[taken * _FULL // safe]
        return np.where(capacity > 0, found, 0)

    def point(self, requested: int, capacity: int) -> int:
        """Judge as ``points`` does, for one row."""
        if capacity <= 0:
            return 0
        taken = min(max(requested, 0), capacity)
        if self.kind == LEAST:
            return (capacity - taken) * _FULL // capacity
        percent = taken * _FULL // capacity
        return percent if self.kind == MOST else self._curve[percent]

    def score(self, found: list[tuple[Ints, Ints, int]]) -> Ints:
        """Sum up (requested, capacity, weight) of each resource; rows that lack one go by the rest."""
        total = np.zeros(len(found[0][0]) if found else 0, dtype=np.int64)
        weights = total.copy()
        for requested, capacity, weight in found:
            points = self.points(requested, capacity)
            counts = (capacity > 0) & ((points > 0) | (self.kind != RATIO))
            total += points * weight
            weights += counts * weight
        safe = np.maximum(weights, 1)
        return (2 * total + safe) // (2 * safe) if self.kind == RATIO else total // safe

    def score_one(self, found: list[tuple[int, int, int]]) -> int:
        """Sum up as ``score`` does, for one row."""
        total = weights = 0
        for requested, capacity, weight in found:
            points = self.point(requested, capacity)
            total += points * weight
            if capacity > 0 and (points > 0 or self.kind != RATIO):
                weights += weight
        if not weights:
            return 0
        return (2 * total + weights) // (2 * weights) if self.kind == RATIO else total // weights

    @cached_property
    def _curve(self) -> tuple[int, ...]:
        """The shape's score at every percent."""
        return tuple(self._at(percent) for percent in range(_FULL + 1))

    def _at(self, percent: int) -> int:
        scale = _FULL // _SHAPE_POINTS
        before: tuple[int, int] | None = None
        for utilization, score in self.shape:
            if percent <= utilization:
                if before is None:
                    return score * scale
                rise, run = (score - before[1]) * scale * (percent - before[0]), utilization - before[0]
                # Towards zero, also where the line falls.
                return before[1] * scale + (rise // run if rise >= 0 else -(-rise // run))
            before = (utilization, score)
        return self.shape[-1][1] * scale if self.shape else 0
