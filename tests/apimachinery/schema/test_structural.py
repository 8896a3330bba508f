from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.structural import apply_defaults, decode_custom, prune
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


KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}
ONE = {"type": "object", "properties": {"a": TEXT}}
UNKNOWN: dict[str, tuple[Any, Any, Any, list[str]]] = {
    "a map of anything, with more in it": (
        {"type": "object", "additionalProperties": True},
        {"a": 1, "b": {"c": 1, "d": [{"e": 1}]}, "f": [{"g": 1}, 2]},
        {"a": 1, "b": {}, "f": [{}, 2]},
        ["b.c", "b.d", "f[0].g"],
    ),
    "a map of anything that keeps": (
        {"type": "object", "additionalProperties": True, **KEEPS}, {"a": {"b": 1}}, {"a": {}}, ["a.b"],
    ),
    "a list without items": ({"type": "array"}, [{"a": 1}, [{"b": 1}]], [{}, [{}]], ["[0].a", "[1][0].b"]),
    "a list that keeps, without items": ({"type": "array", **KEEPS}, [{"a": {}}], [{"a": {}}], []),
    "a list that keeps, with items": (
        {"type": "array", **KEEPS, "items": {"type": "object", "properties": {"a": ONE}}},
        [{"b": {"c": 1}, "a": {"a": "x", "z": 1}}],
        [{"b": {"c": 1}, "a": {"a": "x"}}],
        ["[0].a.z"],
    ),
    "what is named in what keeps": (
        {"type": "object", **KEEPS, "properties": {"one": ONE}},
        {"x": {"y": 1}, "one": {"a": "", "z": 1}},
        {"x": {"y": 1}, "one": {"a": ""}},
        ["one.z"],
    ),
    "values of a map that keeps": (
        {"type": "object", **KEEPS, "additionalProperties": ONE}, {"x": {"a": "", "z": 1}}, {"x": {"a": ""}},
        ["x.z"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_in_a_field(name: str) -> None:
    field, given, expected, unknown = UNKNOWN[name]
    obj = {"f": given}
    faults = prune(obj, build_custom({"type": "object", "properties": {"f": field}}))
    assert obj == {"f": expected}
    places = [f"f{path}" if path.startswith("[") else f"f.{path}" for path in unknown]
    assert faults == [f'unknown field "{place}"' for place in places]


NULLS: dict[str, tuple[Any, Any, Any]] = {
    "of any type": ({}, None, ...),
    "of any type, keeping": (KEEPS, None, ...),
    "of any type, nullable": ({"nullable": True}, None, None),
    "of any type, with a default": ({"default": "A"}, None, "A"),
    "with a default": ({**TEXT, "default": "A"}, None, "A"),
    "nullable, with a default": ({**TEXT, "default": "A", "nullable": True}, None, None),
    "a number or a text": ({"x-kubernetes-int-or-string": True}, None, ...),
    "in a map of anything": ({"type": "object", "additionalProperties": True}, {"a": None}, {"a": None}),
    "in a map": ({"type": "object", "additionalProperties": TEXT}, {"a": None}, {}),
    "in a map with a default": (
        {"type": "object", "additionalProperties": {**TEXT, "default": "A"}}, {"a": None}, {"a": "A"},
    ),
    "in what keeps": ({"type": "object", **KEEPS}, {"a": None}, {"a": None}),
    "in a list": ({"type": "array", "items": ONE}, [None], [None]),
    "in a list with a default": ({"type": "array", "items": {**TEXT, "default": "A"}}, [None], ["A"]),
}  # fmt: skip


@pytest.mark.parametrize("name", NULLS)
def test_nulls(name: str) -> None:
    field, given, expected = NULLS[name]
    obj = {"f": given}
    apply_defaults(obj, build_custom({"type": "object", "properties": {"f": field}}))
    assert obj == ({} if expected is ... else {"f": expected})
