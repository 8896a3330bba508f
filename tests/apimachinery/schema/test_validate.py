from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.validate import Validator

CASES: list[tuple[str, dict[str, Any], Any, list[str]]] = [
    (
        "type",
        {"type": "integer"},
        "x",
        ['x: Invalid value: "string": x in body must be of type integer: "string"'],
    ),
    ("number takes integers", {"type": "number"}, 1, []),
    (
        "null",
        {"type": "string"},
        None,
        ['x: Invalid value: "null": x in body must be of type string: "null"'],
    ),
    ("nullable", {"type": "string", "nullable": True}, None, []),
    (
        "minimum",
        {"type": "integer", "minimum": 1},
        0,
        ["x: Invalid value: 0: x in body should be greater than or equal to 1"],
    ),
    (
        "exclusive",
        {"type": "integer", "maximum": 5, "exclusiveMaximum": True},
        5,
        ["x: Invalid value: 5: x in body should be less than 5"],
    ),
    (
        "limit of a whole number",
        {"type": "number", "maximum": 1000000},
        1000001,
        ["x: Invalid value: 1000001: x in body should be less than or equal to 1000000"],
    ),
    (
        "limit of a fraction",
        {"type": "number", "maximum": 1000000},
        1000000.5,
        ["x: Invalid value: 1.0000005e+06: x in body should be less than or equal to 1e+06"],
    ),
    (
        "limit of a number beyond 64 bits",
        {"type": "number", "maximum": 5},
        2**63,
        ["x: Invalid value: 9.223372036854776e+18: x in body should be less than or equal to 5"],
    ),
    (
        "multiple",
        {"type": "integer", "multipleOf": 3},
        4,
        ["x: Invalid value: 4: x in body should be a multiple of 3"],
    ),
    (
        "enum",
        {"type": "string", "enum": ["a", "b"]},
        "c",
        ['x: Unsupported value: "c": supported values: "a", "b"'],
    ),
    (
        "pattern",
        {"type": "string", "pattern": "^a+$"},
        "b",
        ["x: Invalid value: \"b\": x in body should match '^a+$'"],
    ),
    ("pattern of RE2", {"type": "string", "pattern": r"^\pL+$"}, "é", []),
    (
        "pattern of RE2 at the very end",
        {"type": "string", "pattern": r"^[[:alpha:]]$"},
        "a\n",
        ["x: Invalid value: \"a\\n\": x in body should match '^[[:alpha:]]$'"],
    ),
    (
        "pattern that would backtrack for ever",
        {"type": "string", "pattern": "^(a+)+$"},
        "a" * 5000 + "!",
        [f"x: Invalid value: \"{'a' * 5000}!\": x in body should match '^(a+)+$'"],
    ),
    (
        "short",
        {"type": "string", "minLength": 1},
        "",
        ['x: Invalid value: "": x in body should be at least 1 chars long'],
    ),
    ("long", {"type": "string", "maxLength": 2}, "abc", ["x: Too long: may not be more than 2 bytes"]),
    (
        "many",
        {"type": "array", "maxItems": 1, "items": {"type": "string"}},
        ["a", "b"],
        ["x: Too many: 2: must have at most 1 item"],
    ),
    (
        "few",
        {"type": "object", "minProperties": 1},
        {},
        ["x: Invalid value: 0: x in body should have at least 1 properties"],
    ),
    (
        "required",
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
        {},
        ["x.a: Required value"],
    ),
    (
        "nested",
        {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "boolean"}}},
        [{"k": 1}],
        ['x[0].k: Invalid value: "integer": x[0].k in body must be of type boolean: "integer"'],
    ),
    ("int or string", {"x-kubernetes-int-or-string": True}, "5%", []),
    ("int or string with a type", {"type": "string", "x-kubernetes-int-or-string": True}, 5, []),
    (
        "one of",
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {},
        [
            '<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid',
            "x.a: Required value",
        ],
    ),
    (
        "not",
        {"type": "string", "not": {"enum": ["a"]}},
        "a",
        ['<nil>: Invalid value: "": "x" must not validate the schema (not)'],
    ),
    ("any of holds", {"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 5}]}, 3, []),
    (
        "format",
        {"type": "string", "format": "ipv4"},
        "x",
        ['x: Invalid value: "x": x in body must be of type ipv4: "x"'],
    ),
    (
        "int32",
        {"type": "integer", "format": "int32"},
        2**31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in x'],
    ),
    (
        "float",
        {"type": "number", "format": "float"},
        3.5e38,
        ['<nil>: Invalid value: "": Checked value must be of type number with format float in x'],
    ),
    ("double", {"type": "number", "format": "double"}, 3.5e38, []),
    ("a format of other types", {"type": "integer", "format": "float"}, 2**40, []),
    (
        "a bound beyond the format",
        {"type": "integer", "format": "int32", "maximum": 4294967295},
        7,
        ['<nil>: Invalid value: "": Maximum boundary value must be of type integer with format int32 in x'],
    ),
    (
        "bounds that are no integers",
        {"type": "integer", "minimum": 0.5, "multipleOf": 0.5},
        1,
        [
            '<nil>: Invalid value: "": MultipleOf value must be of type integer (default format) in x',
            '<nil>: Invalid value: "": Minimum boundary value must be of type integer (default format) in x',
        ],
    ),
]


@pytest.mark.parametrize(
    ("schema", "value", "texts"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_faults(schema: dict[str, Any], value: Any, texts: list[str]) -> None:
    validator = Validator(build_custom({"type": "object", "properties": {"x": schema}}))
    assert [str(fault) for fault in validator.validate({"x": value})] == texts


def test_what_is_said_of_names_and_versions_holds() -> None:
    text = {"type": "string", "maxLength": 4, "pattern": "^a"}
    named = {"type": "object", "properties": {"name": text}}
    validator = Validator(
        build_custom({"type": "object", "properties": {"metadata": named, "apiVersion": text}})
    )
    assert (
        validator.validate({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "a", "uid": "u"}}) == []
    )
    faults = validator.validate({"apiVersion": "b/v1", "metadata": {"name": "abcde"}})
    assert [fault.field for fault in faults] == ["apiVersion", "metadata.name"]


def test_a_value_has_the_path_that_it_is_given() -> None:
    assert Validator(build_custom({"type": "string"})).validate_value(1, "default")[0].field == "default"


ITEMS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "maxProperties": 1, "properties": {"k": {"type": "string"}}},
}
FREE = {"type": "object", "maxProperties": 0, "x-kubernetes-preserve-unknown-fields": True}
WHOLE = {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"enum": ["b"]}, "c": {}}}
EXCUSED: dict[str, tuple[dict[str, Any], Any, Any, list[str]]] = {
    "a list by key that was put in order": (
        {**ITEMS, "maxItems": 1}, [{"k": "a"}, {"k": "b"}], [{"k": "b"}, {"k": "a"}], []
    ),
    "what no schema describes": (FREE, {"a": 1}, {"a": 1}, ["x"]),
    "a field of what is written as a whole": (WHOLE, {"a": "x", "c": 1}, {"a": "x", "c": 2}, []),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "new", "old", "wanted"), EXCUSED.values(), ids=EXCUSED)
def test_what_an_update_leaves_is_excused(schema: Any, new: Any, old: Any, wanted: list[str]) -> None:
    validator = Validator(build_custom({"type": "object", "properties": {"x": schema}}))
    assert [fault.field for fault in validator.validate({"x": new}, {"x": old})] == wanted


def test_versions_alone_are_never_excused() -> None:
    version = {"type": "string", "enum": ["b/v1"]}
    validator = Validator(build_custom({"type": "object", "properties": {"apiVersion": version}}))
    obj = {"apiVersion": "a/v1", "metadata": {"name": "a"}}
    assert [fault.field for fault in validator.validate(obj, obj)] == ["apiVersion"]
