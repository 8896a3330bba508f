"""Filters and scores over where other pods are: inter-pod affinity and topology spread.

Counts per term are columns that grow with every placed pod, so a decision sums them per domain at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.taints import tolerates
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Ints, Mask, TermCounts
from tiphys.scheduler.framework import MAX_SCORE, Filtered, Scores
from tiphys.scheduler.hints import Change
from tiphys.scheduler.matching import node_labels
from tiphys.scheduler.plugins.static import by_node, matches_node_affinity
from tiphys.scheduler.podinfo import PodInfo, SpreadConstraint, Term, jointly, read_spread

_REACHES_KEPT = 256


def _speaks_of(term: Term, info: PodInfo, columns: Columns) -> bool:
    return columns.counts.speaks_of(term, info)


class InterPodAffinity:
    """Required and preferred (anti-)affinity between pods, both directions."""

    name = "InterPodAffinity"

    def __init__(self, hard_weight: int = 1, *, ignore_others_wishes: bool = False) -> None:
        """``hard_weight``: what required affinity of placed pods weighs. ``ignore_others_wishes``: what they
        prefer counts only for a pod that has preferences of its own."""
        self._hard_weight = hard_weight
        self._ignore_others_wishes = ignore_others_wishes

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        existing = self._existing_anti(info, columns)
        anti = self._own_anti(info, columns)
        affinity = self._own_affinity(info, columns)
        masks = [mask for mask in (affinity, anti, existing) if mask is not None]
        if not masks:
            return None

        def reasons(row: int) -> list[str]:
            if affinity is not None and not affinity[row]:
                return ["node(s) didn't match pod affinity rules"]
            if anti is not None and not anti[row]:
                return ["node(s) didn't match pod anti-affinity rules"]
            return ["node(s) didn't satisfy existing pods anti-affinity rules"]

        far = False if affinity is None else ~affinity
        return Filtered(_all_of(masks), reasons, unresolvable=far)

    def _existing_anti(self, info: PodInfo, columns: Columns) -> Mask | None:
        return _nowhere_near(columns.counts.holding("anti", info), columns)

    def _own_anti(self, info: PodInfo, columns: Columns) -> Mask | None:
        return _nowhere_near([columns.counts.matched(term) for term in info.anti_affinity], columns)

    def _own_affinity(self, info: PodInfo, columns: Columns) -> Mask | None:
        if not info.affinity:
            return None
        counts = [columns.counts.matched(term) for term in jointly(info.affinity)]
        somewhere = any(count.total and columns.domain_sums(count)[0].any() for count in counts)
        if somewhere or not self._is_its_own_kind(info, columns):
            return _all_of([columns.near(count) for count in counts])
        return columns.labelled({term.topology_key for term in info.affinity})

    @staticmethod
    def _is_its_own_kind(info: PodInfo, columns: Columns) -> bool:
        """Whether the pod wants to be near pods like itself: the first of them may be anywhere."""
        return all(_speaks_of(term, info, columns) for term in info.affinity)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """Labels of nodes help, pods that come near or go away, and other labels of theirs."""
        if change.is_node:
            return self._after_node(info, change, columns)

        def all_speak(one: PodInfo | None) -> bool:
            return one is not None and all(_speaks_of(term, one, columns) for term in info.affinity)

        before, after = change.before, change.after
        if info.affinity and all_speak(before) != all_speak(after):
            # The last pod that matched is gone: the pod may be the first of its kind.
            return all_speak(after) or self._is_its_own_kind(info, columns)
        if before is None:
            return False
        gone = any(
            _speaks_of(term, before, columns) and not (after is not None and _speaks_of(term, after, columns))
            for term in info.anti_affinity
        )
        return gone or (after is None and any(_speaks_of(one, info, columns) for one in before.anti_affinity))

    @staticmethod
    def _after_node(info: PodInfo, change: Change, columns: Columns) -> bool:
        old, new = node_labels(change.old), node_labels(change.new)
        wanted = {term.topology_key for term in info.affinity}
        if change.old is None:
            return wanted <= new.keys()
        shunned = {term.topology_key for term in info.anti_affinity}
        shunned |= {counts.term.topology_key for counts in columns.counts.holding("anti", info)}
        changed = {key for key in wanted | shunned if old.get(key) != new.get(key)}
        return not changed.isdisjoint((wanted & new.keys()) | (shunned & old.keys()))

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        if self._ignore_others_wishes and not info.preferred:
            return None
        parts = [(term.weight, columns.counts.matched(term)) for term in info.preferred]
        parts += [(counts.term.weight, counts) for counts in columns.counts.holding("soft", info)]
        if self._hard_weight:
            parts += [(self._hard_weight, counts) for counts in columns.counts.holding("hard", info)]
        if not any(counts.total for _, counts in parts):
            return None
        raw = _weighed(parts, columns)
        low = np.where(feasible, raw, np.inf).min()
        high = np.where(feasible, raw, -np.inf).max()
        if low == high:
            return None
        return np.asarray(np.floor(MAX_SCORE * ((raw - low) / (high - low))))


def _weighed(parts: list[tuple[int, TermCounts]], columns: Columns) -> Scores:
    """Sum weight times count for each row: by domain first, as keys (and domains) are fewer than rows."""
    by_key: dict[str, Scores] = {}
    for weight, counts in parts:
        if counts.total:
            key = counts.term.topology_key
            weighed = columns.domain_sums(counts)[0] * np.float64(weight)
            by_key[key] = by_key[key] + weighed if key in by_key else weighed
    by_row = [sums[columns.topology(key)[0]] for key, sums in by_key.items()]
    raw: Scores = by_row[0]
    for more in by_row[1:]:
        raw = raw + more
    return raw


def _all_of(masks: list[Mask]) -> Mask:
    mask = masks[0]
    for other in masks[1:]:
        mask = mask & other
    return mask


def _nowhere_near(terms: list[TermCounts], columns: Columns) -> Mask | None:
    taken: Mask | None = None
    for counts in terms:
        if counts.total:
            near = columns.near(counts)
            taken = near if taken is None else taken | near
    return None if taken is None else ~taken


@dataclass(frozen=True, slots=True)
class SpreadDefaults:
    """Constraints (without selector) for pods that have none. ``system``: nobody asked for them."""

    constraints: tuple[dict[str, Any], ...] = ()
    system: bool = False

    @property
    def hard(self) -> bool:
        return any(one["whenUnsatisfiable"] == "DoNotSchedule" for one in self.constraints)


_SOFT, _HOST = "ScheduleAnyway", "kubernetes.io/hostname"
SYSTEM_SPREAD = SpreadDefaults(
    (
        {"topologyKey": _HOST, "whenUnsatisfiable": _SOFT, "maxSkew": 3},
        {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": _SOFT, "maxSkew": 5},
    ),
    system=True,
)
"""What upstream's scheduler does unless it is told otherwise. Source: KEP-1258."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """Which rows a constraint looks at, good for one static generation."""

    eligible: Mask
    present: Mask
    """By domain: has it an eligible row?"""
    whole: bool
    """Every row with the label is eligible."""
    domains: int


class PodTopologySpread:
    """maxSkew over domains, hard (filter) and soft (score).

    Pods without constraints of their own are held to the defaults, counting their siblings.
    """

    name = "PodTopologySpread"

    def __init__(self, defaults: SpreadDefaults = SYSTEM_SPREAD) -> None:
        self._generation = -1
        self._reaches: dict[tuple[object, ...], _Reach] = {}
        self._defaults = defaults

    def _constraints(self, info: PodInfo, columns: Columns) -> tuple[SpreadConstraint, ...]:
        if info.spread or not self._defaults.constraints:
            return info.spread
        selector = columns.siblings.selector(info)
        if not selector:
            return ()
        said = [{**one, "labelSelector": selector} for one in self._defaults.constraints]
        return read_spread(said, info.namespace, info.labels)

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.spread and not self._defaults.hard:
            return None
        hard = [constraint for constraint in self._constraints(info, columns) if constraint.hard]
        if not hard:
            return None
        keys = tuple(sorted({constraint.term.topology_key for constraint in hard}))
        passes = labelled = columns.labelled(keys)
        for constraint in hard:
            passes = passes & self._in_skew(
                info, columns, constraint, self._reach(info, columns, constraint, keys)
            )
        missing = "node(s) didn't match pod topology spread constraints (missing required label)"
        skewed = "node(s) didn't match pod topology spread constraints"
        return Filtered(passes, lambda row: (skewed if labelled[row] else missing,), ~labelled)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """Nodes with all the labels help, and pods that begin to count for a constraint, or cease to."""
        hard = [constraint.term for constraint in self._constraints(info, columns) if constraint.hard]
        if change.is_node:
            keys = {term.topology_key for term in hard}
            return any(
                node is not None and keys <= node_labels(node).keys() for node in (change.old, change.new)
            )

        def counts(term: Term, one: PodInfo | None) -> bool:
            return one is not None and _speaks_of(term, one, columns)

        return any(counts(term, change.before) != counts(term, change.after) for term in hard)

    def _in_skew(self, info: PodInfo, columns: Columns, constraint: SpreadConstraint, reach: _Reach) -> Mask:
        sums, codes = _sums(columns, columns.counts.matched(constraint.term), reach)
        enough = reach.domains >= max(constraint.min_domains, 1)
        lowest = int(sums[reach.present].min()) if enough else 0
        own = int(_speaks_of(constraint.term, info, columns))
        return np.asarray((sums + own - lowest <= constraint.max_skew)[codes])

    def _reach(
        self, info: PodInfo, columns: Columns, constraint: SpreadConstraint, keys: tuple[str, ...]
    ) -> _Reach:
        if self._generation != columns.static_generation or len(self._reaches) > _REACHES_KEPT:
            self._generation = columns.static_generation
            self._reaches.clear()
        picky = constraint.honor_taints or info.node_selector or info.node_affinity
        identity = (
            (constraint.term.topology_key, keys)
            if not picky
            else (
                constraint.term.topology_key,
                keys,
                info.shape,
                constraint.honor_affinity,
                constraint.honor_taints,
            )
        )
        reach = self._reaches.get(identity)
        if reach is None:
            reach = self._reaches[identity] = self._find_reach(info, columns, constraint, keys)
        return reach

    def _find_reach(
        self, info: PodInfo, columns: Columns, constraint: SpreadConstraint, keys: tuple[str, ...]
    ) -> _Reach:
        codes, domains = columns.topology(constraint.term.topology_key)
        eligible = self._eligible(info, columns, constraint) & columns.labelled(keys) & (codes >= 0)
        present = np.bincount(codes[eligible], minlength=domains + 1) > 0
        whole = bool((eligible == (codes >= 0)).all())
        return _Reach(eligible, np.asarray(present), whole, int(present.sum()))

    def _eligible(self, info: PodInfo, columns: Columns, constraint: SpreadConstraint) -> Mask:
        def test(node: dict[str, object]) -> bool:
            if constraint.honor_affinity and not matches_node_affinity(info, node):
                return False
            taints = (node.get("spec") or {}).get("taints") or ()  # type: ignore[attr-defined]
            return not constraint.honor_taints or all(
                taint["effect"] == "PreferNoSchedule" or tolerates(info.tolerations, taint)
                for taint in taints
            )

        if not constraint.honor_taints and not info.node_selector and not info.node_affinity:
            return columns.alive
        return by_node(columns, test)

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        soft = [constraint for constraint in self._constraints(info, columns) if not constraint.hard]
        if not soft:
            return None
        # A node that lacks one of the labels is nowhere: it is neither counted nor preferred. Only where
        # nobody asked for the labels is such a node as good as an empty one.
        lenient = not info.spread and self._defaults.system
        keys = () if lenient else tuple(sorted({constraint.term.topology_key for constraint in soft}))
        labelled = columns.alive if lenient else columns.labelled(keys)
        scored = feasible & labelled
        nodes = np.count_nonzero(scored)
        if not nodes:
            return None
        raw = np.zeros(len(columns.names))
        for constraint in soft:
            codes, _ = columns.topology(constraint.term.topology_key)
            matched = columns.counts.matched(constraint.term)
            if constraint.term.topology_key == _HOST:  # nodes are counted one by one, whatever is honoured
                domains, counts = nodes, matched.by_row
            else:
                domains = np.count_nonzero(np.bincount(codes[scored] + 1))
                counts = _sums(columns, matched, self._reach(info, columns, constraint, keys))[0][codes]
            score = counts * np.log(domains + 2) + (constraint.max_skew - 1)
            raw += np.where(codes >= 0, score, 0.0) if lenient else score
        raw = np.floor(raw + 0.5)
        low, high = raw[scored].min(), raw[scored].max()
        if high == 0:
            return np.where(labelled, MAX_SCORE, 0.0)
        return np.where(labelled, np.floor(MAX_SCORE * (high + low - raw) / high), 0.0)


def _sums(columns: Columns, counts: TermCounts, reach: _Reach) -> tuple[Ints, Ints]:
    """Return what the rows that are looked at count by domain, and each row's domain (-1: none)."""
    sums, codes = columns.domain_sums(counts)
    if not reach.whole:
        rows = reach.eligible
        weights = counts.by_row[rows]
        sums = np.bincount(codes[rows], weights=weights, minlength=len(sums)).astype(np.int64)
    return sums, codes
