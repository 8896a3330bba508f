"""How many placed pods match a term, by node: kept current by single steps, never summed anew.

Pure state under ``Columns``. Pods with the same labels in the same namespace form one group, so a term is
matched against groups, and what a pod's labels match is looked up, not evaluated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.podinfo import PodInfo, Term
from tiphys.scheduler.termindex import Groups, Terms

Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_TERMS_KEPT = 4096
_GROUPS_KEPT = 8192
_NEVER = -1


class TermCounts:
    """How many pods a term matches (or how many hold it), by row and by domain of its topology key."""

    def __init__(self, term: Term, rows: int) -> None:
        self.term = term
        self.by_row: Ints = np.zeros(rows, dtype=np.int64)
        self.total = 0
        self.generation = _NEVER
        self.codes: Ints = np.zeros(0, dtype=np.int64)
        self.sums: Ints = np.zeros(1, dtype=np.int64)
        """By domain; one more for rows without the label, which stays 0."""
        self._near: Mask | None = None

    def add(self, row: int, amount: int, generation: int) -> None:
        """Count ``amount`` more pods on a row; sums of another ``generation`` are for ``settle``."""
        self.by_row[row] += amount
        self.total += amount
        if self.generation == generation:
            code = int(self.codes[row])
            if code >= 0:
                before = int(self.sums[code])
                self.sums[code] = before + amount
                if self._near is not None and (before > 0) != (before + amount > 0):
                    self._near[self.codes == code] = before + amount > 0

    def near(self) -> Mask:
        """Say of each row whether its domain has a pod that counts (``settle`` first); renewed in place."""
        if self._near is None:
            self._near = np.asarray(self.sums > 0)[self.codes]
        return self._near

    def settle(self, generation: int, codes: Ints, domains: int) -> None:
        """Sum per domain as ``codes`` say, unless that is already so."""
        if self.generation == generation:
            return
        self.generation, self.codes, self._near = generation, codes, None
        inside = codes >= 0
        sums = np.bincount(codes[inside], weights=self.by_row[inside], minlength=domains + 1)
        self.sums = sums.astype(np.int64)

    def grow(self, rows: int) -> None:
        """Make room for more rows."""
        self.by_row = np.concatenate([self.by_row, np.zeros(rows - len(self.by_row), dtype=np.int64)])


@dataclass(slots=True)
class _Group:
    """The placed pods of one set of labels."""

    example: PodInfo
    by_row: Counter[int] = field(default_factory=Counter)


class PodCounts:
    """All terms that anybody asked for, and all that placed pods hold."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.namespace_labels: dict[str, dict[str, str]] = {}
        self._groups: Groups[_Group] = Groups()
        self._matched: Terms[TermCounts] = Terms()
        self._held: dict[str, Terms[TermCounts]] = {"anti": Terms(), "hard": Terms(), "soft": Terms()}
        self._matching: dict[bytes, list[TermCounts]] = {}
        self._holding: dict[tuple[str, bytes], list[TermCounts]] = {}

    def speaks_of(self, term: Term, info: PodInfo) -> bool:
        """Say whether the term means the pod."""
        return term.matches(info.namespace, info.labels, self.namespace_labels) and not (
            term.lasting and info.terminating
        )

    def count(self, info: PodInfo, row: int, sign: int, generation: int) -> None:
        """Take a pod onto a row (``sign`` 1) or off it (-1)."""
        self._count_labels(info, row, sign, generation)
        for kind, terms in (("anti", info.anti_affinity), ("hard", info.affinity), ("soft", info.preferred)):
            for term in terms:
                self._held_counts(kind, term).add(row, sign, generation)

    def relabel(self, before: PodInfo, after: PodInfo, row: int, generation: int) -> None:
        """Count a pod on a row under other labels; the terms that it holds stay."""
        self._count_labels(before, row, -1, generation)
        self._count_labels(after, row, 1, generation)

    def _count_labels(self, info: PodInfo, row: int, sign: int, generation: int) -> None:
        """Count a pod for the terms that speak of it."""
        group = self._groups.get(info.group)
        if group is None:
            group = _Group(info)
            self._groups.put(info, group)
        group.by_row[row] += sign
        if not group.by_row[row]:
            del group.by_row[row]
            if not group.by_row:
                self._groups.remove(info)
        if self._matched:
            for counts in self._matching_of(info):
                counts.add(row, sign, generation)

    def matched(self, term: Term) -> TermCounts:
        """Return the counts of placed pods that the term speaks of."""
        counts = self._matched.get(term)
        if counts is not None:
            return counts
        if len(self._matched) >= _TERMS_KEPT:
            self._matched.clear()
        counts = TermCounts(term, self._rows)
        self._matched.put(term, counts)
        for group in self._groups.maybe_of(term):
            if self.speaks_of(term, group.example):
                for row, amount in group.by_row.items():
                    counts.add(row, amount, _NEVER - 1)
        self._matching.clear()
        return counts

    def held(self, kind: str) -> list[TermCounts]:
        """Return the terms that placed pods hold: ``anti``, ``hard`` (required affinity) or ``soft``."""
        return [counts for counts in self._held[kind].values() if counts.total]

    def holding(self, kind: str, info: PodInfo) -> list[TermCounts]:
        """Return the held terms of a kind that speak of ``info``."""
        if not self._held[kind]:
            return []
        key = (kind, info.group)
        found = self._holding.get(key)
        if found is None:
            if len(self._holding) >= _GROUPS_KEPT:
                self._holding.clear()
            terms = self._held[kind].maybe_of(info)
            found = self._holding[key] = [one for term, one in terms if self.speaks_of(term, info)]
        return [counts for counts in found if counts.total]

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """Take a namespace's labels (None: it is gone); what depends on them starts anew."""
        if self.namespace_labels.get(name) == labels:
            return
        if labels is None:
            self.namespace_labels.pop(name, None)
        else:
            self.namespace_labels[name] = labels
        for term in [term for term in self._matched.terms() if term.looks_at_namespaces]:
            self._matched.remove(term)
        self._matching.clear()
        self._holding.clear()

    def grow(self, rows: int) -> None:
        """Make room for more rows."""
        self._rows = rows
        for counts in [
            *self._matched.values(),
            *(one for kind in self._held.values() for one in kind.values()),
        ]:
            counts.grow(rows)

    def _matching_of(self, info: PodInfo) -> list[TermCounts]:
        found = self._matching.get(info.group)
        if found is None:
            if len(self._matching) >= _GROUPS_KEPT:
                self._matching.clear()
            terms = self._matched.maybe_of(info)
            found = self._matching[info.group] = [one for term, one in terms if self.speaks_of(term, info)]
        return found

    def _held_counts(self, kind: str, term: Term) -> TermCounts:
        terms = self._held[kind]
        counts = terms.get(term)
        if counts is None:
            if len(terms) >= _TERMS_KEPT:
                for unused in [its.term for its in terms.values() if not its.total]:
                    terms.remove(unused)
            counts = TermCounts(term, self._rows)
            terms.put(term, counts)
            self._holding.clear()
        return counts
