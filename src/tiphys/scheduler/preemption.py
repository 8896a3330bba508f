"""Which pods must go so that one of higher priority finds a place, and where.

Pure but for borrowing the columns: pods are taken off and put back within one call, so the columns end as
they began. The shell deletes the victims and promises the node. Source: KEP-268 (priority and preemption),
policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import Decision, Profile, no_nodes_message, reasons_against
from tiphys.scheduler.podinfo import PodInfo

VICTIM_REASON = "PreemptionByScheduler"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NO_CANDIDATE = "no candidate node for preemption"
NEVER = "not eligible due to preemptionPolicy=Never."
STILL_TERMINATING = "not eligible due to a terminating pod on the nominated node."

_CANDIDATES_LEAST = 100
_CANDIDATES_SHARE = 10  # one node in so many, on large clusters
_PRIORITY_OFFSET = 2**31  # keeps sums of negative priorities from preferring more victims
_NOT_STARTED = "9999"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a PodDisruptionBudget still allows."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: frozenset[str]
    """Pods whose disruption is counted already."""

    def covers(self, info: PodInfo) -> bool:
        """Say whether taking the pod away would use up one allowed disruption."""
        if self.namespace != info.namespace or info.pod["metadata"]["name"] in self.disrupted:
            return False
        return bool(info.labels) and self.selector.matches(info.labels)


@dataclass(frozen=True, slots=True)
class Victims:
    """What one node would cost."""

    node: str
    pods: tuple[PodInfo, ...]
    """The most important first."""
    violations: int


@dataclass(frozen=True, slots=True)
class Preemption:
    """The answer: a node and its victims, or (``node`` empty) why there is none."""

    node: str = ""
    victims: tuple[PodInfo, ...] = ()
    message: str = ""
    keeps_nomination: bool = False
    """Nothing was looked for: an earlier promise stays as it is."""


def read_budget(pdb: Object) -> Budget | None:
    """Read a PodDisruptionBudget; None when it covers no pod."""
    selector = (pdb.get("spec") or {}).get("selector")
    if not selector:
        return None
    status = pdb.get("status") or {}
    return Budget(
        namespace=pdb["metadata"].get("namespace") or "",
        selector=from_label_selector(selector),
        allowed=int(status.get("disruptionsAllowed") or 0),
        disrupted=frozenset(status.get("disruptedPods") or ()),
    )


def plan_preemption(
    info: PodInfo,
    columns: Columns,
    profile: Profile,
    decision: Decision,
    budgets: Sequence[Budget] = (),
    *,
    turn: int = 0,
) -> Preemption:
    """Find the node where a place for ``info`` costs least. ``decision`` is why it fits nowhere now."""
    found = find_candidates(info, columns, profile, decision, budgets, turn=turn)
    return found if isinstance(found, Preemption) else choose(found)


def find_candidates(
    info: PodInfo,
    columns: Columns,
    profile: Profile,
    decision: Decision,
    budgets: Sequence[Budget] = (),
    *,
    turn: int = 0,
) -> list[Victims] | Preemption:
    """Return the nodes where room can be made and whom it costs; where there are none, the whole answer."""
    refusal = _not_eligible(info, columns, decision)
    if refusal:
        return Preemption(message=f"preemption: {refusal}", keeps_nomination=True)
    candidates, statuses = _candidates(info, columns, profile, decision, budgets, turn=turn)
    if not candidates:
        return Preemption(message=f"preemption: {no_nodes_message(decision.nodes, statuses)}")
    return candidates


def choose(candidates: Sequence[Victims]) -> Preemption:
    """Return the candidate that costs least."""
    if not candidates:
        return Preemption(message=f"preemption: {NO_CANDIDATE}", keeps_nomination=True)
    best = min(candidates, key=_cost)
    return Preemption(best.node, best.pods)


def _not_eligible(info: PodInfo, columns: Columns, decision: Decision) -> str:
    if info.pod["spec"].get("preemptionPolicy") == "Never":
        return NEVER
    row = columns.rows.get(info.nominated) if info.nominated else None
    helped = decision.resolvable()
    if row is None or helped is None or not helped[row]:
        return ""
    if any(other.priority < info.priority and _is_leaving(other.pod) for other in columns.pods[row].values()):
        return STILL_TERMINATING
    return ""


def _is_leaving(pod: Object) -> bool:
    if not pod["metadata"].get("deletionTimestamp"):
        return False
    condition = get_condition(pod, "DisruptionTarget") or {}
    return condition.get("status") == "True" and condition.get("reason") == VICTIM_REASON


def _candidates(
    info: PodInfo,
    columns: Columns,
    profile: Profile,
    decision: Decision,
    budgets: Sequence[Budget],
    *,
    turn: int,
) -> tuple[list[Victims], Counter[str]]:
    helped = decision.resolvable()
    statuses: Counter[str] = Counter()
    if helped is None:
        return [], Counter({NOT_HELPFUL: decision.nodes})
    rows = np.flatnonzero(helped)
    if decision.nodes > len(rows):
        statuses[NOT_HELPFUL] = decision.nodes - len(rows)
    enough = max(len(rows) // _CANDIDATES_SHARE, _CANDIDATES_LEAST)
    found: list[Victims] = []
    for row in np.roll(rows, -(turn % len(rows))):
        victims = _victims_on(int(row), info, columns, profile, budgets)
        if isinstance(victims, Victims):
            found.append(victims)
            # Going on pays only while every candidate so far would break a budget.
            if len(found) >= enough and any(not one.violations for one in found):
                break
        else:
            statuses.update(victims)
    return found, statuses


def _victims_on(
    row: int, info: PodInfo, columns: Columns, profile: Profile, budgets: Sequence[Budget]
) -> Victims | list[str]:
    """Return the fewest, least important pods to remove from a row, or the reasons why none would do."""
    node = columns.names[row]
    lower = [other for other in columns.pods[row].values() if other.priority < info.priority]
    if not lower:
        return [NO_VICTIMS]
    promised = [(other, name) for other, name in columns.nominated_above(info) if name == node]

    def reasons() -> list[str]:
        against = reasons_against(info, columns, profile, row)
        if against or not promised:
            return against
        with columns.as_if_placed(promised):
            return reasons_against(info, columns, profile, row)

    lower.sort(key=importance)
    for other in lower:
        columns.remove_pod(other.uid)
    try:
        against = reasons()
        if against:
            return against
        return _reprieve(node, lower, columns, budgets, reasons)
    finally:
        for other in lower:
            if other.uid not in columns.placed:
                columns.add_pod(other, node)


def _reprieve(
    node: str,
    removed: list[PodInfo],
    columns: Columns,
    budgets: Sequence[Budget],
    reasons: Callable[[], list[str]],
) -> Victims:
    """Put back what may stay, those whose loss breaks a budget first, then by importance."""
    protected = _violating(removed, budgets)
    victims: list[PodInfo] = []
    violations = 0
    for breaks_budget in (True, False):
        for other in removed:
            if (other.uid in protected) is not breaks_budget:
                continue
            columns.add_pod(other, node)
            if reasons():
                columns.remove_pod(other.uid)
                victims.append(other)
                violations += breaks_budget
    return Victims(node, tuple(sorted(victims, key=importance)), violations)


def _violating(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> set[str]:
    left = [budget.allowed for budget in budgets]
    violating: set[str] = set()
    for info in pods:
        for index, budget in enumerate(budgets):
            if budget.covers(info):
                left[index] -= 1
                if left[index] < 0:
                    violating.add(info.uid)
    return violating


def _started(info: PodInfo) -> str:
    return str((info.pod.get("status") or {}).get("startTime") or _NOT_STARTED)


def importance(info: PodInfo) -> tuple[int, str]:
    """Sort key: higher priority, then longer running, comes first."""
    return -info.priority, _started(info)


class _Latest(str):
    """A start time for which later sorts first."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _cost(victims: Victims) -> tuple[int, int, int, int, _Latest]:
    """Sort key: broken budgets, top priority, sum of priorities, count, latest start of the top ones."""
    pods = victims.pods
    top = pods[0].priority if pods else -_PRIORITY_OFFSET
    total = sum(info.priority + _PRIORITY_OFFSET for info in pods)
    started = min((_started(info) for info in pods if info.priority == top), default=_NOT_STARTED)
    return victims.violations, top, total, len(pods), _Latest(started)
