"""Verdicts and scores over what nodes have left, remembered per demand and renewed only where rows changed.

A *demand* is what a pod requests; pods of one workload have the same. Between two decisions usually one row
changes (the one that took the last pod), so asking costs that row, not the cluster.
"""

from __future__ import annotations

import math

import numpy as np

from tiphys.scheduler.columns import PODS_COLUMN, Columns
from tiphys.scheduler.counts import Ints, Mask
from tiphys.scheduler.framework import MAX_SCORE, Scores
from tiphys.scheduler.podinfo import PodInfo

_DEMANDS_KEPT = 64
_RENEW_ALL_SHARE = 4
_ONE_BY_ONE = 6


class Demand:
    """One demand's columns: does it fit, could it ever, and both scores of NodeResources plugins."""

    def __init__(self, info: PodInfo) -> None:
        self._info = info
        self._mark = (-1, 0)
        self.fits: Mask = np.zeros(0, dtype=np.bool_)
        self.hopeless: Mask = np.zeros(0, dtype=np.bool_)
        """An empty node would be too small."""
        self.least: Scores = np.zeros(0)
        self.balanced: Scores = np.zeros(0)
        self.wanted: Ints = np.zeros(0, dtype=np.int64)
        self._asked: Ints = np.zeros(0, dtype=np.int64)
        self._needs: list[tuple[int, int]] = []
        self._wanted_base = (0, 0)

    def renew(self, columns: Columns) -> None:
        """Bring every row up to date."""
        size = len(columns.names)
        self._mark, touched = columns.touched_since(self._mark)
        if touched is not None and len(self.fits) == size:
            if not touched:
                return
            if len(touched) <= _ONE_BY_ONE:
                for row in touched:
                    self._renew_row(columns, row)
                return
            rows = np.unique(touched)
            if len(rows) * _RENEW_ALL_SHARE < size:
                self._renew_rows(columns, rows)
                return
        self.wanted = columns.request_vector(self._info)
        self._asked = np.flatnonzero(self.wanted)
        self._needs = [(int(index), int(self.wanted[index])) for index in self._asked]
        self._wanted_base = (int(self.wanted[0]), int(self.wanted[1]))
        self.fits = np.zeros(size, dtype=np.bool_)
        self.hopeless = np.zeros(size, dtype=np.bool_)
        self.least, self.balanced = np.zeros(size), np.zeros(size)
        self._renew_rows(columns, np.arange(size))

    def _renew_row(self, columns: Columns, row: int) -> None:
        """Do what ``_renew_rows`` does, to the last bit: for few rows plain numbers cost less than arrays."""
        offered: list[int] = columns.allocatable[:, row].tolist()
        used: list[int] = columns.used[:, row].tolist()
        fits, hopeless = True, False
        for index, amount in self._needs:
            fits = fits and used[index] + amount <= offered[index]
            hopeless = hopeless or (amount > offered[index] and index != PODS_COLUMN)
        self.fits[row], self.hopeless[row] = fits, hopeless
        nonzero: list[int] = columns.nonzero[:, row].tolist()
        least, shares = 0.0, [1.0, 1.0]
        for index, own in enumerate((self._info.nonzero_cpu, self._info.nonzero_memory)):
            capacity = float(offered[index])
            if capacity > 0:
                free = max(capacity - nonzero[index] - own, 0.0)
                least += math.floor(free * MAX_SCORE / capacity)
                shares[index] = min((used[index] + self._wanted_base[index]) / capacity, 1.0)
        self.least[row] = math.floor(least / 2)
        self.balanced[row] = math.floor((1 - abs(shares[0] - shares[1]) / 2) * MAX_SCORE)

    def _renew_rows(self, columns: Columns, rows: Ints) -> None:
        where = np.ix_(self._asked, rows)
        needs = self.wanted[self._asked, None]
        allocatable = columns.allocatable[where]
        self.fits[rows] = (columns.used[where] + needs <= allocatable).all(axis=0)
        self.hopeless[rows] = (needs > allocatable)[self._asked != PODS_COLUMN].any(axis=0)
        capacity = columns.allocatable[:2, rows].astype(np.float64)
        nonzero = np.array([[self._info.nonzero_cpu], [self._info.nonzero_memory]], dtype=np.float64)
        free = np.clip(capacity - columns.nonzero[:, rows] - nonzero, 0, None)
        share = np.divide(free * MAX_SCORE, capacity, out=np.zeros(free.shape), where=capacity > 0)
        self.least[rows] = np.floor(np.floor(share).mean(axis=0))
        used = np.divide(
            columns.used[:2, rows] + self.wanted[:2, None],
            capacity,
            out=np.ones(capacity.shape),
            where=capacity > 0,
        )
        used = np.minimum(used, 1)
        self.balanced[rows] = np.floor((1 - np.abs(used[0] - used[1]) / 2) * MAX_SCORE)


class Demands:
    """The demands seen lately; the plugins of one profile share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Demand] = {}
        self._last: tuple[PodInfo, Demand] | None = None

    def of(self, info: PodInfo, columns: Columns) -> Demand:
        """Return the demand of a pod, up to date."""
        if self._last is not None and self._last[0] is info:
            self._last[1].renew(columns)
            return self._last[1]
        key = (*info.requests.items(), info.nonzero_cpu, info.nonzero_memory)
        demand = self._known.pop(key, None) or Demand(info)
        self._known[key] = demand  # the last in the order was used last
        if len(self._known) > _DEMANDS_KEPT:
            del self._known[next(iter(self._known))]
        demand.renew(columns)
        self._last = (info, demand)
        return demand
