"""Verdicts and scores over what nodes have left, remembered per demand and renewed only where rows changed.

A *demand* is what a pod requests; pods of one workload have the same. Between two decisions usually one row
changes (the one that took the last pod), so asking costs that row, not the cluster.
"""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.columns import BASE_RESOURCES, PODS_COLUMN, Columns
from tiphys.scheduler.counts import Ints, Mask
from tiphys.scheduler.framework import MAX_SCORE, Scores
from tiphys.scheduler.plugins.strategy import Strategy
from tiphys.scheduler.podinfo import PodInfo

_DEMANDS_KEPT = 64
_RENEW_ALL_SHARE = 4
_ONE_BY_ONE = 6
_MOST = int(MAX_SCORE)
_Number = TypeVar("_Number", int, Ints)
_NONZERO = {"cpu": 0, "memory": 1}
"""Where a pod that asks for nothing counts as if it asked for a little: rows of ``Columns.nonzero``."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a profile judges resources."""

    strategy: Strategy = field(default=Strategy())
    balanced: tuple[str, ...] = ("cpu", "memory")
    ignored: frozenset[str] = frozenset()
    ignored_groups: frozenset[str] = frozenset()
    """What comes before the slash of extended resources that nodes need not have."""

    def ignores(self, resource: str) -> bool:
        """Say whether a node needs not have what is asked of an extended resource."""
        group, slash, _ = resource.partition("/")
        return bool(slash) and (resource in self.ignored or group in self.ignored_groups)

    def wanted(self, info: PodInfo, columns: Columns) -> Ints:
        """Return what a node must have left, in the order of the resource columns."""
        vector = columns.request_vector(info)
        if self.ignored or self.ignored_groups:
            for resource in info.requests:
                if self.ignores(resource):
                    vector[columns.resources[resource]] = 0
        return vector


class Demand:
    """One demand's columns: does it fit, could it ever, and both scores of NodeResources plugins."""

    def __init__(self, info: PodInfo, judgement: Judgement) -> None:
        self._info = info
        self._judgement = judgement
        self._strategy = judgement.strategy
        self._mark = (-1, 0)
        self.fits: Mask = np.zeros(0, dtype=np.bool_)
        self.hopeless: Mask = np.zeros(0, dtype=np.bool_)
        """An empty node would be too small."""
        self.preferred: Scores = np.zeros(0)
        """By the profile's strategy."""
        self.balanced: Scores = np.zeros(0)
        self.wanted: Ints = np.zeros(0, dtype=np.int64)
        self._asked: Ints = np.zeros(0, dtype=np.int64)
        self._needs: list[tuple[int, int]] = []
        self.served: Ints = np.zeros(0, dtype=np.int64)
        """Columns of extended resources that devices may serve, where a node offers none itself."""
        self._scored: list[tuple[int, int, int, int]] = []
        self._shares: list[tuple[int, int]] = []

    def renew(self, columns: Columns) -> None:
        """Bring every row up to date."""
        size = len(columns.names)
        self._mark, touched = columns.touched_since(self._mark)
        if touched is not None and len(self.fits) == size:
            if not touched:
                return
            if len(touched) <= _ONE_BY_ONE and len(self._shares) == 2:
                for row in touched:
                    self._renew_row(columns, row)
                return
            rows = np.unique(touched)
            if len(rows) * _RENEW_ALL_SHARE < size:
                self._renew_rows(columns, rows)
                return
        self._find_needs(columns)
        self.fits = np.zeros(size, dtype=np.bool_)
        self.hopeless = np.zeros(size, dtype=np.bool_)
        self.preferred, self.balanced = np.zeros(size), np.zeros(size)
        self._renew_rows(columns, np.arange(size))

    def _find_needs(self, columns: Columns) -> None:
        requests, judgement = self._info.requests, self._judgement
        nonzero = (self._info.nonzero_cpu, self._info.nonzero_memory)
        self._scored = []
        for name, weight in self._strategy.resources:
            place = _NONZERO.get(name, -1)
            own = nonzero[place] if place >= 0 else requests.get(name, 0)
            if own or name in BASE_RESOURCES:  # a node is not better for devices that nobody asked for
                self._scored.append((columns.column(name), weight, own, place))
        self._shares = [
            (columns.column(name), requests.get(name, 0))
            for name in judgement.balanced
            if requests.get(name, 0) or name in BASE_RESOURCES
        ]
        self.wanted = judgement.wanted(self._info, columns)
        self._asked = np.flatnonzero(self.wanted)
        self._needs = [(int(index), int(self.wanted[index])) for index in self._asked]
        served = columns.devices.served(requests)
        self.served = np.array([columns.column(name) for name in served], dtype=np.int64)

    def _renew_row(self, columns: Columns, row: int) -> None:
        """Do what ``_renew_rows`` does, to the last bit: for few rows plain numbers cost less than arrays."""
        offered: list[int] = columns.allocatable[:, row].tolist()
        used: list[int] = columns.used[:, row].tolist()
        fits, hopeless = True, False
        served = self.served.tolist()
        for index, amount in self._needs:
            if not offered[index] and index in served:
                continue
            fits = fits and used[index] + amount <= offered[index]
            hopeless = hopeless or (amount > offered[index] and index != PODS_COLUMN)
        self.fits[row], self.hopeless[row] = fits, hopeless
        nonzero: list[int] = columns.nonzero[:, row].tolist()
        self.preferred[row] = self._strategy.score_one(
            [
                ((nonzero[place] if place >= 0 else used[index]) + own, offered[index], weight)
                for index, weight, own, place in self._scored
            ]
        )
        self.balanced[row] = self._balance_of_two(used, offered)

    def _balance_of_two(self, used: list[int], offered: list[int]) -> int:
        """Say what ``_balance`` does, for one row and the usual two resources."""
        (first, own), (second, other) = self._shares
        there, beside = offered[first], offered[second]
        if there <= 0 or beside <= 0:
            return _betterment(_MOST, _MOST)
        before = _evenness_of_two(used[first] / there, used[second] / beside)
        after = _evenness_of_two((used[first] + own) / there, (used[second] + other) / beside)
        return _betterment(after, before)

    def _renew_rows(self, columns: Columns, rows: Ints) -> None:
        where = np.ix_(self._asked, rows)
        needs = self.wanted[self._asked, None]
        allocatable = columns.allocatable[where]
        lacking, hopeless = columns.used[where] + needs > allocatable, needs > allocatable
        if len(self.served):
            elsewhere = np.isin(self._asked, self.served)[:, None] & (allocatable == 0)
            lacking, hopeless = lacking & ~elsewhere, hopeless & ~elsewhere
        self.fits[rows] = ~lacking.any(axis=0)
        self.hopeless[rows] = hopeless[self._asked != PODS_COLUMN].any(axis=0)
        if self._scored:
            self.preferred[rows] = self._strategy.score(
                [
                    (
                        (columns.nonzero[place, rows] if place >= 0 else columns.used[index, rows]) + own,
                        columns.allocatable[index, rows],
                        weight,
                    )
                    for index, weight, own, place in self._scored
                ]
            )
        self.balanced[rows] = self._balance(columns, rows)

    def _balance(self, columns: Columns, rows: Ints) -> Ints:
        """Say how much more evenly the node's resources would be used with the pod than without."""
        indexes = [index for index, _ in self._shares]
        own = np.array([[amount] for _, amount in self._shares], dtype=np.int64).reshape(len(indexes), 1)
        used, capacity = columns.used[indexes][:, rows], columns.allocatable[indexes][:, rows]
        return _betterment(_evenness(used + own, capacity), _evenness(used, capacity))


def _evenness(used: Ints, capacity: Ints) -> Ints:
    """Judge by the deviation of the resources' shares from their mean; those a node lacks do not count."""
    has = capacity > 0
    shares = np.minimum(np.divide(used, capacity, out=np.zeros(capacity.shape), where=has), 1.0)
    if len(shares) == 2:  # as usually: no mean is needed
        spread = np.where(has[0] & has[1], np.abs(shares[0] - shares[1]) / 2, 0.0)
    else:
        spread = _deviation(shares, has)
    return ((1 - spread) * _MOST).astype(np.int64)


def _deviation(shares: Scores, has: Mask) -> Scores:
    """Return the standard deviation of what is there, by row; of two shares, half of what is between them."""
    count = has.sum(axis=0)
    mean = shares.sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt((((shares - mean) * has) ** 2).sum(axis=0) / np.maximum(count, 1))
    if len(shares) > 2:
        low = np.where(has, shares, np.inf).min(axis=0)
        high = np.where(has, shares, -np.inf).max(axis=0)
        spread = np.where(count == 2, (np.where(count == 2, high - low, 0.0)) / 2, spread)
    return np.where(count > 1, spread, 0.0)


def _evenness_of_two(share: float, other: float) -> int:
    """Judge as ``_evenness`` does, given how much of two resources is used."""
    return int((1 - abs(min(share, 1.0) - min(other, 1.0)) / 2) * _MOST)


def _betterment(after: _Number, before: _Number) -> _Number:
    """Score from 50, where the pod upsets a balance, by 75, where nothing changes, to 100: it makes one."""
    return (after - before + _MOST // 2) // 2 + _MOST // 2


_USUAL = Judgement()


class Demands:
    """The demands seen lately; the plugins of one profile share them."""

    def __init__(self, judgement: Judgement = _USUAL) -> None:
        self.judgement = judgement
        self._known: dict[tuple[object, ...], Demand] = {}
        self._last: tuple[PodInfo, Demand, int] | None = None

    def of(self, info: PodInfo, columns: Columns) -> Demand:
        """Return the demand of a pod, up to date."""
        serving = columns.devices.serving_generation
        if self._last is not None and self._last[0] is info and self._last[2] == serving:
            self._last[1].renew(columns)
            return self._last[1]
        served = columns.devices.served(info.requests)
        key = (*info.requests.items(), info.nonzero_cpu, info.nonzero_memory, *served)
        demand = self._known.pop(key, None) or Demand(info, self.judgement)
        self._known[key] = demand  # the last in the order was used last
        if len(self._known) > _DEMANDS_KEPT:
            del self._known[next(iter(self._known))]
        demand.renew(columns)
        self._last = (info, demand, serving)
        return demand
