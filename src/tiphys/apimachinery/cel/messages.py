"""Values made by the names of their protobuf messages: ``google.protobuf.Timestamp{seconds: 1}``. Pure.

Owns: the well-known messages. What most of them make is a value as any other and has no fields: moments,
lengths of time, the wrappers of plain values, JSON (maps, lists, anything), what an ``Any`` is packed around.
Source: cel-spec, "Protocol Buffer Data Conversion".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tiphys.apimachinery.cel import native, packed
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.types import (
    ANY,
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    object_of,
    wrapper_of,
)
from tiphys.apimachinery.cel.values import (
    MAX_INT,
    MIN_INT,
    SECOND,
    Duration,
    Struct,
    Timestamp,
    Uint,
    is_list,
    is_map,
    timestamp,
    type_name,
)
from tiphys.apimachinery.dataclass import dataclass

_PREFIX = "google.protobuf."
_TEXTS, _ITEMS = map_of(STRING, DYN), list_of(DYN)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that expressions may make: its type as a value, its fields, and what they make.

    ``fields`` is None where there are none to look up.
    """

    type: Type
    fields: Mapping[str, Type] | None
    make: Callable[[dict[str, Any]], Any]


def _given(fields: Mapping[str, Any], message: str, name: str, kind: str, zero: Any = None) -> Any:
    """Return a field, its zero where it is not given. Raises EvaluationError for what it does not hold."""
    if name not in fields:
        return zero
    try:
        return native.converted(fields[name], kind)
    except EvaluationError as error:
        raise _unfit(message, name, error) from error


def _unfit(message: str, name: str, why: Exception) -> EvaluationError:
    return EvaluationError(f"field type conversion error for {_PREFIX}{message}.{name} value type: {why}")


def _nanoseconds(fields: Mapping[str, Any], message: str) -> int:
    seconds = _given(fields, message, "seconds", "int64", 0)
    return int(seconds) * SECOND + int(_given(fields, message, "nanos", "int32", 0))


def _timestamp(fields: dict[str, Any]) -> Timestamp:
    return timestamp(_nanoseconds(fields, "Timestamp"))


def _duration(fields: dict[str, Any]) -> Duration:
    """Return a length of time; what is longer than there is ends there."""
    return Duration(min(max(_nanoseconds(fields, "Duration"), MIN_INT), MAX_INT))


def _wrapper(name: str, plain: Type, kind: str, zero: Any) -> Message:
    def make(fields: dict[str, Any]) -> Any:
        return _given(fields, name, "value", kind, zero)

    return Message(wrapper_of(plain), {"value": plain}, make)


_KINDS: dict[str, tuple[Type, str]] = {
    "null_value": (INT, "protoreflect.EnumNumber"),
    "number_value": (DOUBLE, "float64"),
    "string_value": (STRING, "string"),
    "bool_value": (BOOL, "bool"),
    "struct_value": (_TEXTS, native.MAP),
    "list_value": (_ITEMS, native.LIST),
}


def _value(fields: dict[str, Any]) -> Any:
    """Return the one value that is given; null where there is none. Of several the last one counts."""
    made: Any = None
    for name in fields:
        made = _given(fields, "Value", name, _KINDS[name][1])
        if name == "null_value":
            made = None
    return made


def _struct(fields: dict[str, Any]) -> dict[str, Any]:
    given = fields.get("fields", {})
    if not is_map(given):
        raise EvaluationError(f"unsupported field type for {_PREFIX}Struct.fields: {type_name(given)}")
    try:
        return native.entries(given)
    except EvaluationError as error:
        raise _unfit("Struct", "fields", error) from error


def _list_value(fields: dict[str, Any]) -> list[Any]:
    given = fields.get("values", [])
    if not is_list(given):
        raise EvaluationError(f"unsupported field type for {_PREFIX}ListValue.values: {type_name(given)}")
    try:
        return [native.converted(item, native.VALUE) for item in given]
    except EvaluationError as error:
        raise _unfit("ListValue", "values", error) from error


def _any(fields: dict[str, Any]) -> Any:
    url = _given(fields, "Any", "type_url", "string", "")
    return packed.unpack(url, _given(fields, "Any", "value", "[]uint8", b""))


def _unknown(name: str, fields: dict[str, Any]) -> Any:
    """The name of a type that the checker takes for its message's, and nothing else does."""
    raise EvaluationError(f"unknown type '{name}'")


_PARTS = {"seconds": INT, "nanos": INT}
_WRAPPED: dict[str, tuple[Type, str, Any]] = {
    "BoolValue": (BOOL, "bool", False), "BytesValue": (BYTES, "[]uint8", b""),
    "StringValue": (STRING, "string", ""),
    "DoubleValue": (DOUBLE, "float64", 0.0), "FloatValue": (DOUBLE, "float32", 0.0),
    "Int32Value": (INT, "int32", 0), "Int64Value": (INT, "int64", 0),
    "UInt32Value": (UINT, "uint32", Uint(0)), "UInt64Value": (UINT, "uint64", Uint(0)),
}  # fmt: skip
_ANONYMOUS: dict[str, Message] = {
    **{_PREFIX + name: _wrapper(name, *wrapped) for name, wrapped in _WRAPPED.items()},
    "google.protobuf.Value": Message(DYN, {name: type_ for name, (type_, _) in _KINDS.items()}, _value),
    "google.protobuf.Struct": Message(_TEXTS, {"fields": _TEXTS}, _struct),
    "google.protobuf.ListValue": Message(_ITEMS, {"values": _ITEMS}, _list_value),
    "google.protobuf.Any": Message(ANY, {"type_url": STRING, "value": BYTES}, _any),
}
ANONYMOUS = frozenset(_ANONYMOUS)
"""Those whose name makes values and is none: what they make has the type of other values."""
MESSAGES: dict[str, Message] = {
    **_ANONYMOUS,
    "google.protobuf.Timestamp": Message(TIMESTAMP, _PARTS, _timestamp),
    "google.protobuf.Duration": Message(DURATION, _PARTS, _duration),
    packed.EMPTY: Message(object_of(packed.EMPTY, {}), {}, partial(Struct, packed.EMPTY)),
    "list": Message(_ITEMS, {"values": _ITEMS}, partial(_unknown, "list")),
    "null_type": Message(NULL, None, partial(_unknown, "null_type")),
}
"""Those messages, by name."""
CONSTANTS: dict[str, int] = {"google.protobuf.NullValue.NULL_VALUE": 0}
"""Names of numbers."""
