"""Where a condition that changes goes, and which time it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(minutes=1)


def condition(type_: str, status: str = "True", reason: str = "Before", now: datetime = THEN) -> Object:
    return conditions.make(type_, status, reason, "", now)


def types(found: list[Object]) -> list[str]:
    return [item["type"] for item in found]


@pytest.mark.parametrize(
    ("new", "kept", "moved"),
    [
        pytest.param(condition("A", "False", now=NOW), ["A", "B"], ["B", "A"], id="changed"),
        pytest.param(condition("A", reason="After", now=NOW), ["A", "B"], ["B", "A"], id="another-reason"),
        pytest.param(condition("A", now=NOW), ["A", "B"], ["A", "B"], id="the-same"),
        pytest.param(condition("C"), ["A", "B", "C"], ["A", "B", "C"], id="new"),
    ],
)
def test_place(new: Object, kept: list[str], moved: list[str]) -> None:
    before = [condition("A"), condition("B")]
    assert types(conditions.put(before, new)) == kept
    assert types(conditions.put_last(before, new)) == moved
    assert before == [condition("A"), condition("B")], "what is cached is not written to"


@pytest.mark.parametrize(
    ("new", "since"),
    [
        pytest.param(condition("A", "False", now=NOW), NOW, id="another-status"),
        pytest.param(condition("A", reason="After", now=NOW), THEN, id="same-status"),
    ],
)
def test_transition_time(new: Object, since: datetime) -> None:
    before = [condition("A")]
    for found in (conditions.put(before, new), conditions.put_last(before, new)):
        assert found == [{**new, "lastTransitionTime": rfc3339(since)}]


def test_message_counts_where_asked() -> None:
    before = [condition("A")]
    new = {**condition("A"), "message": "more"}
    assert conditions.put(before, new) is before
    assert conditions.put(before, new, on_message=True) == [new]
