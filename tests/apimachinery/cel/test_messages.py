"""JSON, packed and empty messages made by name: what they give, cost and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import types
from tiphys.apimachinery.cel.declarations import declare
from tiphys.apimachinery.cel.environment import Budget, CompileError, Environment
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.values import NONE, Duration, Optional, Timestamp, Uint, equals
from tiphys.apimachinery.schema.node import Schema

_TEXT = Schema(type="string")
_SELF = declare(
    Schema(
        type="object",
        properties={
            "texts": Schema(type="array", items=_TEXT),
            "labels": Schema(type="object", additional=_TEXT),
            "inner": Schema(type="object", properties={"name": _TEXT}),
        },
    )
)
assert _SELF is not None
ENVIRONMENT = Environment({"d": types.DYN, "i": types.INT, "self": _SELF})
VALUES: dict[str, Any] = {
    "i": 5,
    "d": {
        "bool": True, "int": 7, "uint": Uint(7), "double": 1.5, "text": "x", "bytes": b"x", "nil": None,
        "time": Timestamp(0), "span": Duration(90 * 10**9), "list": [1], "map": {"a": 1}, "none": NONE,
        "some": Optional("x"), "large": 2**53, "largest": 2**53 - 1,
    },
    "self": {"texts": ["a"], "labels": {"b": "c"}, "inner": {"name": "n"}},
}  # fmt: skip
_VALUE, _STRUCT, _LIST = "google.protobuf.Value", "google.protobuf.Struct", "google.protobuf.ListValue"
_ANY, _EMPTY = "google.protobuf.Any", "google.protobuf.Empty"
_URL = "type.googleapis.com/google.protobuf"
_MOST = "\\xff" * 8 + "\\x7f"

GIVES: dict[str, Any] = {
    f"{_VALUE}{{}}": None,
    f"{_VALUE}{{null_value: google.protobuf.NullValue.NULL_VALUE}}": None,
    f"{_VALUE}{{null_value: 1}} == null": True,
    f"{_VALUE}{{number_value: 1.5}}": 1.5,
    f"{_VALUE}{{string_value: 'x'}} + 'y'": "xy",
    f"{_VALUE}{{bool_value: true}} && true": True,
    f"{_VALUE}{{?bool_value: optional.none()}}": None,
    f"{_VALUE}{{list_value: [1, i]}}": [1.0, 5.0],
    f"{_VALUE}{{struct_value: {{'a': 1}}}}.a": 1.0,
    f"{_VALUE}{{string_value: 'x', number_value: 2.0}}": 2.0,
    f"{_STRUCT}{{}}": {},
    f"{_STRUCT}{{fields: {{'a': 1}}}} == {{'a': 1.0}}": True,
    f"{_STRUCT}{{fields: {{'a': {{'b': [null]}}}}}}": {"a": {"b": [None]}},
    f"type({_STRUCT}{{}}) == map": True,
    f"type({_STRUCT}{{fields: {{'a': 1}}}}.a) == double": True,
    f"{_STRUCT}{{fields: self.labels}}": {"b": "c"},
    f"{_STRUCT}{{fields: {{'empty': {_EMPTY}{{}}}}}}": {"empty": {}},
    f"{_STRUCT}{{fields: {{'a': d.some}}}}": {"a": "x"},
    f"{_LIST}{{}}": [],
    f"{_LIST}{{values: self.texts}}": ["a"],
    f"{_LIST}{{values: [d.int, d.uint, d.double, d.bool, d.nil, d.list, d.map]}}": [
        7.0, 7.0, 1.5, True, None, [1.0], {"a": 1.0},
    ],
    f"{_LIST}{{values: [d.large, d.largest, -d.large, uint(d.large)]}}": [
        "9007199254740992", 9007199254740991.0, "-9007199254740992", "9007199254740992",
    ],
    f"{_LIST}{{values: [d.bytes, d.time, d.span]}}": ["eA==", "1970-01-01T00:00:00Z", "90s"],
    f"type({_LIST}{{}}) == list": True,
    f"{_EMPTY}{{}} == {_EMPTY}{{}}": True,
    f"type({_EMPTY}{{}}) == {_EMPTY}": True,
    f"{_ANY}{{type_url: '{_URL}.Int64Value', value: b'\\x08\\x07'}}": 7,
    f"{_ANY}{{type_url: '{_URL}.UInt32Value', value: b'\\x08\\x07'}}": Uint(7),
    f"{_ANY}{{type_url: '{_URL}.StringValue'}} == ''": True,
    f"{_ANY}{{type_url: 'google.protobuf.BytesValue', value: b'\\x0a\\x01x'}}": b"x",
    f"{_ANY}{{type_url: '{_URL}.Duration', value: b'\\x08\\x5a'}}": Duration(90 * 10**9),
    f"{_ANY}{{type_url: '{_URL}.Timestamp', value: b'\\x08\\x5a'}}": Timestamp(90 * 10**9),
    f"{_ANY}{{type_url: '{_URL}.Duration', value: b'\\x08{_MOST}'}}": Duration(2**63 - 1),
    f"{_ANY}{{type_url: '{_URL}.Value', value: b'\\x1a\\x01x'}}": "x",
    f"{_ANY}{{type_url: '{_URL}.Value'}}": None,
    f"{_ANY}{{type_url: '{_URL}.Struct', value: b'\\x0a\\x08\\x0a\\x01a\\x12\\x03\\x1a\\x01b'}}": {"a": "b"},
    f"{_ANY}{{type_url: '{_URL}.ListValue', value: b'\\x0a\\x02\\x20\\x01'}}": [True],
    f"{_ANY}{{type_url: '{_URL}.Empty'}} == {_EMPTY}{{}}": True,
    "google.protobuf.NullValue.NULL_VALUE": 0,
}  # fmt: skip

_FIELD = "field type conversion error for google.protobuf."
_PACKED = "unsupported conversion to ref.Val: (*dynamicpb.Message)"
FAILS: dict[str, str] = {
    f"{_VALUE}{{null_value: 2147483648}}": f"{_FIELD}Value.null_value value type: integer overflow",
    f"{_VALUE}{{null_value: d.nil}}": (
        f"{_FIELD}Value.null_value value type: "
        "type conversion error from 'null_type' to 'protoreflect.EnumNumber'"
    ),
    f"{_VALUE}{{number_value: d.int}}": (
        f"{_FIELD}Value.number_value value type: unsupported type conversion from 'int' to float64"
    ),
    f"{_VALUE}{{bool_value: d.text}}": (
        f"{_FIELD}Value.bool_value value type: unsupported native conversion from string to 'bool'"
    ),
    f"{_VALUE}{{string_value: d.bool}}": (
        f"{_FIELD}Value.string_value value type: type conversion error from bool to 'string'"
    ),
    f"{_VALUE}{{string_value: d.double}}": (
        f"{_FIELD}Value.string_value value type: type conversion error from Double to 'string'"
    ),
    f"{_VALUE}{{string_value: d.none}}": (
        f"{_FIELD}Value.string_value value type: optional.none() dereference"
    ),
    f"{_VALUE}{{list_value: d.int}}": (
        f"{_FIELD}Value.list_value value type: unsupported type conversion from 'int' to *structpb.ListValue"
    ),
    f"{_VALUE}{{list_value: self.texts}}": (
        f"{_FIELD}Value.list_value value type: type conversion error from 'list' to '*structpb.ListValue'"
    ),
    f"{_VALUE}{{struct_value: self.labels}}": (
        f"{_FIELD}Value.struct_value value type: type conversion error from 'map' to '*structpb.Struct'"
    ),
    f"{_VALUE}{{struct_value: d.list}}": (
        f"{_FIELD}Value.struct_value value type: type conversion error from list to '*structpb.Struct'"
    ),
    f"{_STRUCT}{{}}.a": "no such key: a",
    f"{_STRUCT}{{fields: dyn({{1: 2}})}}": (
        f"{_FIELD}Struct.fields value type: unsupported type conversion from 'int' to string"
    ),
    f"{_STRUCT}{{fields: d.text}}": "unsupported field type for google.protobuf.Struct.fields: string",
    f"{_STRUCT}{{fields: {{'a': type(1)}}}}": (
        f"{_FIELD}Struct.fields value type: type conversion not supported for 'type'"
    ),
    f"{_STRUCT}{{fields: {{'a': self.inner}}}}": (
        f"{_FIELD}Struct.fields value type: type conversion error from 'map' to '*structpb.Value'"
    ),
    f"{_LIST}{{values: d.nil}}": "unsupported field type for google.protobuf.ListValue.values: null_type",
    f"{_LIST}{{values: [quantity('1')]}}": (
        f"{_FIELD}ListValue.values value type: type conversion error from 'Quantity' to '*structpb.Value'"
    ),
    f"{_ANY}{{}}": _PACKED,
    f"{_ANY}{{type_url: 'nix', value: b'\\xff\"\\n'}}": f'{_PACKED}type_url:"nix" value:"\\xff\\"\\n"',
    f"{_ANY}{{type_url: '{_URL}.Int64Value', value: b'\\x08'}}": (
        f'{_PACKED}type_url:"{_URL}.Int64Value" value:"\\x08"'
    ),
    "google.protobuf.Int64Value{value: d.nil}": (
        f"{_FIELD}Int64Value.value value type: type conversion error from 'null_type' to 'int64'"
    ),
    "google.protobuf.BytesValue{value: d.time}": (
        f"{_FIELD}BytesValue.value value type: type conversion error from 'Timestamp' to '[]uint8'"
    ),
    "list{values: [1]}": "unknown type 'list'",
    "null_type{}": "unknown type 'null_type'",
    "timestamp": "no such attribute(s): timestamp",
}
REFUSED: dict[str, str] = {
    f"{_VALUE}{{number_value: 1}}": (
        "expected type of field 'number_value' is 'double' but provided type is 'int'"
    ),
    f"{_VALUE}{{null_value: null}}": (
        "expected type of field 'null_value' is 'int' but provided type is 'null'"
    ),
    f"{_VALUE}{{value: 1}}": "undefined field 'value'",
    f"{_STRUCT}{{fields: [1]}}": (
        "expected type of field 'fields' is 'map(string, dyn)' but provided type is 'list(int)'"
    ),
    f"{_LIST}{{values: {{}}}}": (
        "expected type of field 'values' is 'list(dyn)' but provided type is 'map(_var0, _var1)'"
    ),
    f"{_ANY}{{value: 'x'}}": "expected type of field 'value' is 'bytes' but provided type is 'string'",
    f"{_EMPTY}{{x: 1}}": "undefined field 'x'",
    f"{_EMPTY}{{}}.x": "undefined field 'x'",
    "google.protobuf.NullValue{}": "undeclared reference to 'google.protobuf.NullValue' (in container '')",
    "google.protobuf.FieldMask{}": "undeclared reference to 'google.protobuf.FieldMask' (in container '')",
    "null_type{x: 1}": "unexpected failed resolution of 'google.protobuf.NullValue'",
    "int{x: 1}": "undefined field 'x'",
    "map{x: 1}": "'map' is not a message type",
    "type{x: 1}": "unexpected failed resolution of 'type'",
    "dyn": "undeclared reference to 'dyn' (in container '')",
    "timestamp{seconds: 1}": "'google.protobuf.Timestamp' is not a type",
    "type(i) == duration": "found no matching overload for '_==_' applied to '(type(int), duration)'",
    _STRUCT: "program instantiation failed: reference to undefined type: google.protobuf.Struct",
    f"type({_VALUE}{{}}) == google.protobuf.Int64Value": (
        "program instantiation failed: reference to undefined type: google.protobuf.Int64Value"
    ),
}
TYPES = {
    f"{_VALUE}{{}}": "dyn",
    f"{_STRUCT}{{}}": "map(string, dyn)",
    f"{_LIST}{{}}": "list(dyn)",
    f"{_ANY}{{}}": "any",
    f"{_EMPTY}{{}}": _EMPTY,
}


@pytest.mark.parametrize("expression", GIVES)
def test_gives(expression: str) -> None:
    found = ENVIRONMENT.compile(expression).evaluate(VALUES)
    assert equals(found, GIVES[expression]), found
    assert type(found) is type(GIVES[expression])


@pytest.mark.parametrize("expression", FAILS)
def test_fails(expression: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(expression).evaluate(VALUES)
    assert str(caught.value) == FAILS[expression]


@pytest.mark.parametrize("expression", REFUSED)
def test_is_refused(expression: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    assert REFUSED[expression] in caught.value.told()


@pytest.mark.parametrize("expression", TYPES)
def test_has_a_type(expression: str) -> None:
    assert str(ENVIRONMENT.compile(expression).result) == TYPES[expression]


def test_making_one_costs_as_any_message_does() -> None:
    program = ENVIRONMENT.compile(f"{_STRUCT}{{fields: {{'a': i}}}}.a == 5")
    budget = Budget()
    assert program.evaluate(VALUES, budget) is True
    assert budget.last == 40 + 30 + 1 + 2 + 1
    assert program.cost_estimate().most == 40 + 30 + 1 + 1 + 1
