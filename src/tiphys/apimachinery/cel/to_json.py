"""Turns what an expression gives back into JSON, as the API encodes it. Pure.

Source: cel-spec, "JSON Data Conversion".
"""

from __future__ import annotations

import base64
import math
from typing import Any

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
    type_name,
)


def to_json(value: Any) -> Any:
    """Return a value's JSON; typed objects give back what they were made of.

    Raises:
        EvaluationError: JSON has no such thing (types, addresses, numbers that are not finite).
    """
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
            return to_json(value.value) if value.has_value else None
        case TypedObject() | TypedMap():
            return value.raw
        case list() | ListView():
            return [to_json(item) for item in value]
        case dict() | MapView():
            return {_key(key): to_json(find(value, from_map_key(key))) for key in value}
    raise EvaluationError(f"type conversion error from '{type_name(value)}' to JSON")


def _key(key: Any) -> str:
    plain = from_map_key(key)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(plain)
