"""Values as the fields of protobuf messages hold them, and the texts of those that do not fit. Pure.

Owns: the scalars of fields, and JSON as ``google.protobuf.Value`` keeps it: numbers are doubles; whole ones
that a double cannot tell apart are texts, and so are moments, lengths of time and bytes.
Source: cel-spec, "JSON Data Conversion".
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any, Final

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.typed import TypedList, TypedMap, TypedObject
from tiphys.apimachinery.cel.values import (
    Duration,
    ListView,
    MapView,
    Optional,
    Struct,
    Timestamp,
    TypeValue,
    Uint,
    find,
    from_map_key,
    is_list,
    is_map,
    type_name,
)

VALUE, MAP, LIST = "*structpb.Value", "*structpb.Struct", "*structpb.ListValue"
_MOST_EXACT = 2**53 - 1
_UNFIT: Final[dict[type, str]] = {
    bool: "type conversion error from bool to '{}'",
    int: "unsupported type conversion from 'int' to {}",
    Uint: "unsupported type conversion from 'uint' to {}",
    float: "type conversion error from Double to '{}'",
    str: "unsupported native conversion from string to '{}'",
    bytes: "type conversion error from Bytes to '{}'",
    type(None): "type conversion error from 'null_type' to '{}'",
    Timestamp: "type conversion error from 'Timestamp' to '{}'",
    Duration: "type conversion error from 'Duration' to '{}'",
    TypeValue: "type conversion not supported for 'type'",
}
_SCALARS: Final[dict[str, type]] = {
    "bool": bool, "string": str, "[]uint8": bytes, "float64": float, "float32": float, "int64": int,
    "int32": int, "protoreflect.EnumNumber": int, "uint64": Uint, "uint32": Uint,
}  # fmt: skip
_BOUNDS: Final[dict[str, tuple[str, int, int]]] = {
    "int32": ("integer overflow", -(2**31), 2**31),
    "protoreflect.EnumNumber": ("integer overflow", -(2**31), 2**31),
    "uint32": ("unsigned integer overflow", 0, 2**32),
}


def converted(value: Any, wanted: str) -> Any:
    """Return a value as a field of a Go type holds it.

    Raises:
        EvaluationError: it does not fit.
    """
    if type(value) is Optional:
        if not value.has_value:
            raise EvaluationError("optional.none() dereference")
        return converted(value.value, wanted)
    special = _SPECIAL.get(wanted)
    if special is not None:
        return special(value)
    scalar: Any = value
    if type(value) is not _SCALARS[wanted]:
        raise _unfit(value, wanted)
    if wanted in _BOUNDS:
        why, least, end = _BOUNDS[wanted]
        if not least <= scalar < end:
            raise EvaluationError(why)
    return _single(scalar) if wanted == "float32" else scalar


def _unfit(value: Any, wanted: str) -> EvaluationError:
    text = _UNFIT.get(type(value))
    if text is None:
        if isinstance(value, TypedList):
            text = "type conversion error from 'list' to '{}'"
        elif isinstance(value, TypedMap | TypedObject):
            text = "type conversion error from 'map' to '{}'"
        elif is_list(value):
            text = "type conversion error from list to '{}'"
        elif type(value) is dict:
            text = "type conversion error from map to '{}'"
        else:
            text = f"type conversion error from '{type_name(value).rpartition('.')[2]}' to '{{}}'"
    return EvaluationError(text.format(wanted))


def _single(value: float) -> float:
    """Return a double as a float of 32 bits keeps it."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return value * float("inf")


def _json(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int or kind is Uint:
        return float(value) if -_MOST_EXACT <= value <= _MOST_EXACT else str(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is Timestamp or kind is Duration:
        return str(value)
    if isinstance(value, TypedList | TypedMap | TypedObject):
        raise _unfit(value, VALUE)
    if isinstance(value, list | ListView):
        return _list(value)
    if kind is dict or (kind is Struct and not value.fields):
        return _map(value)
    raise _unfit(value, VALUE)


def _list(value: Any) -> list[Any]:
    if not is_list(value) or isinstance(value, TypedList):
        raise _unfit(value, LIST)
    return [converted(item, VALUE) for item in value]


def _map(value: Any) -> dict[str, Any]:
    if not is_map(value) or isinstance(value, TypedMap | TypedObject):
        raise _unfit(value, MAP)
    return entries(value)


def entries(value: MapView | dict[Any, Any]) -> dict[str, Any]:
    """Return any map as JSON; its keys must be texts."""
    made: dict[str, Any] = {}
    for kept in value:
        key = from_map_key(kept)
        made[converted(key, "string")] = converted(find(value, key), VALUE)
    return made


_SPECIAL: Final[dict[str, Callable[[Any], Any]]] = {VALUE: _json, MAP: _map, LIST: _list}
