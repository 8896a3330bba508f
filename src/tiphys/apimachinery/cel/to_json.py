"""Turns what an expression gives back into JSON, as the API encodes it. Pure.

Source: cel-spec, "JSON Data Conversion".
"""

from __future__ import annotations

import base64
import math
from typing import Any

from tiphys.apimachinery.cel.depth import on_new_stack
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.typed import TypedMap, TypedObject
from tiphys.apimachinery.cel.values import (
    Duration,
    ListView,
    MapView,
    Optional,
    Timestamp,
    Uint,
    find,
    from_map_key,
    is_list,
    type_name,
)

_STACK = 100
"""So many levels of a value go on one stack."""


def to_json(value: Any) -> Any:
    """Return a value's JSON; typed objects give back what they were made of. It may nest as deep as it likes.

    Raises:
        EvaluationError: JSON has no such thing (types, addresses, numbers that are not finite).
    """
    return _converted(value, 0)


def _converted(value: Any, level: int) -> Any:
    match value:
        case None | bool() | str():
            return value
        case Uint():
            return int(value)
        case int():
            return value
        case float() if math.isfinite(value):
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp() | Duration():
            return str(value)
        case Optional():
            return _converted(value.value, level) if value.has_value else None
        case TypedObject() | TypedMap():
            return value.raw
        case list() | ListView() | dict() | MapView():
            return (
                on_new_stack(_nested, value, level) if level % _STACK == _STACK - 1 else _nested(value, level)
            )
    raise EvaluationError(f"type conversion error from '{type_name(value)}' to JSON")


def _nested(value: Any, level: int) -> Any:
    if is_list(value):
        return [_converted(item, level + 1) for item in value]
    return {_key(key): _converted(find(value, from_map_key(key)), level + 1) for key in value}


def _key(key: Any) -> str:
    plain = from_map_key(key)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(plain)
