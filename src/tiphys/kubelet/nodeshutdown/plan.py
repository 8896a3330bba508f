"""Which pods end when as a node shuts down, and how long each may take. Pure.

Source: "Node Shutdowns": graceful node shutdown, and that by the priority of pods.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import Rejection

MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSED = Rejection("NodeShutdown", "Pod was rejected as the node is shutting down.")
_CRITICAL = 2_000_000_000


@dataclass(frozen=True, slots=True)
class ShutdownPeriod:
    """Pods from this priority up to the next period's may take so long."""

    priority: int
    grace_s: int


@dataclass(frozen=True, slots=True)
class Ending:
    """One pod of a group, and what is left to it."""

    pod: Object
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that end together; the next group waits until they are gone, or for ``grace_s``."""

    grace_s: int
    endings: tuple[Ending, ...]


def periods_of(total_s: float, critical_s: float) -> tuple[ShutdownPeriod, ...]:
    """Return the periods that a total, and the part of it for critical pods, stand for; none: no grace."""
    if total_s <= 0 or critical_s > total_s:
        return ()
    return ShutdownPeriod(0, int(total_s - critical_s)), ShutdownPeriod(_CRITICAL, int(critical_s))


def plan_shutdown(periods: Sequence[ShutdownPeriod], pods: Iterable[Object]) -> list[Group]:
    """Return the groups in the order of their end: lowest priority first. ``periods`` is not empty."""
    ordered = sorted(periods, key=lambda item: item.priority)
    priorities = [item.priority for item in ordered]
    members: list[list[Ending]] = [[] for _ in ordered]
    for pod in pods:
        # Below the lowest period there is none: it takes these too.
        index = max(bisect_right(priorities, int(pod["spec"].get("priority") or 0)) - 1, 0)
        grace = ordered[index].grace_s
        own = pod["spec"].get("terminationGracePeriodSeconds")
        seconds = grace if own is None else min(int(own), grace)
        ending = Ending(pod, Rejection("Terminated", MESSAGE, float(seconds), disruption=True))
        members[index].append(ending)
    return [
        Group(period.grace_s, tuple(group)) for period, group in zip(ordered, members, strict=True) if group
    ]


def period_faults(total_s: float, critical_s: float, periods: Sequence[ShutdownPeriod]) -> list[str]:
    """Return what is wrong with settings."""
    faults = []
    if critical_s > total_s:
        faults.append(
            "invalid configuration: shutdownGracePeriodCriticalPods "
            f"{_go(critical_s)} must be <= shutdownGracePeriod {_go(total_s)}"
        )
    for name, seconds in (
        ("shutdownGracePeriod", total_s),
        ("shutdownGracePeriodCriticalPods", critical_s),
    ):
        if seconds < 0 or 0 < seconds < 1:
            faults.append(
                f"invalid configuration: {name} {_go(seconds)} must be either zero or otherwise >= 1 sec"
            )
    if periods and (total_s or critical_s):
        faults.append(
            "invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority "
            "and shutdownGracePeriod at the same time"
        )
    return faults


def _go(seconds: float) -> str:
    return f"{{{seconds:g}s}}"
