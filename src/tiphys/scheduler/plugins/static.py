"""Filters over what rarely changes: taints, labels, names. Masks are kept per pod shape.

NodeUnschedulable, NodeName, TaintToleration and NodeAffinity, with upstream's reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from tiphys.apimachinery.taints import tolerates
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.framework import Filtered, Scores, normalize
from tiphys.scheduler.hints import Change
from tiphys.scheduler.matching import matches_node_selector, matches_node_term, node_labels
from tiphys.scheduler.podinfo import PodInfo

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
UNTOLERATED = "node(s) had untolerated taint(s)"
ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
ELSEWHERE = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
CONFLICT = "pod affinity terms conflict"
_SHAPES_KEPT = 512


class ShapeCache:
    """One array per pod shape, or part of it, good for one static generation of the columns."""

    def __init__(self, part: str = "shape") -> None:
        """``part``: ``shape``, ``tolerance`` or ``reach``; what the array depends on."""
        self._part = attrgetter(part)
        self._generation = -1
        self._arrays: dict[Any, Any] = {}

    def get(self, info: PodInfo, columns: Columns, make: Callable[[], Any]) -> Any:
        if self._generation != columns.static_generation or len(self._arrays) > _SHAPES_KEPT:
            self._generation = columns.static_generation
            self._arrays.clear()
        key = self._part(info)
        if key not in self._arrays:
            self._arrays[key] = make()
        return self._arrays[key]

    def get_mask(
        self, info: PodInfo, columns: Columns, test: Callable[[dict[str, Any]], bool]
    ) -> Mask | None:
        """Return the rows whose node passes ``test``; None when all do."""

        def make() -> Mask | None:
            mask = by_node(columns, test)
            return None if mask[columns.alive].all() else mask

        mask: Mask | None = self.get(info, columns, make)
        return mask


def by_node(columns: Columns, test: Callable[[dict[str, Any]], bool]) -> Mask:
    """Ask ``test`` of every node."""
    mask = np.zeros(len(columns.names), dtype=np.bool_)
    for row in columns.rows.values():
        node = columns.nodes[row]
        mask[row] = node is not None and test(node)
    return mask


def _cordoned(node: dict[str, Any] | None) -> bool:
    return bool(((node or {}).get("spec") or {}).get("unschedulable"))


class NodeUnschedulable:
    """Keeps pods off cordoned nodes."""

    name = "NodeUnschedulable"

    def __init__(self) -> None:
        self._cache = ShapeCache("tolerance")

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        def test(node: dict[str, Any]) -> bool:
            return not _cordoned(node) or tolerates(info.tolerations, UNSCHEDULABLE_TAINT)

        passes = self._cache.get_mask(info, columns, test)
        if passes is None:
            return None
        return Filtered(passes, lambda _row: ("node(s) were unschedulable",), unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A node that was not cordoned before is no news."""
        return not _cordoned(change.new) and (change.old is None or _cordoned(change.old))


class NodeName:
    """Honours a node name that is already in the spec."""

    name = "NodeName"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        wanted = info.pod["spec"].get("nodeName")
        if not wanted:
            return None
        passes = by_node(columns, lambda node: bool(node["metadata"]["name"] == wanted))
        return Filtered(
            passes, lambda _row: ("node(s) didn't match the requested node name",), unresolvable=True
        )

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """Only the node itself helps, when it comes."""
        wanted = info.pod["spec"].get("nodeName")
        return change.old is None and change.new is not None and change.new["metadata"]["name"] == wanted


def _untolerated(info: PodInfo, node: dict[str, Any], effects: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        taint
        for taint in (node.get("spec") or {}).get("taints") or ()
        if taint.get("effect") in effects and not tolerates(info.tolerations, taint)
    ]


class TaintToleration:
    """Keeps pods off nodes whose taints they do not tolerate; prefers nodes with fewer soft ones."""

    name = "TaintToleration"
    _HARD = ("NoSchedule", "NoExecute")
    _SOFT = ("PreferNoSchedule",)

    def __init__(self) -> None:
        self._masks = ShapeCache("tolerance")
        self._scores = ShapeCache("tolerance")

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        passes = self._masks.get_mask(info, columns, lambda node: not _untolerated(info, node, self._HARD))
        if passes is None:
            return None

        return Filtered(passes, lambda _row: (UNTOLERATED,), unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A node helps that is tolerated, and was not before."""
        if change.new is None or _untolerated(info, change.new, self._HARD):
            return False
        return change.old is None or bool(_untolerated(info, change.old, self._HARD))

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        def make() -> Scores | None:
            counts = np.zeros(len(columns.names))
            for row in columns.rows.values():
                counts[row] = len(_untolerated(info, columns.nodes[row] or {}, self._SOFT))
            return counts if counts.any() else None

        counts: Scores | None = self._scores.get(info, columns, make)
        return None if counts is None else normalize(counts, feasible, reverse=True)


def matches_node_affinity(info: PodInfo, node: dict[str, Any]) -> bool:
    """Say whether nodeSelector and required node affinity take the node."""
    labels = node_labels(node)
    if any(labels.get(key) != value for key, value in info.node_selector.items()):
        return False
    required = info.node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_node_selector(required, node)


def wanted_names(info: PodInfo) -> frozenset[str] | None:
    """Return the only nodes, by name, that required affinity allows; None when it is not about names."""
    required = info.node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return None
    names: frozenset[str] = frozenset()
    for term in required.get("nodeSelectorTerms") or ():
        asked = [
            frozenset(one.get("values") or ())
            for one in term.get("matchFields") or ()
            if one.get("key") == "metadata.name" and one.get("operator") == "In"
        ]
        if not asked:
            return None
        names |= frozenset.intersection(*asked)
    return names


def _rows_of(names: frozenset[str], columns: Columns) -> Iterator[int]:
    for name in names:
        row = columns.rows.get(name)
        if row is not None:
            yield row


class NamedNodes:
    """NodeAffinity's first word: a pod that names its nodes (as those of DaemonSets do) is kept to them.

    The others are not looked at, so that nothing else is told of them.
    """

    name = "NodeAffinity"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        names = wanted_names(info)
        if names is None:
            return None
        passes = np.zeros(len(columns.names), dtype=np.bool_)
        for row in _rows_of(names, columns):
            passes[row] = True
        return Filtered(passes, lambda _row: (ELSEWHERE,), True, "" if names else CONFLICT)

    def lacks(self, info: PodInfo, columns: Columns, row: int) -> list[str]:
        """Return the reasons against one row."""
        names = wanted_names(info)
        return [] if names is None or columns.names[row] in names else [ELSEWHERE]

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A pod that failed for this waits for one of its nodes to come."""
        names = wanted_names(info) or ()
        return change.old is None and change.new is not None and change.new["metadata"]["name"] in names


class NodeAffinity:
    """nodeSelector and node affinity, required and preferred."""

    name = "NodeAffinity"

    def __init__(self, added: dict[str, Any] | None = None) -> None:
        """``added``: a NodeAffinity that the profile lays on every pod beside its own."""
        added = added or {}
        self._required: dict[str, Any] | None = added.get("requiredDuringSchedulingIgnoredDuringExecution")
        self._preferred = list(added.get("preferredDuringSchedulingIgnoredDuringExecution") or ())
        self._masks = ShapeCache("reach")
        self._scores = ShapeCache("reach")

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.node_selector and not info.node_affinity and self._required is None:
            return None

        def test(node: dict[str, Any]) -> bool:
            return self._matches(info, node)

        def reasons(row: int) -> tuple[str]:
            own = self._enforced(columns.nodes[row] or {})
            return ("node(s) didn't match Pod's node affinity/selector" if own else ENFORCED,)

        names = wanted_names(info)
        if names is None:
            passes = self._masks.get_mask(info, columns, test)
        else:  # each pod has a shape of its own, but few nodes that matter
            passes = np.zeros(len(columns.names), dtype=np.bool_)
            for row in _rows_of(names, columns):
                passes[row] = test(columns.nodes[row] or {})
        return None if passes is None else Filtered(passes, reasons, unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A node helps that matches, and did not before."""
        if change.new is None or not self._matches(info, change.new):
            return False
        return change.old is None or not self._matches(info, change.old)

    def _matches(self, info: PodInfo, node: dict[str, Any]) -> bool:
        return self._enforced(node) and matches_node_affinity(info, node)

    def _enforced(self, node: dict[str, Any]) -> bool:
        return self._required is None or matches_node_selector(self._required, node)

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        own = info.node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        preferred = [*self._preferred, *own]
        if not preferred:
            return None

        def make() -> Scores:
            raw = np.zeros(len(columns.names))
            for row in columns.rows.values():
                node = columns.nodes[row]
                if node is not None:
                    raw[row] = sum(
                        entry["weight"] for entry in preferred if matches_node_term(entry["preference"], node)
                    )
            return raw

        return normalize(self._scores.get(info, columns, make), feasible)
