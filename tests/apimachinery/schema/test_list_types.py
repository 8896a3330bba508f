"""What lists of custom resources may not have twice."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.list_types import list_type_faults

TEXT = {"type": "string"}


def listed(items: dict[str, Any], *keys: str) -> dict[str, Any]:
    kind = "map" if keys else "set"
    schema = {"type": "array", "x-kubernetes-list-type": kind, "items": items}
    return {**schema, "x-kubernetes-list-map-keys": list(keys)} if keys else schema


ONE = {"type": "object", "nullable": True, "additionalProperties": TEXT}
CASES: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "a set": (
        listed(TEXT),
        ["a", "b", "a", "a", "b"],
        ['[2]: Duplicate value: "a"', '[4]: Duplicate value: "b"'],
    ),
    "numbers and truth are apart": (listed({}), [1, 1.5, True, "1", None], []),
    "nothing twice": (listed({}), [None, None], ["[1]: Duplicate value: null"]),
    "objects in any order": (
        listed(ONE),
        [{"a": "1", "b": "2"}, {"b": "2", "a": "1"}],
        ['[1]: Duplicate value: {"a":"1","b":"2"}'],
    ),
    "a map": (
        listed(ONE, "a"),
        [None, {"a": "1"}, {"b": "2"}, {"a": "1"}, {"a": "1"}],
        ["[2]: Duplicate value: {}", '[3]: Duplicate value: {"a":"1"}'],
    ),
    "two keys": (
        listed(ONE, "a", "b"),
        [{"a": "1", "b": "2"}, {"a": "1"}, {"b": "2", "a": "1"}],
        ['[2]: Duplicate value: {"a":"1","b":"2"}'],
    ),
    "no object": (
        listed(ONE, "a"),
        [{"a": "1"}, {"a": "1"}, 5],
        ["[2]: Invalid value: 5: must be an object for an array of list-type map"],
    ),
    "a list before what is in it": (
        listed(listed(TEXT)),
        [["a", "a"], ["a", "a"]],
        ['[1]: Duplicate value: ["a","a"]', '[0][1]: Duplicate value: "a"', '[1][1]: Duplicate value: "a"'],
    ),
    "in a map of anything": (
        {"type": "object", "additionalProperties": listed(TEXT)},
        {"k": ["a", "a"]},
        ['[k][1]: Duplicate value: "a"'],
    ),
    "a plain list": ({"type": "array", "items": TEXT}, ["a", "a"], []),
}


@pytest.mark.parametrize(("schema", "value", "expected"), CASES.values(), ids=CASES)
def test_list_types(schema: dict[str, Any], value: Any, expected: list[str]) -> None:
    whole = build_custom({"type": "object", "properties": {"x": schema}})
    assert [str(fault) for fault in list_type_faults({"x": value}, whole)] == [
        f"x{text}" for text in expected
    ]
