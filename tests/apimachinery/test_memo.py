"""The memory of pure functions: bounded, exact, and silent about faults."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tiphys.apimachinery.memo import Checked, Memo, Rewritten, content


def test_content_keeps_apart_what_compares_equal() -> None:
    values: list[Any] = [1, 1.0, True, "1", [1], {"1": 1}, {"1": True}, {"a": 1, "b": 2}, {"b": 2, "a": 1}]
    assert len({content(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    "value",
    [math.nan, {"a": [math.inf]}, {"a": None}, {1: 2}, {"a": 1 << 64}, {"a": "\ud800"}, {"a": object()}],
)
def test_no_content(value: Any) -> None:
    assert content(value) is None


def test_no_content_of_the_very_large() -> None:
    assert content("x" * 30_000) is not None
    assert content("x" * 40_000) is None


def test_memo_forgets_what_was_not_asked_for() -> None:
    memo: Memo[str] = Memo(budget_bytes=100)
    memo.put(b"kept", "yes")
    for index in range(100):
        memo.put(b"%04d" % index, "other")
        assert memo.get(b"kept") == "yes"
    assert memo.get(b"0000") is None
    assert memo.get(b"0099") == "other"


def test_memo_counts_what_answers_weigh() -> None:
    memo: Memo[str] = Memo(budget_bytes=100)
    for index in range(10):
        memo.put(b"%d" % index, "heavy", extra_bytes=60)
    assert [memo.get(b"%d" % index) for index in range(10)].count("heavy") == 1


def test_checked_asks_once_for_what_passes_and_always_for_what_does_not() -> None:
    asked: list[Any] = []

    def check(value: dict[str, Any]) -> list[str]:
        asked.append(value)
        return ["fault"] if value.get("bad") else []

    checked = Checked(check)
    assert [checked({"a": 1}), checked({"a": 1}), checked({"a": 2})] == [[], [], []]
    assert len(asked) == 2
    assert [checked({"bad": 1}), checked({"bad": 1})] == [["fault"], ["fault"]]
    assert len(asked) == 4
    assert [checked({"a": None}), checked({"a": None})] == [[], []]
    assert len(asked) == 6


class _Counting:
    def __init__(self, *, repeatable: bool = True) -> None:
        self.calls = 0
        self._repeatable = repeatable

    def __call__(self, obj: dict[str, Any]) -> bool:
        self.calls += 1
        obj.setdefault("list", []).append(obj.pop("in", "default"))
        return self._repeatable


def test_rewritten_gives_each_its_own() -> None:
    memory, change = Rewritten(), _Counting()
    made = [{"in": "x"} for _ in range(3)]
    for obj in made:
        memory.apply(obj, change)
    assert made == [{"list": ["x"]}] * 3
    assert change.calls == 1
    made[1]["list"].append("mine")
    again = {"in": "x"}
    memory.apply(again, change)
    assert again == {"list": ["x"]}


def test_rewritten_leaves_what_does_not_change() -> None:
    memory, inner = Rewritten(), ["a"]
    calls: list[Any] = []
    for _ in range(2):
        obj = {"list": inner}
        memory.apply(obj, lambda value: calls.append(value) is None)
        assert obj["list"] is inner
    assert len(calls) == 1


def test_rewritten_repeats_only_what_may_be() -> None:
    memory, change = Rewritten(), _Counting(repeatable=False)
    for _ in range(2):
        memory.apply({"in": "x"}, change)
    assert change.calls == 2


def test_rewritten_keeps_nothing_of_a_failure() -> None:
    memory = Rewritten()

    def fail(obj: dict[str, Any]) -> bool:
        obj["half"] = True
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            memory.apply({"a": 1}, fail)
    change = _Counting()
    memory.apply({"a": 1}, change)
    assert change.calls == 1
