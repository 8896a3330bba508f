"""What a plugin is, and how plugins together decide: masks narrow the nodes, scores rank what is left.

Pure. ``decide`` keeps each filter's exclusions, so the reason for every node is there without asking again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Columns, Mask
from tiphys.scheduler.podinfo import PodInfo

Scores: TypeAlias = npt.NDArray[np.float64]
MAX_SCORE = 100.0


@dataclass(frozen=True, slots=True)
class Filtered:
    """A filter's verdict: ``passes`` by row, and why a row does not (asked only for rows that fail)."""

    passes: Mask
    reasons: Callable[[int], Sequence[str]]
    unresolvable: bool = False
    """Removing pods from a failing node would not help."""


class FilterPlugin(Protocol):
    """Excludes nodes. Returns None when the pod gives it nothing to do."""

    name: str

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None: ...


class ScorePlugin(Protocol):
    """Ranks feasible nodes from 0 to 100. Returns None when all are alike to it."""

    name: str

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None: ...


@dataclass(frozen=True, slots=True)
class Excluded:
    """The nodes that one plugin took away."""

    plugin: str
    rows: Mask
    filtered: Filtered


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes, or why it cannot."""

    node: str
    excluded: tuple[Excluded, ...]
    nodes: int
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that excluded nodes: what must change before another try can help."""
        return tuple(dict.fromkeys(one.plugin for one in self.excluded))

    def reasons(self) -> Counter[str]:
        """Count the nodes that each reason keeps out."""
        counts: Counter[str] = Counter()
        for one in self.excluded:
            for row in np.flatnonzero(one.rows):
                counts.update(one.filtered.reasons(int(row)))
        return counts

    def message(self) -> str:
        """Say why nothing fits, as ``FailedScheduling`` events do."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        parts = sorted(f"{count} {reason}" for reason, count in self.reasons().items())
        return f"0/{self.nodes} nodes are available: {', '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins in order, and what each score weighs."""

    filters: tuple[FilterPlugin, ...]
    scores: tuple[tuple[ScorePlugin, float], ...]


def run_filters(info: PodInfo, columns: Columns, profile: Profile) -> tuple[Mask, list[Excluded]]:
    """Return the feasible rows and what took the others away."""
    feasible = columns.alive.copy()
    excluded: list[Excluded] = []
    for plugin in profile.filters:
        filtered = plugin.filter(info, columns)
        if filtered is None:
            continue
        failing = feasible & ~filtered.passes
        if failing.any():
            excluded.append(Excluded(plugin.name, failing, filtered))
            feasible &= filtered.passes
            if not feasible.any():
                break
    return feasible, excluded


def decide(info: PodInfo, columns: Columns, profile: Profile, *, turn: int = 0) -> Decision:
    """Choose a node. Equal scores take turns by ``turn``, so that load spreads without randomness."""
    total = len(columns.rows)
    feasible, excluded = run_filters(info, columns, profile)
    rows = np.flatnonzero(feasible)
    if not len(rows):
        return Decision("", tuple(excluded), total)
    if len(rows) > 1:
        rows = _best(rows, _total_score(info, columns, profile, feasible), turn)
    return Decision(columns.names[int(rows[0])], tuple(excluded), total)


def _total_score(info: PodInfo, columns: Columns, profile: Profile, feasible: Mask) -> Scores:
    total = np.zeros(len(feasible))
    for plugin, weight in profile.scores:
        score = plugin.score(info, columns, feasible)
        if score is not None:
            total += weight * np.floor(score)
    return total


def _best(rows: npt.NDArray[np.intp], total: Scores, turn: int) -> npt.NDArray[np.intp]:
    values = total[rows]
    best = rows[values == values.max()]
    return np.asarray(best[turn % len(best) :][:1])


def normalize(raw: Scores, feasible: Mask, *, reverse: bool = False) -> Scores:
    """Scale so that the highest feasible value is 100 (or 0, reversed)."""
    highest = raw[feasible].max(initial=0.0)
    if highest <= 0:
        return np.full(len(raw), MAX_SCORE if reverse else 0.0)
    scaled = raw * (MAX_SCORE / highest)
    return np.asarray(MAX_SCORE - scaled if reverse else scaled)
