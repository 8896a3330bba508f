"""Objects that no longer fit the schema that they are stored under, and rules that meet what is in them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apis.apiextensions.rule_checks import Rules

APPLY = "application/apply-patch+yaml"
TEXT = {"type": "string"}
KEYED = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
ITEM = {"type": "object", "properties": {"k": TEXT, "v": {"type": "integer"}}}
ARRAY = "invalid data, expected an array for the provided schema with type=array"
MAP = "invalid data, expected a map for the provided schema with type=object"
NULL = "invalid data, got null for schema with nullable=false"

CASES: dict[str, tuple[dict[str, Any], str, Any, str]] = {
    "an object": ({"type": "object", "properties": {"f": TEXT}}, "has(self.x)", [], MAP),
    "a map": ({"type": "object", "additionalProperties": TEXT}, "has(self.x)", [], MAP),
    "a list": ({"type": "array", "items": TEXT}, "has(self.x)", {}, ARRAY),
    "a set": ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, "has(self.x)", {}, ARRAY),
    "a list by key": ({"type": "array", "items": ITEM, **KEYED}, "has(self.x)", {}, ARRAY),
    "a whole number or a text": (
        {"x-kubernetes-int-or-string": True},
        "has(self.x)",
        True,
        "invalid data, expected XIntOrString value to be either a string or integer",
    ),
    "null in a list": ({"type": "array", "items": TEXT}, "self.x[0] == 'x'", [None], NULL),
    "null in a map": ({"type": "object", "additionalProperties": TEXT}, "self.x.a == 'x'", {"a": None}, NULL),
    "a whole number": (
        {"type": "integer"}, "self.x > 1", "a", "invalid data, expected int, got string",
    ),
    "a whole number with a point": (
        {"type": "integer"}, "self.x > 1", 1.5, "invalid data, expected int, got float64",
    ),
    "a number": ({"type": "number"}, "self.x > 1.0", True, "invalid data, expected float, got bool"),
    "a truth": ({"type": "boolean"}, "self.x", 1, "invalid data, expected bool, got int64"),
    "a text": (TEXT, "self.x == 'a'", {}, "invalid data, expected string, got map[string]interface {}"),
    "a duration": (
        {"type": "string", "format": "duration"},
        "self.x > duration('1s')",
        [],
        "invalid data, expected string, got []interface {}",
    ),
    "a date": (
        {"type": "string", "format": "date"},
        "self.x.getDate() == 1",
        1,
        "invalid data, expected string, got int64",
    ),
    "a moment": (
        {"type": "string", "format": "date-time"},
        "self.x.getDate() == 1",
        1,
        "invalid data, expected string, got int64",
    ),
    "bytes": (
        {"type": "string", "format": "byte"},
        "self.x == b'a'",
        1,
        "invalid data, expected string, got int64",
    ),
    "deep inside": (
        {"type": "array", "items": ITEM},
        "self.x.all(e, e.v > 1)",
        [{"v": "a"}],
        "invalid data, expected int, got string",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_fit_is_told_by_the_rule(name: str) -> None:
    field, rule, value, why = CASES[name]
    schema = {"type": "object", "properties": {"x": field}, "x-kubernetes-validations": [{"rule": rule}]}
    rules = Rules(build_custom(schema), root=False)
    whole = {"x": value}
    faults = rules.check(whole, whole, Budget(), "spec")
    assert [str(fault) for fault in faults] == [
        f'spec: Invalid value: "object": {why} evaluating rule: {rule}'
    ]


def test_null_where_it_may_be_is_null() -> None:
    nullable = {**TEXT, "nullable": True}
    schema = {
        "type": "object",
        "properties": {
            "l": {"type": "array", "items": nullable},
            "m": {"type": "object", "additionalProperties": nullable},
        },
        "x-kubernetes-validations": [
            {"rule": "type(self.l[0]) == null_type && type(self.m.a) == null_type && self.l[1] == 'b'"}
        ],
    }
    rules = Rules(build_custom(schema), root=False)
    assert rules.check({"l": [None, "b"], "m": {"a": None}}) == []


async def test_an_update_beside_them_is_refused_not_broken(api: Any, crds: Any) -> None:
    version = crds.version()
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"] = free
    await crds.make(version)
    await api.create(crds.foos, {**crds.foo("a"), "spec": {"size": "big", "tags": [None]}})
    version["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "tags": {"type": "array", "items": TEXT}},
                "x-kubernetes-validations": [
                    {"rule": "self.size > 1", "message": "too small"},
                    {"rule": "self.tags.all(tag, tag != 'x')"},
                ],
            }
        },
    }
    await crds.change({"spec": {"versions": [version]}})
    answer = await api.patch(f"{crds.foos}/a", {"metadata": {"labels": {"a": "b"}}})
    assert answer.status == 422
    assert "invalid data, expected int, got string evaluating rule: too small" in answer.message
    assert f"{NULL} evaluating rule: self.tags.all" in answer.message


async def test_an_apply_over_them_tells_where_they_are(api: Any, crds: Any) -> None:
    version = crds.version()
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"] = free
    await crds.make(version)
    await api.create(crds.foos, {**crds.foo("a"), "spec": {"ports": [{"port": 1}], "size": "big"}})
    ports = {"type": "array", "items": {**ITEM, "required": ["k"]}, **KEYED}
    spec = {"type": "object", "properties": {"ports": ports, "size": {"type": "integer"}}}
    version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": spec}}
    await crds.change({"spec": {"versions": [version]}})
    applied = {**crds.foo("a"), "spec": {}}
    answer = await api("PATCH", f"{crds.foos}/a?fieldManager=m", orjson.dumps(applied), content_type=APPLY)
    assert answer.status == 500
    assert answer.message == (
        "failed to create typed live object (default/a; example.com/v1, Kind=Foo): errors:\n"
        '  .spec.ports: element 0: associative list with keys has an element that omits key field "k" '
        "(and doesn't have default value)\n"
        "  .spec.size: expected numeric (int or float), got string"
    )
