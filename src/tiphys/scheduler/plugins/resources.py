"""Filters and scores over what a node has left: resources, host ports, images.

NodeResourcesFit, NodeResourcesBalancedAllocation, NodePorts and ImageLocality, with upstream's reasons.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiphys.scheduler.columns import PODS_COLUMN, Columns, Mask
from tiphys.scheduler.framework import MAX_SCORE, Filtered, Scores
from tiphys.scheduler.podinfo import PodInfo

_WILDCARD = "0.0.0.0"
_MIB = 1024 * 1024
_IMAGE_MIN_BYTES = 23 * _MIB
_IMAGE_MAX_BYTES = 1000 * _MIB


class NodeResourcesFit:
    """Requests must fit into what is allocatable; less used nodes are preferred (LeastAllocated)."""

    name = "NodeResourcesFit"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        wanted = columns.request_vector(info)
        asked = np.flatnonzero(wanted)
        needs = wanted[asked, None]
        allocatable = columns.allocatable[asked]
        fits = columns.used[asked] + needs <= allocatable
        passes = np.asarray(fits.all(axis=0))
        if passes.all():
            return None

        def reasons(row: int) -> list[str]:
            return _lacking(
                columns, [int(index) for index, ok in zip(asked, fits[:, row], strict=True) if not ok]
            )

        # An empty node would be too small: no victim can help.
        return Filtered(passes, reasons, unresolvable=(needs > allocatable)[asked != PODS_COLUMN].any(axis=0))

    def lacks(self, info: PodInfo, columns: Columns, row: int) -> list[str]:
        """Return the reasons against one row."""
        wanted = columns.request_vector(info)
        short = np.flatnonzero((wanted > 0) & (columns.used[:, row] + wanted > columns.allocatable[:, row]))
        return _lacking(columns, [int(index) for index in short])

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        free, capacity = _free_after(info, columns)
        share = np.divide(free, capacity, out=np.zeros(free.shape), where=capacity > 0)
        return np.asarray(np.floor(np.clip(share, 0, 1) * MAX_SCORE).mean(axis=0))


def _lacking(columns: Columns, indexes: list[int]) -> list[str]:
    names = list(columns.resources)
    return ["Too many pods" if index == PODS_COLUMN else f"Insufficient {names[index]}" for index in indexes]


class BalancedAllocation:
    """Prefers nodes whose cpu and memory would be used evenly."""

    name = "NodeResourcesBalancedAllocation"

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        if not info.requests:
            return None
        wanted = columns.request_vector(info)[:2, None]
        capacity = columns.allocatable[:2].astype(np.float64)
        used = np.divide(columns.used[:2] + wanted, capacity, out=np.ones(capacity.shape), where=capacity > 0)
        spread = np.abs(np.minimum(used[0], 1) - np.minimum(used[1], 1)) / 2
        return np.asarray((1 - spread) * MAX_SCORE)


def _free_after(info: PodInfo, columns: Columns) -> tuple[Scores, Scores]:
    capacity = columns.allocatable[:2].astype(np.float64)
    wanted = np.array([[info.nonzero_cpu], [info.nonzero_memory]], dtype=np.float64)
    return capacity - columns.nonzero - wanted, capacity


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


class ImageLocality:
    """Prefers nodes that have the pod's images already, larger ones the more."""

    name = "ImageLocality"

    def __init__(self) -> None:
        self._generation = -1
        self._images: dict[str, dict[int, int]] = {}

    def _index(self, columns: Columns) -> dict[str, dict[int, int]]:
        if self._generation != columns.static_generation:
            self._generation = columns.static_generation
            self._images = {}
            for row in columns.rows.values():
                for image in ((columns.nodes[row] or {}).get("status") or {}).get("images") or ():
                    for name in image.get("names") or ():
                        self._images.setdefault(name, {})[row] = int(image.get("sizeBytes") or 0)
        return self._images

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        index = self._index(columns)
        sums = np.zeros(len(columns.names))
        total = max(len(columns.rows), 1)
        for image in info.images:
            rows = index.get(image) or index.get(f"{image}:latest") or {}
            for row, size_bytes in rows.items():
                sums[row] += size_bytes * len(rows) / total
        if not sums.any():
            return None
        ceiling = _IMAGE_MAX_BYTES * max(len(info.images), 1)
        clipped = np.clip(sums, _IMAGE_MIN_BYTES, ceiling)
        return MAX_SCORE * (clipped - _IMAGE_MIN_BYTES) / (ceiling - _IMAGE_MIN_BYTES)
