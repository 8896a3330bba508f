"""Conditions of requests for certificates: which stay as they were, and since when they are."""

from __future__ import annotations

from typing import Any

from tiphys.apis.certificates.conditions import keep_conditions, stamp_conditions


def with_conditions(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


def test_conditions_that_stay_keep_their_time() -> None:
    old = with_conditions({"type": "A", "status": "True", "lastTransitionTime": "then"})
    given = [
        {"type": "A", "status": "True"},
        {"type": "A", "status": "False"},
        {"type": "B", "status": "True", "lastTransitionTime": "told"},
    ]
    new = with_conditions(*given)
    stamp_conditions(new, old, "now")
    times = [condition["lastTransitionTime"] for condition in new["status"]["conditions"]]
    assert times == ["then", "now", "told"]
    assert "lastTransitionTime" not in given[0]


def test_of_conditions_that_are_alike_the_first_tells_the_time() -> None:
    alike = [{"type": "A", "status": "True", "lastTransitionTime": time} for time in ("first", "second")]
    new = with_conditions({"type": "A", "status": "True"})
    stamp_conditions(new, with_conditions({"type": "A", "status": "True"}, *alike), "now")
    assert new["status"]["conditions"][0]["lastTransitionTime"] == "first"


def test_when_they_were_written() -> None:
    new = with_conditions({"type": "A"}, {"type": "B", "lastUpdateTime": "told"})
    stamp_conditions(new, {}, "now")
    assert [condition["lastUpdateTime"] for condition in new["status"]["conditions"]] == ["now", "told"]


def test_nothing_to_stamp() -> None:
    for new in ({}, {"status": {}}, {"status": None}):
        stamp_conditions(new, {}, "now")
        keep_conditions(new, {}, "A")
        assert new in ({}, {"status": {}}, {"status": None})


def test_decisions_keep_their_words() -> None:
    old = with_conditions({"type": "A", "message": "old"}, {"type": "B", "message": "old"})
    new = with_conditions({"type": "B", "message": "new"}, {"type": "A", "message": "new"})
    keep_conditions(new, old, "A")
    assert new == with_conditions({"type": "B", "message": "new"}, {"type": "A", "message": "old"})


def test_one_more_of_a_kind_is_for_validation_to_judge() -> None:
    old, new = with_conditions({"type": "A", "message": "old"}), with_conditions({"type": "A"}, {"type": "A"})
    keep_conditions(new, old, "A")
    assert new == with_conditions({"type": "A"}, {"type": "A"})


def test_what_failed_beside_decisions() -> None:
    """They keep their words and their times, whichever of them came with a time."""
    later = {"lastUpdateTime": "later", "lastTransitionTime": "later"}
    new = with_conditions(*({"type": kind} for kind in "FDADA"))
    old = with_conditions(
        {"type": "D", "reason": "1"}, {"type": "A", "reason": "2"},
        {"type": "D", "reason": "3", **later}, {"type": "A", "reason": "4", **later},
    )  # fmt: skip
    keep_conditions(new, old, "A", "D")
    stamp_conditions(new, old, "now")
    keys = ("type", "reason", "lastUpdateTime", "lastTransitionTime")
    assert [[condition.get(key) for key in keys] for condition in new["status"]["conditions"]] == [
        ["F", None, "now", "now"], ["D", "1", "now", "later"], ["A", "2", "now", "later"],
        ["D", "3", "later", "later"], ["A", "4", "later", "later"],
    ]  # fmt: skip
