from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.patch.merge import apply

# The cases of RFC 7386, appendix A, that concern objects.
CASES: dict[str, tuple[Any, Any, Any]] = {
    "change": ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    "add": ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    "remove": ({"a": "b"}, {"a": None}, {}),
    "remove one": ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    "list to scalar": ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    "scalar to list": ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    "nested": ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    "lists are replaced": ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    "null stays where it was": ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    "nulls of new objects are dropped": ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    "nulls in objects of new lists are dropped": ({}, {"a": [{"b": None, "c": 1}]}, {"a": [{"c": 1}]}),
    "object over scalar": ({"a": 1}, {"a": {"b": 1, "c": None}}, {"a": {"b": 1}}),
}


@pytest.mark.parametrize(("target", "patch", "expected"), CASES.values(), ids=CASES.keys())
def test_merge(target: Any, patch: Any, expected: Any) -> None:
    before = repr((target, patch))
    assert apply(target, patch) == expected
    assert repr((target, patch)) == before


def test_result_shares_what_the_patch_does_not_reach() -> None:
    target: Any = {"a": {"b": [1]}, "c": {"d": {"e": [2]}, "l": [4]}}
    patch: Any = {"f": {"g": [3]}, "c": {"x": 1, "l": [5]}}
    result = apply(target, patch)
    assert result["a"] is target["a"]
    assert result["c"]["d"] is target["c"]["d"]
    result["c"]["l"].append(9)
    result["c"]["y"] = 9
    result["f"]["g"].append(9)
    assert target == {"a": {"b": [1]}, "c": {"d": {"e": [2]}, "l": [4]}}
    assert patch == {"f": {"g": [3]}, "c": {"x": 1, "l": [5]}}


@pytest.mark.parametrize("patch", [[], "x", None, 1])
def test_only_objects(patch: Any) -> None:
    with pytest.raises(BadRequest, match="Invalid JSON Patch"):
        apply({}, patch)
