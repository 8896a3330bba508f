from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.structural import apply_defaults, decode_custom
from tiphys.apimachinery.schema.validate import Validator
from tiphys.apimachinery.schema.walk import DecodeError
from tiphys.apis.schemas import object_meta

SCHEMA = build_custom(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "default": {},
                "properties": {
                    "size": {"type": "integer", "default": 2},
                    "maybe": {"type": "string", "nullable": True},
                    "plain": {"type": "string"},
                    "items": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}},
                    },
                    "map": {
                        "type": "object",
                        "additionalProperties": {"type": "object", "properties": {"b": {"type": "string"}}},
                    },
                    "open": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                        "properties": {"shut": {"type": "object", "properties": {"c": {"type": "string"}}}},
                    },
                    "template": {"type": "object", "x-kubernetes-embedded-resource": True},
                },
            }
        },
    }
)


def test_unknown_fields_are_pruned_and_named() -> None:
    obj: dict[str, Any] = {
        "apiVersion": "e/v1",
        "kind": "W",
        "metadata": {"name": "a", "typo": 1},
        "extra": 1,
        "spec": {
            "items": [{"a": "1"}, {"z": 1}],
            "map": {"k": {"b": "", "z": 1}},
            "open": {"any": {"thing": 1}, "shut": {"z": 1}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}},
        },
    }
    faults = decode_custom(obj, SCHEMA, object_meta(), "Strict")
    assert faults == [
        'unknown field "metadata.typo"',
        'unknown field "extra"',
        'unknown field "spec.items[1].z"',
        'unknown field "spec.map.k.z"',
        'unknown field "spec.open.shut.z"',
        'unknown field "spec.template.spec"',
    ]
    assert obj == {
        "apiVersion": "e/v1",
        "kind": "W",
        "metadata": {"name": "a"},
        "spec": {
            "size": 2,
            "items": [{"a": "1"}, {"a": "x"}],
            "map": {"k": {"b": ""}},
            "open": {"any": {"thing": 1}, "shut": {}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}},
        },
    }


def test_defaults_and_nulls() -> None:
    obj: dict[str, Any] = {"spec": {"size": None, "maybe": None, "plain": None}}
    apply_defaults(obj, SCHEMA)
    assert obj == {"spec": {"size": 2, "maybe": None}}
    empty: dict[str, Any] = {}
    apply_defaults(empty, SCHEMA)
    assert empty == {"spec": {"size": 2}}
    empty["spec"]["size"] = 3
    again: dict[str, Any] = {}
    apply_defaults(again, SCHEMA)
    assert again == {"spec": {"size": 2}}


def test_without_a_schema_everything_stays() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "a"}, "x": None}
    assert decode_custom(obj, None, object_meta(), "Strict") == []
    assert obj == {"metadata": {"name": "a"}, "x": None}


def test_metadata_is_typed() -> None:
    with pytest.raises(DecodeError, match=r"ObjectMeta\.metadata\.name of type string"):
        decode_custom({"metadata": {"name": 5}}, SCHEMA, object_meta())


def test_nulls_in_lists_become_the_default_of_items() -> None:
    for items, wanted in (
        ({"default": "A"}, ["A"]),
        ({"default": "A", "nullable": True}, [None]),
        ({}, [None]),
    ):
        value: list[Any] = [None]
        apply_defaults(value, build_custom({"type": "array", "items": items}))
        assert value == wanted


def test_items_of_which_there_are_many_are_told_once() -> None:
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}
    items = {"type": "object", "nullable": True, "additionalProperties": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {**keyed, "items": items},
        },
    }
    value = {"set": ["a", "b", "a", "a", "b"], "map": [None, {"a": "1"}, {"b": "2"}, {"a": "1"}, {"a": "1"}]}
    assert [str(fault) for fault in Validator(build_custom(schema)).validate(value)] == [
        'set[2]: Duplicate value: "a"',
        'set[4]: Duplicate value: "b"',
        "map[2]: Duplicate value: {}",
        'map[3]: Duplicate value: {"a":"1"}',
    ]
