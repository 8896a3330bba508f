"""Which of several pods is missed least: the order in which controllers take pods away. Pure.

Source: upstream's order of active pods (unassigned, pending, not ready, cheap, crowded, young ones first).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def rank_for_deletion(
    pods: Sequence[Object], related: Sequence[Object] = (), now: datetime | None = None, *, costs: bool = True
) -> list[Object]:
    """Sort pods: those that are missed least come first.

    ``related`` are pods of the same application, whose crowd on a node counts; ``costs``: the users' own
    annotation counts. With ``now`` ages are compared by magnitude, and pods about as old as each other go in
    the order of their uids: which of a batch goes is left to chance.
    """
    crowd = Counter(
        podstate.node_name(pod) for pod in related if podstate.is_active(pod) and podstate.node_name(pod)
    )

    def usual(pod: Object) -> tuple[Any, ...]:
        cost = deletion_cost(pod) if costs else 0
        phase = _PHASES.get(podstate.phase(pod), 0)
        return (
            bool(podstate.node_name(pod)),
            phase,
            podstate.is_ready(pod),
            cost,
            -crowd[podstate.node_name(pod)],
        )

    def compare(one: Object, other: Object) -> int:
        first, second = usual(one), usual(other)
        if first != second:
            return -1 if first < second else 1
        return (
            (_younger(one, other, podstate.ready_since, now) if first[2] else 0)
            or _more_restarts(one, other)
            or _younger(one, other, _created, now)
            or (-1 if one["metadata"]["name"] < other["metadata"]["name"] else 1)
        )

    return sorted(pods, key=cmp_to_key(compare))


def deletion_cost(pod: Object) -> int:
    """Read the cost annotation; what is no number counts as none, as admission refuses those."""
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    return atoi(text) or 0


def _younger(
    one: Object, other: Object, at: Callable[[Object], datetime | None], now: datetime | None
) -> int:
    """Compare by a time: none before any, late before early."""
    first, second = at(one), at(other)
    if first == second:
        return 0
    if first is None or second is None:
        return -1 if first is None else 1
    if now is None:
        return -1 if first > second else 1
    steps = _magnitude(first, now) - _magnitude(second, now)
    return steps or (-1 if _uid(one) < _uid(other) else 1)


def _magnitude(moment: datetime, now: datetime) -> int:
    """Return the power of two of an age in nanoseconds."""
    age_ns = (now - moment).total_seconds() * 1e9
    return int(math.log2(age_ns)) if age_ns > 0 else -1


def _more_restarts(one: Object, other: Object) -> int:
    first, second = podstate.restarts(one), podstate.restarts(other)
    return (first < second) - (first > second)


def _created(pod: Object) -> datetime | None:
    created = pod["metadata"].get("creationTimestamp")
    return parse_time(created) if created else None


def _uid(pod: Object) -> str:
    return str(pod["metadata"].get("uid") or "")
