"""What a plugin is, and how plugins together decide: masks narrow the nodes, scores rank what is left.

Pure. ``decide`` keeps each filter's exclusions, so the reason for every node is there without asking again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.podinfo import PodInfo

Scores: TypeAlias = npt.NDArray[np.float64]
MAX_SCORE = 100.0
_ENOUGH_LEAST = 100
_SHARE, _SHARE_FALLS, _SHARE_LEAST = 50, 125, 5
"""Percent of the nodes; one less for each so many of them; never less than."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """A filter's verdict: ``passes`` by row, and why a row does not (asked only for rows that fail).

    Good until the columns change: arrays may be the plugin's own, renewed in place by its next call.
    """

    passes: Mask
    reasons: Callable[[int], Sequence[str]]
    unresolvable: Mask | bool = False
    """Removing pods from a failing node would not help (one verdict, or one for each row)."""
    pod_reason: str = ""
    """The pod itself is at fault: said once, in place of reasons for each node."""


class FilterPlugin(Protocol):
    """Excludes nodes. Returns None when the pod gives it nothing to do.

    A plugin whose verdict on one row needs no other row may also have ``lacks(info, columns, row) ->
    list[str]`` (the reasons against the row; empty: it passes), which what-if questions ask instead.
    """

    @property
    def name(self) -> str: ...

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None: ...


class ScorePlugin(Protocol):
    """Ranks feasible nodes by whole numbers from 0 to 100. Returns None when all are alike to it."""

    @property
    def name(self) -> str: ...

    def score(self, info: PodInfo, columns: Columns, feasible: Mask) -> Scores | None: ...


class Laps(Protocol):
    """Is told as a decision goes on, so that whoever has a clock may time its parts."""

    sampled: bool
    """Whether single plugins are timed in this decision: ``plugin`` is not called otherwise."""

    def plugin(self, point: str, plugin: str) -> None:
        """One plugin has had its turn, of those that run at ``point`` (Filter, Score)."""
        ...

    def point(
        self, point: str, *, good: bool, bad: str = "Unschedulable", plugins: tuple[str, ...] = ()
    ) -> None:
        """All of them have; ``good``: the pod may still have a node.

        ``plugins`` are those that had something to do for it.
        """
        ...


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
    looked_at: int = 0
    """How many nodes the search went through; the next one goes on from there."""

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that excluded nodes: what must change before another try can help."""
        return tuple(dict.fromkeys(one.plugin for one in self.excluded))

    def reasons(self) -> Counter[str]:
        """Count the nodes that each reason keeps out."""
        counts: Counter[str] = Counter()
        for one in self.excluded:
            rows: list[int] = np.flatnonzero(one.rows).tolist()
            counts.update(chain.from_iterable(map(one.filtered.reasons, rows)))
        return counts

    def resolvable(self) -> Mask | None:
        """Return the rows that removing pods might make feasible; None when there are none."""
        rows: Mask | None = None
        for one in self.excluded:
            helped = one.rows & np.logical_not(one.filtered.unresolvable)
            rows = helped if rows is None else rows | helped
        return rows if rows is not None and rows.any() else None

    def message(self) -> str:
        """Say why nothing fits, as ``FailedScheduling`` events do."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        for one in self.excluded:
            if one.filtered.pod_reason:
                return f"0/{self.nodes} nodes are available: {one.filtered.pod_reason}."
        return no_nodes_message(self.nodes, self.reasons())


def no_nodes_message(nodes: int, reasons: Counter[str]) -> str:
    """Sum up why none of ``nodes`` will do."""
    parts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{nodes} nodes are available: {', '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins in order, and what each score weighs."""

    filters: tuple[FilterPlugin, ...]
    scores: tuple[tuple[ScorePlugin, float], ...]
    preempts: bool = True
    deallocates: bool = True
    percentage: int | None = None
    """How large a share of the nodes is enough to choose from; 0: by their number, None: all are wanted."""

    def enough(self, nodes: int) -> int:
        """Return how many nodes that will do end the search."""
        if self.percentage is None or nodes < _ENOUGH_LEAST:
            return nodes
        percentage = self.percentage or max(_SHARE - nodes // _SHARE_FALLS, _SHARE_LEAST)
        return max(nodes * percentage // 100, _ENOUGH_LEAST)


def run_filters(
    info: PodInfo,
    columns: Columns,
    profile: Profile,
    laps: Laps | None = None,
    turns: list[str] | None = None,
) -> tuple[Mask, list[Excluded]]:
    """Return the feasible rows and what took the others away; ``turns`` takes who had something to do."""
    feasible = columns.alive.copy()
    excluded: list[Excluded] = []
    timed = laps is not None and laps.sampled
    for plugin in profile.filters:
        filtered = plugin.filter(info, columns)
        if timed and laps is not None:
            laps.plugin("Filter", plugin.name)
        if filtered is None:
            continue
        if turns is not None:
            turns.append(plugin.name)
        failing = feasible > filtered.passes
        if np.count_nonzero(failing):
            excluded.append(Excluded(plugin.name, failing, filtered))
            feasible &= filtered.passes
            if not np.count_nonzero(feasible):
                break
    return feasible, excluded


def reasons_against(info: PodInfo, columns: Columns, profile: Profile, row: int) -> list[str]:
    """Ask the filters about one row only: the first plugin's reasons against it, or none if it will do."""
    for plugin in profile.filters:
        lacks = getattr(plugin, "lacks", None)
        if lacks is not None:
            reasons: list[str] = lacks(info, columns, row)
            if reasons:
                return reasons
            continue
        filtered = plugin.filter(info, columns)
        if filtered is not None and not filtered.passes[row]:
            return list(filtered.reasons(row)) or [filtered.pod_reason]
    return []


def search(feasible: Mask, columns: Columns, profile: Profile, start: int) -> tuple[Mask, int]:
    """Keep as many feasible rows as are enough, from the ``start``-th on; return how many it looked at."""
    total = len(columns.rows)
    enough = profile.enough(total)
    if enough >= total:
        return feasible, total
    rows = np.flatnonzero(columns.alive)
    order = np.roll(rows, -(start % total))
    found = np.flatnonzero(feasible[order])
    if len(found) <= enough:
        return feasible, total
    kept = np.zeros(len(feasible), dtype=np.bool_)
    kept[order[found[:enough]]] = True
    return kept, int(found[enough - 1]) + 1


def decide(
    info: PodInfo,
    columns: Columns,
    profile: Profile,
    *,
    turn: int = 0,
    start: int = 0,
    laps: Laps | None = None,
) -> Decision:
    """Choose a node. Equal scores take turns by ``turn``, so that load spreads without randomness.

    A profile that is content with a share of the nodes looks for them from the ``start``-th on.
    Pods of the same or a higher priority that are promised a node (nominated) count there as if they ran. A
    pod that is promised a node itself gets it as soon as it fits.
    """
    total = len(columns.rows)
    turns: list[str] = []
    feasible, excluded = run_filters(info, columns, profile, laps, turns)
    if columns.nominated:
        excluded += _leave_to_nominated(info, columns, profile, feasible)
    if info.nominated:
        promised = columns.rows.get(info.nominated)
        if promised is not None and feasible[promised]:
            if laps is not None:
                laps.point("Filter", good=True, plugins=tuple(turns))
            return Decision(info.nominated, tuple(excluded), total)
    feasible, looked_at = search(feasible, columns, profile, start)
    count = np.count_nonzero(feasible)
    if laps is not None:
        laps.point("Filter", good=bool(count), plugins=tuple(turns))
    if not count:
        return Decision("", tuple(excluded), total, looked_at)
    best = feasible if count == 1 else _best(feasible, _total_score(info, columns, profile, feasible, laps))
    rows = best.nonzero()[0]
    return Decision(columns.names[int(rows[turn % len(rows)])], tuple(excluded), total, looked_at)


def _leave_to_nominated(info: PodInfo, columns: Columns, profile: Profile, feasible: Mask) -> list[Excluded]:
    """Clear the rows of ``feasible`` where the pod would not fit beside the pods that are promised them."""
    rows = np.zeros(len(feasible), dtype=np.bool_)
    promised: list[tuple[PodInfo, str]] = []
    for other, node in columns.nominated_above(info):
        row = columns.rows.get(node)
        if row is not None and feasible[row]:
            rows[row] = True
            promised.append((other, node))
    if not promised:
        return []
    with columns.as_if_placed(promised):
        still, excluded = run_filters(info, columns, profile)
        lost = [_frozen(one, one.rows & rows) for one in excluded]
    feasible &= still | ~rows
    return [one for one in lost if one.rows.any()]


def _frozen(one: Excluded, rows: Mask) -> Excluded:
    """Ask for the reasons now, as the columns are about to change."""
    reasons = {int(row): tuple(one.filtered.reasons(int(row))) for row in np.flatnonzero(rows)}
    filtered = one.filtered
    kept = Filtered(filtered.passes.copy(), reasons.__getitem__, np.array(filtered.unresolvable))
    return Excluded(one.plugin, rows, kept)


def _total_score(
    info: PodInfo, columns: Columns, profile: Profile, feasible: Mask, laps: Laps | None = None
) -> Scores | None:
    total: Scores | None = None
    if laps is not None:
        laps.point("PreScore", good=True)  # whole columns are scored at once: nothing is prepared before
    turns: list[str] = []
    timed = laps is not None and laps.sampled
    for plugin, weight in profile.scores:
        score = plugin.score(info, columns, feasible)
        if timed and laps is not None:
            laps.plugin("Score", plugin.name)
        if score is not None:
            turns.append(plugin.name)
            weighed = score if weight == 1 else weight * score
            total = weighed if total is None else total + weighed
    if laps is not None:
        laps.point("Score", good=True, plugins=tuple(turns))
    return total


def _best(feasible: Mask, total: Scores | None) -> Mask:
    """Return the feasible rows with the highest score: all of them where no plugin cares."""
    if total is None:
        return feasible
    best = np.asarray(total == total.max())
    best &= feasible
    if np.count_nonzero(best):
        return best  # mostly: full nodes seldom score best
    values = np.where(feasible, total, -np.inf)
    return np.asarray(values == values.max())


def normalize(raw: Scores, feasible: Mask, *, reverse: bool = False) -> Scores:
    """Scale so that the highest feasible value is 100 (or 0, reversed)."""
    highest = raw[feasible].max(initial=0.0)
    if highest <= 0:
        return np.full(len(raw), MAX_SCORE if reverse else 0.0)
    scaled = np.floor(raw * MAX_SCORE / highest)
    return np.asarray(MAX_SCORE - scaled if reverse else scaled)
