"""Filters and scores over what a node has left: resources, host ports, images.

NodeResourcesFit, NodeResourcesBalancedAllocation, NodePorts and ImageLocality, with upstream's reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import PODS_COLUMN, Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.framework import MAX_SCORE, Filtered, Scores
from tiphys.scheduler.hints import Change
from tiphys.scheduler.plugins.demand import Demand, Demands
from tiphys.scheduler.podinfo import PodInfo, milli_or_value

_SCORES_KEPT = 256
_WILDCARD = "0.0.0.0"
_MIB = 1024 * 1024
_IMAGE_MIN_BYTES = 23 * _MIB
_IMAGE_MAX_BYTES = 1000 * _MIB


class NodeResourcesFit:
    """Requests must fit into what is allocatable; the profile's strategy ranks the nodes."""

    name = "NodeResourcesFit"

    def __init__(self, demands: Demands | None = None) -> None:
        self._demands = demands or Demands()

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        demand = self._demands.of(info, columns)
        return Filtered(demand.fits, _Shortages(demand, columns), demand.hopeless)

    def lacks(self, info: PodInfo, columns: Columns, row: int) -> list[str]:
        """Return the reasons against one row."""
        wanted = self._demands.judgement.wanted(info, columns)
        for name in columns.devices.served(info.requests):
            if not columns.allocatable[columns.resources[name], row]:
                wanted[columns.resources[name]] = 0  # devices serve it, or nobody: not judged here
        short = np.flatnonzero((wanted > 0) & (columns.used[:, row] + wanted > columns.allocatable[:, row]))
        return _lacking(columns, [int(index) for index in short])

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A node helps that is large enough and offers more than before; a pod that leaves something."""
        if change.is_node:
            return change.new is not None and self._offers(info, change.old, change.new, columns)
        if change.before is None or change.after is None:
            return True
        before, after = change.before.requests, change.after.requests
        return any(before.get(name, 0) > after.get(name, 0) for name in info.requests)

    def _offers(self, info: PodInfo, old: Object | None, new: Object, columns: Columns) -> bool:
        served = columns.devices.served(info.requests)
        asked = {"pods": 1, **{name: amount for name, amount in info.requests.items() if name not in served}}
        asked = {name: amount for name, amount in asked.items() if not self._demands.judgement.ignores(name)}
        offered = _allocatable(new, asked)
        if any(offered[name] < amount for name, amount in asked.items()):
            return False
        before = _allocatable(old or {}, asked)
        return old is None or bool(served) or any(offered[name] > before[name] for name in asked)

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        return self._demands.of(info, columns).preferred


def _allocatable(node: Object, names: Iterable[str]) -> dict[str, int]:
    offered = (node.get("status") or {}).get("allocatable") or {}
    return {name: milli_or_value(name, offered.get(name, "0")) for name in names}


class _Shortages:
    """Reasons by row, found for all rows at the first question."""

    def __init__(self, demand: Demand, columns: Columns) -> None:
        self._demand = demand
        self._columns = columns
        self._codes: list[int] = []
        self._texts: dict[int, list[str]] = {}

    def __call__(self, row: int) -> list[str]:
        if not self._codes:
            self._codes = self._find()
        code = self._codes[row]
        if code not in self._texts:
            bits = range(len(self._columns.resources))
            self._texts[code] = _lacking(self._columns, [bit for bit in bits if code >> bit & 1])
        return self._texts[code]

    def _find(self) -> list[int]:
        wanted, used = self._demand.wanted[:, None], self._columns.used[: len(self._demand.wanted)]
        allocatable = self._columns.allocatable[: len(self._demand.wanted)]
        short = (wanted > 0) & (used + wanted > allocatable)
        short[self._demand.served] &= allocatable[self._demand.served] > 0
        weights = np.left_shift(1, np.arange(len(wanted)))[:, None]
        codes: list[int] = (short * weights).sum(axis=0).tolist()
        return codes


def _lacking(columns: Columns, indexes: list[int]) -> list[str]:
    names = list(columns.resources)
    return ["Too many pods" if index == PODS_COLUMN else f"Insufficient {names[index]}" for index in indexes]


class BalancedAllocation:
    """Prefers nodes whose resources would be used evenly; leaves pods that ask for none of them alone."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, demands: Demands | None = None) -> None:
        self._demands = demands or Demands()

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        if not any(info.requests.get(name) for name in self._demands.judgement.balanced):
            return None
        return self._demands.of(info, columns).balanced


def _clashes(port: tuple[str, str, int], taken: Any) -> bool:
    address, protocol, number = port
    if address == _WILDCARD:
        return any(own[1] == protocol and own[2] == number for own in taken)
    return port in taken or (_WILDCARD, protocol, number) in taken


class NodePorts:
    """Host ports must be free."""

    name = "NodePorts"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.ports:
            return None
        passes = columns.alive.copy()
        for row in columns.rows.values():
            taken = columns.ports[row]
            if taken and any(_clashes(port, taken) for port in info.ports):
                passes[row] = False
        return Filtered(passes, lambda _row: ("node(s) didn't have free ports for the requested pod ports",))

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A new node helps, and a pod that had one of the ports."""
        if change.is_node:
            return change.old is None
        if change.before is None:
            return True
        return any(_clashes(port, change.before.ports) for port in info.ports)


class ImageLocality:
    """Prefers nodes that have the pod's images already, larger ones the more."""

    name = "ImageLocality"

    def __init__(self) -> None:
        self._generation = -1
        self._images: dict[str, dict[int, int]] = {}
        self._scores: dict[tuple[str, ...], Scores | None] = {}

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        if self._generation != columns.static_generation or len(self._scores) > _SCORES_KEPT:
            self._generation = columns.static_generation
            self._images = _index(columns)
            self._scores = {}
        if info.images not in self._scores:
            self._scores[info.images] = self._score(info.images, columns)
        return self._scores[info.images]

    def _score(self, images: tuple[str, ...], columns: Columns) -> Scores | None:
        sums = np.zeros(len(columns.names))
        total = max(len(columns.rows), 1)
        for image in images:
            rows = self._images.get(_tagged(image)) or {}
            spread = len(rows) / total
            for row, size_bytes in rows.items():
                sums[row] += int(size_bytes * spread)
        if not sums.any():
            return None
        ceiling = _IMAGE_MAX_BYTES * max(len(images), 1)
        clipped = np.clip(sums, _IMAGE_MIN_BYTES, ceiling)
        return np.floor(MAX_SCORE * (clipped - _IMAGE_MIN_BYTES) / (ceiling - _IMAGE_MIN_BYTES))


def _tagged(image: str) -> str:
    """Return the name as nodes list it: without tag or digest it means ``latest``."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _index(columns: Columns) -> dict[str, dict[int, int]]:
    images: dict[str, dict[int, int]] = {}
    for row in columns.rows.values():
        for image in ((columns.nodes[row] or {}).get("status") or {}).get("images") or ():
            for name in image.get("names") or ():
                images.setdefault(name, {})[row] = int(image.get("sizeBytes") or 0)
    return images
