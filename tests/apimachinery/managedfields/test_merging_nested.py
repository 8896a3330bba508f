"""Applies and updates in turn: lists and maps within each other, and items that stand twice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apimachinery.managedfields.merging_world import (
    DOUBLED,
    NAMED_A,
    NAMED_A_1,
    NESTED,
    Case,
    Path,
    check_turns,
    item,
    key,
    paths,
    under,
)


def twice(first: Any, second: Any, owned: set[Path]) -> Case:
    return NESTED, [("apply", "me", first), ("apply", "me", second)], second, {"me": owned}


def nested_item(name: str, *inner: str) -> set[Path]:
    return paths(*under((name, key(name="b")), "name", *((("value", step)) for step in inner)))


def lists(name: str, value: Any) -> Any:
    return {"listOfLists": [{"name": name, "value": value}]}


def maps(name: str, value: Any) -> Any:
    return {"listOfMaps": [{"name": name, "value": value}]}


BC, AC_MAP, A_AND_C = {"b": "x", "c": "y"}, {"a": "x", "c": "z"}, (item("a"), item("c"))
VALUE_1 = {"struct": {"value": 1}}
NESTS: dict[str, Case] = {
    "lists of lists, value": twice(
        lists("b", ["b", "c"]), lists("b", ["a", "c"]), nested_item("listOfLists", *A_AND_C)
    ),
    "lists of lists, key": twice(
        lists("a", ["b", "c"]), lists("b", ["a", "c"]), nested_item("listOfLists", *A_AND_C)
    ),
    "lists of maps, value": twice(maps("b", BC), maps("b", AC_MAP), nested_item("listOfMaps", "a", "c")),
    "lists of maps, key": twice(maps("a", BC), maps("b", AC_MAP), nested_item("listOfMaps", "a", "c")),
    "maps of lists, value": twice(
        {"mapOfLists": {"b": ["b", "c"]}},
        {"mapOfLists": {"b": ["a", "c"]}},
        paths(*under(("mapOfLists", "b"), *A_AND_C)),
    ),
    "maps of lists, key": twice(
        {"mapOfLists": {"a": ["b", "c"]}},
        {"mapOfLists": {"b": ["a", "c"]}},
        paths(*under(("mapOfLists", "b"), *A_AND_C)),
    ),
    "maps of maps, value": twice(
        {"mapOfMaps": {"b": BC}}, {"mapOfMaps": {"b": AC_MAP}}, paths(*under(("mapOfMaps", "b"), "a", "c"))
    ),
    "maps of maps, key": twice(
        {"mapOfMaps": {"a": BC}}, {"mapOfMaps": {"b": AC_MAP}}, paths(*under(("mapOfMaps", "b"), "a", "c"))
    ),
    "recursive, a key in the middle": twice(
        {"recursive": {"a": {"b": {"c": None}}}},
        {"recursive": {"a": {"d": {"c": None}}}},
        paths(*under(("recursive", "a"), "d", ("d", "c"))),
    ),
    "nothing left": (NESTED, [("apply", "me", NAMED_A_1), ("apply", "me", None)], None, {}),
    "nothing left in it": (
        NESTED,
        [("apply", "me", NAMED_A), ("apply", "me", {"struct": None})],
        {"struct": None},
        {"me": paths("struct")},
    ),
    "another's stays, without the parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", None)],
        VALUE_1,
        {"other": paths(("struct", "value"))},
    ),
    "another's stays, an empty parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", {"struct": {}})],
        VALUE_1,
        {"me": paths("struct"), "other": paths(("struct", "value"))},
    ),
    "another's stays, a null parent": (
        NESTED,
        [("apply", "me", NAMED_A), ("update", "other", NAMED_A_1), ("apply", "me", {"struct": None})],
        VALUE_1,
        {"me": paths("struct"), "other": paths(("struct", "value"))},
    ),
    "another took over": (
        NESTED,
        [
            ("apply", "me", NAMED_A),
            ("update", "other", {"struct": {"name": "b", "value": 1}}),
            ("apply", "me", {"struct": None}),
        ],
        {"struct": {"name": "b", "value": 1}},
        {"me": paths("struct"), "other": paths(("struct", "name"), ("struct", "value"))},
    ),
}
A1, A2, A3, B3, B4 = (
    {"name": name, "value1": value} for name, value in (("a", 1), ("a", 2), ("a", 3), ("b", 3), ("b", 4))
)
LIST_A, LIST_B = ("list", key(name="a")), ("list", key(name="b"))
WHOLE_A, WHOLE_B = under(LIST_A, "name", "value1"), under(LIST_B, "name", "value1")
ONE, THREE, FOUR, FIVE = (("set", item(number)) for number in (1, 3, 4, 5))
DOUBLES: dict[str, Case] = {
    "set": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]})],
        {"set": [1, 1, 3, 4]},
        {"one": paths("set", ONE, THREE, FOUR)},
    ),
    "set, doubled by another": (
        DOUBLED,
        [("update", "one", {"set": [1, 3, 4]}), ("update", "two", {"set": [1, 1, 3, 4]})],
        {"set": [1, 1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "two": paths(ONE)},
    ),
    "set, no longer doubled": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]}), ("update", "two", {"set": [1, 3, 4]})],
        {"set": [1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "two": paths(ONE)},
    ),
    "set, a doubled one applied": (
        DOUBLED,
        [
            ("update", "one", {"set": [1, 1, 3, 4]}),
            ("apply", "me", {"set": [1]}, {("one", ".spec.set[=1]")}),
            ("force", "me", {"set": [1]}),
        ],
        {"set": [1, 3, 4]},
        {"one": paths("set", THREE, FOUR), "me": paths(ONE)},
    ),
    "set, another one applied": (
        DOUBLED,
        [("update", "one", {"set": [1, 1, 3, 4]}), ("apply", "me", {"set": [5]})],
        {"set": [1, 1, 3, 4, 5]},
        {"one": paths("set", ONE, THREE, FOUR), "me": paths(FIVE)},
    ),
    "list": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]})],
        {"list": [A1, A2, B3]},
        {"one": paths("list", LIST_A, *WHOLE_B)},
    ),
    "list, a doubled one changed": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("update", "two", {"list": [A1, A3, B3]})],
        {"list": [A1, A3, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, a field added to a doubled one": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("update", "two", {"list": [A1, {**A2, "value2": 3}, B3]}),
        ],
        {"list": [A1, {**A2, "value2": 3}, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, doubled by another": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, B3]}),
            ("update", "two", {"list": [A1, {"name": "a", "value2": 3}, B3]}),
        ],
        {"list": [A1, {"name": "a", "value2": 3}, B3]},
        {"one": paths("list", *WHOLE_B), "two": paths(LIST_A)},
    ),
    "list, another item": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2]}), ("update", "two", {"list": [A1, A2, B3]})],
        {"list": [A1, A2, B3]},
        {"one": paths("list", LIST_A), "two": paths(*WHOLE_B)},
    ),
    "list, something else applied": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("force", "me", {"unrelated": 5})],
        {"list": [A1, A2, B3], "unrelated": 5},
        {"one": paths("list", LIST_A, *WHOLE_B), "me": paths("unrelated")},
    ),
    "list, a doubled one applied": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [A3]}, {("one", '.spec.list[name="a"]')}),
            ("force", "me", {"list": [A3]}),
        ],
        {"list": [A3, B3]},
        {"one": paths("list", *WHOLE_B), "me": paths(*WHOLE_A)},
    ),
    "list, a doubled one applied as it is": (
        DOUBLED,
        [
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [A2]}, {("one", '.spec.list[name="a"]')}),
            ("force", "me", {"list": [A3]}),
        ],
        {"list": [A3, B3]},
        {"one": paths("list", *WHOLE_B), "me": paths(*WHOLE_A)},
    ),
    "list, one beside doubled ones applied": (
        DOUBLED,
        [("update", "one", {"list": [A1, A2, B3]}), ("force", "me", {"list": [B4]})],
        {"list": [A1, A2, B4]},
        {"one": paths("list", LIST_A, *under(LIST_B, "name")), "me": paths(*WHOLE_B)},
    ),
    "list, what was doubled is no longer applied": (
        DOUBLED,
        [
            ("apply", "me", {"list": [A1, B3]}),
            ("update", "one", {"list": [A1, A2, B3]}),
            ("apply", "me", {"list": [B3]}),
        ],
        {"list": [A1, A2, B3]},
        {"me": paths(*WHOLE_B), "one": paths(LIST_A)},
    ),
}


@pytest.mark.parametrize("case", NESTS.values(), ids=NESTS)
def test_nested(case: Case) -> None:
    check_turns(case)


@pytest.mark.parametrize("case", DOUBLES.values(), ids=DOUBLES)
def test_doubled(case: Case) -> None:
    check_turns(case)
