"""When a range of cluster IPs is ready, and when one may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.servicecidr.plan import (
    ALLOCATOR,
    FINALIZER,
    MANAGED_BY,
    READY,
    TERMINATING,
    Plan,
    containing,
    overlapping,
    plan,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Cidr = dict[str, Any]


def cidr(
    name: str, *ranges: str, going_s: float | None = None, finalizers: Any = (FINALIZER,), ready: Any = None
):
    meta: Cidr = {"name": name, "finalizers": list(finalizers)}
    if going_s is not None:
        meta["deletionTimestamp"] = rfc3339(NOW - timedelta(seconds=going_s))
    status = {"conditions": [ready]} if ready else {}
    return {"metadata": meta, "spec": {"cidrs": list(ranges)}, "status": status}


def address(name: str, owner: str = ALLOCATOR) -> Cidr:
    return {"metadata": {"name": name, "labels": {MANAGED_BY: owner}}}


def condition(status: str, reason: str, message: str, when: datetime = NOW) -> Cidr:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": rfc3339(when),
    }


IS_READY = condition("True", "", READY)
BLOCKED = condition("False", "Terminating", TERMINATING)
GOING = cidr("a", "10.0.0.0/24", going_s=11)
PLANS: dict[str, tuple[Cidr, list[Cidr], list[Cidr], Plan]] = {
    "new": (cidr("a", "10.0.0.0/24", finalizers=()), [], [], Plan([FINALIZER], IS_READY)),
    "settled": (cidr("a", "10.0.0.0/24", ready=IS_READY), [], [], Plan()),
    "default range's own text is replaced, not its time": (
        cidr("a", "10.0.0.0/24", ready=condition("True", "", "x", NOW - timedelta(days=1))),
        [],
        [],
        Plan(None, condition("True", "", READY, NOW - timedelta(days=1))),
    ),
    "going, unused": (GOING, [], [], Plan([])),
    "going, too fresh": (cidr("a", "10.0.0.0/24", going_s=4), [], [], Plan(again_s=6.0)),
    "going, used": (GOING, [], [address("10.0.0.9")], Plan(condition=BLOCKED)),
    "going, used, told": (
        cidr("a", "10.0.0.0/24", going_s=11, ready=BLOCKED),
        [],
        [address("10.0.0.9")],
        Plan(),
    ),
    "going, used by others than Services": (GOING, [], [address("10.0.0.9", "x")], Plan([])),
    "going, inside another": (GOING, [cidr("b", "10.0.0.0/16")], [address("10.0.0.9")], Plan([])),
    "going, the same as another": (GOING, [cidr("b", "10.0.0.0/24")], [address("10.0.0.9")], Plan([])),
    "going, part of it is in another": (
        GOING,
        [cidr("b", "10.0.0.0/28")],
        [address("10.0.0.9")],
        Plan([]),
    ),
    "going, an address is not in the other": (
        GOING,
        [cidr("b", "10.0.0.0/28")],
        [address("10.0.0.99")],
        Plan(condition=BLOCKED),
    ),
    "going, the other's broadcast address is not the other's": (
        GOING,
        [cidr("b", "10.0.0.0/28")],
        [address("10.0.0.15")],
        Plan(condition=BLOCKED),
    ),
    "going, used, and kept by others alone": (
        cidr("a", "10.0.0.0/24", going_s=11, finalizers=("x/y",)),
        [],
        [address("10.0.0.9")],
        Plan(condition=BLOCKED),
    ),
    "gone as far as we care": (cidr("a", "10.0.0.0/24", going_s=11, finalizers=("x/y",)), [], [], Plan()),
}


@pytest.mark.parametrize(("one", "others", "addresses", "expected"), PLANS.values(), ids=PLANS)
def test_plan(one: Cidr, others: list[Cidr], addresses: list[Cidr], expected: Plan) -> None:
    assert plan(one, [one, *others], addresses, NOW) == expected


def test_who_is_concerned() -> None:
    every = [cidr("a", "10.0.0.0/24"), cidr("b", "10.0.0.0/16", "fd00::/64"), cidr("c", "fd00::/112")]
    assert overlapping(every[0], every) == ["a", "b"]
    assert overlapping(every[2], every) == ["b", "c"]
    assert containing(address("10.0.0.3"), every) == ["a", "b"]
    assert containing(address("fd00::3"), every) == ["b", "c"]
    assert containing(address("10.0.0.3", "x"), every) == []
    assert containing(address("x"), every) == []
