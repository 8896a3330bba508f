"""What a deletion plans for an object as it is: the rows of upstream's tables, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for
from tiphys.apis.table import TABLE
from tiphys.apiserver.endpoints.params import DeleteOptions
from tiphys.apiserver.handlers.deletion import FOREGROUND, ORPHAN, Plan, plan

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PODS = TABLE.by_kind(GVK("", "v1", "Pod"))
MAPS = TABLE.by_kind(GVK("", "v1", "ConfigMap"))
IDLE = Plan(None, remove=False, idle=True)
GONE = Plan(None, remove=True)


def planned(resource: Any, options: DeleteOptions, *, orphans: bool = False, **metadata: Any) -> Plan:
    assert resource is not None
    strategy = replace(strategy_for(resource.gvk), orphans_dependents=orphans)
    obj = {"metadata": {"name": "o", "generation": 1, **metadata}, "spec": {"nodeName": "n"}}
    return plan(resource, strategy, obj, options, NOW)


def marked(left: int, at: datetime | None = None) -> dict[str, Any]:
    """Return what an earlier deletion left behind that gave ``left`` seconds, from NOW or up to ``at``."""
    ends = at or NOW + timedelta(seconds=left)
    return {"deletionTimestamp": rfc3339(ends), "deletionGracePeriodSeconds": left}


@pytest.mark.parametrize(
    ("left", "wanted", "becomes"),
    [
        (1, 0, 0), (1, 1, None), (1, 2, None), (1, None, None),
        (2, 0, 0), (2, 1, 1), (2, 2, None), (2, 3, None), (2, None, None),
    ],
)  # fmt: skip
def test_a_pod_that_is_going_can_only_go_sooner(left: int, wanted: int | None, becomes: int | None) -> None:
    result = planned(PODS, DeleteOptions(grace_period_s=wanted), **marked(left))
    if becomes is None:
        assert result == IDLE
        return
    assert result.write is not None
    meta = result.write["metadata"]
    assert result.remove is (becomes == 0)
    assert meta["deletionGracePeriodSeconds"] == becomes
    assert meta["deletionTimestamp"] == rfc3339(NOW + timedelta(seconds=becomes))
    assert meta["generation"] == 1


@pytest.mark.parametrize("wanted", [0, 1, 2, None])
def test_a_pod_whose_time_is_over_goes(wanted: int | None) -> None:
    assert planned(PODS, DeleteOptions(grace_period_s=wanted), **marked(0)) == GONE


@pytest.mark.parametrize(("wanted", "becomes"), [(50, 1), (1, 1), (0, 0)])
def test_a_shorter_time_does_not_end_in_the_past(wanted: int, becomes: int) -> None:
    ended = marked(60, at=NOW - timedelta(minutes=1))
    result = planned(PODS, DeleteOptions(grace_period_s=wanted), **ended)
    assert result.write is not None
    meta = result.write["metadata"]
    assert (meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"]) == (rfc3339(NOW), becomes)
    assert result.remove is (becomes == 0)


X, Y = "foo.com/x", "bar.com/y"
PROPAGATIONS = {
    # the object has, the request says, the kind leaves dependents alone, what holds it then
    "none": ([], "", False, []),
    "none, by kind": ([], "", True, [ORPHAN]),
    "foreground": ([], "Foreground", False, [FOREGROUND]),
    "foreground, not by kind": ([], "Foreground", True, [FOREGROUND]),
    "background": ([], "Background", False, []),
    "background, not by kind": ([], "Background", True, []),
    "orphan": ([], "Orphan", False, [ORPHAN]),
    "orphan, also by kind": ([], "Orphan", True, [ORPHAN]),
    "an orphan in the foreground": ([ORPHAN], "Foreground", False, [FOREGROUND]),
    "an orphan in the foreground, not by kind": ([ORPHAN], "Foreground", True, [FOREGROUND]),
    "an orphan in the background": ([ORPHAN], "Background", False, []),
    "an orphan in the background, not by kind": ([ORPHAN], "Background", True, []),
    "an orphan again": ([ORPHAN], "Orphan", False, [ORPHAN]),
    "an orphan again, also by kind": ([ORPHAN], "Orphan", True, [ORPHAN]),
    "an orphan stays": ([ORPHAN], "", False, [ORPHAN]),
    "an orphan stays, also by kind": ([ORPHAN], "", True, [ORPHAN]),
    "foreground again": ([FOREGROUND], "Foreground", False, [FOREGROUND]),
    "foreground again, not by kind": ([FOREGROUND], "Foreground", True, [FOREGROUND]),
    "foreground to background": ([FOREGROUND], "Background", False, []),
    "foreground to background, not by kind": ([FOREGROUND], "Background", True, []),
    "foreground to orphan": ([FOREGROUND], "Orphan", False, [ORPHAN]),
    "foreground to orphan, also by kind": ([FOREGROUND], "Orphan", True, [ORPHAN]),
    "foreground stays": ([FOREGROUND], "", False, [FOREGROUND]),
    "foreground stays, whatever the kind": ([FOREGROUND], "", True, [FOREGROUND]),
    "others keep their places": ([X, ORPHAN, Y], "Orphan", False, [X, ORPHAN, Y]),
    "an orphan comes last": ([X, Y], "Orphan", False, [X, Y, ORPHAN]),
    "others are left": ([X, ORPHAN, Y], "Background", True, [X, Y]),
    "others have their say": ([X, Y], "Background", True, [X, Y]),
    "others and an orphan": ([X, ORPHAN, Y], "", False, [X, ORPHAN, Y]),
    "others and an orphan, also by kind": ([X, ORPHAN, Y], "", True, [X, ORPHAN, Y]),
    "others alone": ([X, Y], "", False, [X, Y]),
    "others and the kind": ([X, Y], "", True, [X, Y, ORPHAN]),
}


@pytest.mark.parametrize("case", PROPAGATIONS)
def test_who_holds_what_is_deleted(case: str) -> None:
    has, policy, orphans, held = PROPAGATIONS[case]
    result = planned(MAPS, DeleteOptions(propagation=policy), orphans=orphans, finalizers=has)
    if not held:
        assert result == GONE
        return
    assert result.write is not None
    assert result.write["metadata"] == {
        "name": "o",
        "generation": 2,
        "finalizers": held,
        "deletionTimestamp": rfc3339(NOW),
        "deletionGracePeriodSeconds": 0,
    }
    assert result.remove is False


@pytest.mark.parametrize(("seconds", "becomes"), [(1, 0), (0, 0), (-1, -1)])
def test_what_is_held_is_marked_from_now_on(seconds: int, becomes: int) -> None:
    at = rfc3339(NOW + timedelta(seconds=seconds))
    result = planned(MAPS, DeleteOptions(), finalizers=[X], deletionTimestamp=at)
    assert result.write is not None
    meta = result.write["metadata"]
    assert meta["deletionTimestamp"] == rfc3339(NOW + timedelta(seconds=becomes))
    assert (meta["generation"], meta["deletionGracePeriodSeconds"]) == (1, 0)


def test_nothing_but_metadata_is_copied() -> None:
    """What is deleted may be large."""
    assert MAPS is not None
    obj = {"metadata": {"name": "o", "finalizers": [X]}, "data": {"a": "b"}}
    found = plan(MAPS, strategy_for(MAPS.gvk), obj, DeleteOptions(), NOW).write
    assert found is not None
    assert found["data"] is obj["data"]
    assert obj["metadata"] == {"name": "o", "finalizers": [X]}
