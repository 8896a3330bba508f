"""Filters and scores over where other pods are: inter-pod affinity and topology spread.

Counts per term are columns that grow with every placed pod, so a decision sums them per domain at once.
"""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.columns import Columns, Ints, Mask
from tiphys.scheduler.framework import MAX_SCORE, Filtered, Scores
from tiphys.scheduler.plugins.static import by_node, matches_node_affinity, tolerates
from tiphys.scheduler.podinfo import PodInfo, SpreadConstraint, Term

_HARD_AFFINITY_WEIGHT = 1


def _speaks_of(term: Term, info: PodInfo, columns: Columns) -> bool:
    return term.matches(info.namespace, info.labels, columns.namespace_labels)


class InterPodAffinity:
    """Required and preferred (anti-)affinity between pods, both directions."""

    name = "InterPodAffinity"

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
        return Filtered(np.logical_and.reduce(masks), reasons, unresolvable=far)

    def _existing_anti(self, info: PodInfo, columns: Columns) -> Mask | None:
        mask: Mask | None = None
        for counts in columns.held("anti"):
            if counts.by_row.any() and _speaks_of(counts.term, info, columns):
                free = columns.per_domain(counts.term.topology_key, counts.by_row) == 0
                mask = free if mask is None else mask & free
        return mask

    def _own_anti(self, info: PodInfo, columns: Columns) -> Mask | None:
        mask: Mask | None = None
        for term in info.anti_affinity:
            free = columns.per_domain(term.topology_key, columns.matched(term)) == 0
            mask = free if mask is None else mask & free
        return mask

    def _own_affinity(self, info: PodInfo, columns: Columns) -> Mask | None:
        if not info.affinity:
            return None
        counts = [columns.matched(term) for term in info.affinity]
        labelled = np.logical_and.reduce(
            [columns.topology(term.topology_key)[0] >= 0 for term in info.affinity]
        )
        first_of_its_kind = not any(count.any() for count in counts) and all(
            _speaks_of(term, info, columns) for term in info.affinity
        )
        if first_of_its_kind:
            return np.asarray(labelled, dtype=np.bool_)
        near = [
            columns.per_domain(term.topology_key, count) > 0
            for term, count in zip(info.affinity, counts, strict=True)
        ]
        return np.asarray(labelled & np.logical_and.reduce(near), dtype=np.bool_)

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None:
        raw = np.zeros(len(columns.names))
        for term in info.preferred:
            raw += term.weight * columns.per_domain(term.topology_key, columns.matched(term))
        for kind in ("soft", "hard"):
            for counts in columns.held(kind):
                if counts.by_row.any() and _speaks_of(counts.term, info, columns):
                    weight = counts.term.weight if kind == "soft" else _HARD_AFFINITY_WEIGHT
                    raw += weight * columns.per_domain(counts.term.topology_key, counts.by_row)
        inside = raw[feasible]
        low, high = inside.min(), inside.max()
        if low == high:
            return None
        return np.asarray((raw - low) * (MAX_SCORE / (high - low)))


class PodTopologySpread:
    """maxSkew over domains, hard (filter) and soft (score)."""

    name = "PodTopologySpread"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        hard = [constraint for constraint in info.spread if constraint.hard]
        if not hard:
            return None
        passes = columns.alive.copy()
        labelled = columns.alive.copy()
        for constraint in hard:
            labelled &= columns.topology(constraint.term.topology_key)[0] >= 0
        for constraint in hard:
            counts, lowest = self._domain_counts(info, columns, constraint, labelled)
            own = int(_speaks_of(constraint.term, info, columns))
            passes &= counts + own - lowest <= constraint.max_skew
        missing = "node(s) didn't match pod topology spread constraints (missing required label)"
        skewed = "node(s) didn't match pod topology spread constraints"
        return Filtered(passes & labelled, lambda row: (skewed if labelled[row] else missing,), ~labelled)

    def _domain_counts(
        self, info: PodInfo, columns: Columns, constraint: SpreadConstraint, labelled: Mask
    ) -> tuple[Ints, int]:
        key = constraint.term.topology_key
        eligible = labelled & self._eligible(info, columns, constraint)
        matched = np.where(eligible, columns.matched(constraint.term), 0)
        counts = columns.per_domain(key, matched)
        codes, _ = columns.topology(key)
        domains = len(np.unique(codes[eligible]))
        lowest = int(counts[eligible].min()) if domains >= constraint.min_domains and domains else 0
        return counts, lowest

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
        soft = [constraint for constraint in info.spread if not constraint.hard]
        if not soft:
            return None
        raw = np.zeros(len(columns.names))
        ignored = np.zeros(len(columns.names), dtype=np.bool_)
        for constraint in soft:
            key = constraint.term.topology_key
            codes, _ = columns.topology(key)
            ignored |= codes < 0
            weight = np.log(len(np.unique(codes[feasible & (codes >= 0)])) + 2)
            counts = columns.per_domain(key, columns.matched(constraint.term))
            raw += counts * weight + (constraint.max_skew - 1)
        scored = feasible & ~ignored
        if not scored.any():
            return None
        low, high = raw[scored].min(), raw[scored].max()
        if high == 0:
            return np.where(ignored, 0.0, MAX_SCORE)
        return np.where(ignored, 0.0, MAX_SCORE * (high + low - raw) / high)
