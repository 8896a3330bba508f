"""Decodes custom resources by their structural schema: drops unknown fields, settles nulls, defaults.

All of it changes the object that it is given. Wrong types are left for ``validate``, which names them with
their paths. ``metadata`` is typed like every object's and goes through ``walk``.

Source: apiextensions.k8s.io/v1 structural schemas, pruning and defaulting.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.schema.walk import MAX_STRICT_FAULTS, decode_check, path_text

_Trail = tuple[Any, str] | None
_MOST_WHOLE = 2**63
_NOTHING = Schema()
"""Of items of which nothing is said: what is in them is unknown."""
_IMPLIED = frozenset({"apiVersion", "kind", "metadata"})


def decode_custom(
    obj: dict[str, Any], schema: Schema | None, object_meta: Schema, mode: str = "Ignore"
) -> list[str]:
    """Bring a custom resource into shape, in place; return the texts of unknown fields.

    ``schema`` None stands for a CRD that preserves everything. ``mode`` is the request's fieldValidation.

    Raises:
        DecodeError: metadata has a value of the wrong type.
    """
    faults: list[str] = []
    meta = obj.get("metadata")
    if meta is not None:
        own = {"metadata": meta}
        faults += decode_check(own, _object(object_meta), mode)
        obj["metadata"] = own.get("metadata", {})
    if schema is not None:
        faults += prune(obj, schema)
        apply_defaults(obj, schema)
    return [] if mode == "Ignore" else faults[:MAX_STRICT_FAULTS]


@lru_cache(maxsize=8)
def _object(object_meta: Schema) -> Schema:
    return Schema(name=".Object", type="object", properties={"metadata": object_meta})


def widen_numbers(value: Any) -> None:
    """Make fractions of whole numbers that 64 bits do not hold, in place: they lose digits.

    What was written with a point or an exponent is a fraction too, whole or not: faults show it, and rules
    see it. It is whole once it is stored, where numbers are as Go writes them (``go_json``).
    """
    items = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    widened: list[tuple[Any, float]] = []
    for key, item in items:
        kind = type(item)
        if kind is dict or kind is list:
            widen_numbers(item)
        elif kind is int and not -_MOST_WHOLE <= item < _MOST_WHOLE:
            widened.append((key, float(item)))
    for key, number in widened:
        value[key] = number


def settle_numbers(value: Any) -> None:
    """Make whole numbers of those that were written with a point or an exponent, in place.

    So they are where Go has written them and read them again: clients read ``2.0`` into integers.
    """
    items = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    settled: list[tuple[Any, int]] = []
    for key, item in items:
        kind = type(item)
        if kind is dict or kind is list:
            settle_numbers(item)
        elif kind is float and item.is_integer() and abs(item) < _MOST_WHOLE:
            settled.append((key, int(item)))
    for key, number in settled:
        value[key] = number


def prune(obj: dict[str, Any], schema: Schema, *, root: bool = True) -> list[str]:
    """Drop the fields that the schema does not specify; return their texts, in order."""
    faults: list[str] = []
    _prune(obj, schema, faults, None, resource=root or schema.embedded_resource)
    faults.sort()
    return faults


def _prune(
    value: Any, schema: Schema, faults: list[str], trail: _Trail, *, resource: bool, keeps: bool = False
) -> None:
    """``keeps``: a list that keeps what is unknown does so for its items, too."""
    keeps = keeps or schema.preserve_unknown
    if type(value) is dict:
        _prune_object(value, schema, faults, trail, resource=resource, keeps=keeps)
    elif type(value) is list:
        items = schema.items
        if items is None:
            if keeps:
                return
            items = _NOTHING
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                inner = (trail, f"[{index}]")
                _prune(item, items, faults, inner, resource=items.embedded_resource, keeps=keeps)


def _prune_object(
    value: dict[str, Any],
    schema: Schema,
    faults: list[str],
    trail: _Trail,
    *,
    resource: bool,
    keeps: bool,
) -> None:
    unknown: list[str] = []
    for key, item in value.items():
        if resource and key in _IMPLIED:
            continue
        child = schema.child(key)
        if child is not None:
            if type(item) is dict or type(item) is list:
                _prune(item, child, faults, (trail, key), resource=child.embedded_resource)
        elif not keeps:
            unknown.append(key)
    for key in unknown:
        del value[key]
        faults.append(f'unknown field "{path_text(trail, key)}"')


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill in what is absent, and settle nulls: those that may not be become the default, or vanish."""
    if type(value) is dict:
        for key, child in schema.properties.items():
            if child.default is not MISSING and key not in value:
                value[key] = copy_object(child.default)
        _settle_nulls(value, schema)
        for key, item in value.items():
            inner = schema.child(key)
            if inner is not None and (type(item) is dict or type(item) is list):
                apply_defaults(item, inner)
    elif type(value) is list and schema.items is not None:
        for index, item in enumerate(value):
            if item is None and schema.items.default is not MISSING and not schema.items.nullable:
                value[index] = copy_object(schema.items.default)
            else:
                apply_defaults(item, schema.items)


def _settle_nulls(value: dict[str, Any], schema: Schema) -> None:
    for key in [key for key, item in value.items() if item is None]:
        child = schema.child(key)
        if child is None or child.nullable or child.any_value:
            continue
        if child.default is MISSING:
            del value[key]
        else:
            value[key] = copy_object(child.default)
