"""Values made by the names of their protobuf messages: ``google.protobuf.Timestamp{seconds: 1}``. Pure.

Owns: moments, lengths of time, and the wrappers of plain values. What they make is a value as any other: it
has no fields. Source: cel-spec, "Protocol Buffer Data Conversion".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    wrapper_of,
)
from tiphys.apimachinery.cel.values import (
    MAX_INT,
    MIN_INT,
    SECOND,
    Duration,
    Timestamp,
    Uint,
    timestamp,
    type_name,
)
from tiphys.apimachinery.dataclass import dataclass

_GO_TYPES = {bool: "bool", bytes: "[]uint8", str: "string", float: "float64", int: "int64", Uint: "uint64"}
_SMALLER = {"Int32Value": "int32", "UInt32Value": "uint32", "FloatValue": "float32", "nanos": "int32"}
_OF_32_BITS = {int: ("integer overflow", -(2**31), 2**31), Uint: ("unsigned integer overflow", 0, 2**32)}


@dataclass(frozen=True, slots=True)
class Message:
    """A message that expressions may make: its type as a value, its fields, and what they make."""

    type: Type
    fields: Mapping[str, Type]
    make: Callable[[dict[str, Any]], Any]


def _checked(fields: Mapping[str, Any], message: str, name: str, zero: Any) -> Any:
    """Return a field, its zero where it is not given. Raises EvaluationError for what it does not hold."""
    value, kind = fields.get(name, zero), type(zero)
    small = _SMALLER.get(message) or _SMALLER.get(name)
    if type(value) is not kind:
        why = f"unsupported type conversion from '{type_name(value)}' to {small or _GO_TYPES[kind]}"
        raise _unfit(message, name, why)
    if small and kind in _OF_32_BITS:
        why, least, end = _OF_32_BITS[kind]
        if not least <= value < end:
            raise _unfit(message, name, why)
    return value


def _unfit(message: str, name: str, why: str) -> EvaluationError:
    field = f"google.protobuf.{message}.{name}"
    return EvaluationError(f"field type conversion error for {field} value type: {why}")


def _nanoseconds(fields: Mapping[str, Any], message: str) -> int:
    seconds, nanos = (_checked(fields, message, name, 0) for name in _PARTS)
    return int(seconds) * SECOND + int(nanos)


def _timestamp(fields: dict[str, Any]) -> Timestamp:
    return timestamp(_nanoseconds(fields, "Timestamp"))


def _duration(fields: dict[str, Any]) -> Duration:
    """Return a length of time; what is longer than there is ends there."""
    return Duration(min(max(_nanoseconds(fields, "Duration"), MIN_INT), MAX_INT))


def _wrapper(name: str, plain: Type, zero: Any) -> Message:
    def make(fields: dict[str, Any]) -> Any:
        value = _checked(fields, name, "value", zero)
        return _single(value) if name == "FloatValue" else value

    return Message(wrapper_of(plain), {"value": plain}, make)


def _single(value: float) -> float:
    """Return a double as a float of 32 bits keeps it."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return value * float("inf")


_PARTS = {"seconds": INT, "nanos": INT}
_WRAPPED: dict[str, tuple[Type, Any]] = {
    "BoolValue": (BOOL, False), "BytesValue": (BYTES, b""), "StringValue": (STRING, ""),
    "DoubleValue": (DOUBLE, 0.0), "FloatValue": (DOUBLE, 0.0),
    "Int32Value": (INT, 0), "Int64Value": (INT, 0),
    "UInt32Value": (UINT, Uint(0)), "UInt64Value": (UINT, Uint(0)),
}  # fmt: skip
MESSAGES: dict[str, Message] = {
    "google.protobuf.Timestamp": Message(TIMESTAMP, _PARTS, _timestamp),
    "google.protobuf.Duration": Message(DURATION, _PARTS, _duration),
    **{f"google.protobuf.{name}": _wrapper(name, *wrapped) for name, wrapped in _WRAPPED.items()},
}
"""Those messages, by name."""
