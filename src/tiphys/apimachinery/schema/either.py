"""Fields of a JSON schema that hold either a schema or something else. Pure.

Such a type reads itself in Go: what is in it is held to its type as all else is, but fields that nobody knows
go without a word, and so does what is neither.

Source: apiextensions.k8s.io/v1 JSONSchemaProps (``items``, ``additionalProperties``, ``dependencies``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.apimachinery.schema.mismatch import DecodeError, Mismatch, is_fraction, json_kind

_V1: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
SCHEMA: Final = _V1 + "JSONSchemaProps"
"""The definition of a JSON schema."""
_BOOL, _ARRAY, _TEXTS = (SCHEMA + "Or" + other for other in ("Bool", "Array", "StringArray"))

Read = Callable[[dict[str, Any]], None]
"""Brings a schema into shape, in place. Raises Mismatch, DecodeError."""


def holds_schema(name: str | None) -> bool:
    """Tell whether values of the type of that name may be schemas, besides others."""
    return name in (_BOOL, _ARRAY, _TEXTS)


def reader(name: str | None, read: Read) -> Callable[[Any], Any] | None:
    """Return what reads a value of the type of that name and returns what is kept; None for other types."""
    if name == _BOOL:
        return lambda value: _schema_or_bool(value, read)
    if name == _ARRAY:
        return lambda value: _schema_or_list(value, read, lambda one: _schema(one, read))
    if name == _TEXTS:
        return lambda value: _schema_or_list(value, read, _text)
    return None


def _schema_or_bool(value: Any, read: Read) -> Any:
    if isinstance(value, dict):
        read(value)
    elif not isinstance(value, bool):
        raise DecodeError("boolean or JSON schema expected")
    return value


def _schema_or_list(value: Any, read: Read, item: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        read(value)
        return value
    if isinstance(value, list):
        value[:] = map(item, value)
        return value
    return None


def _schema(value: Any, read: Read) -> Any:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Mismatch(json_kind(value), "v1.JSONSchemaProps", fraction=is_fraction(value))
    read(value)
    return value


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Mismatch(json_kind(value), "string", fraction=is_fraction(value))
    return value
