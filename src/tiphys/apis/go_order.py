"""Objects with their fields in the order that Go's types have them, which is how Go writes JSON.

Owns: that order, and the order of maps (by key). Refuses: custom kinds, whose objects are maps all through.
What is stored is brought into it once, when it is encoded; a converter meets what is wrong with a patched
object in it.

Schemas of built-in kinds have their fields in Go's order already (``apis.schemas``). Objects of one kind come
in a handful of shapes, so what is to be done with a struct is worked out once for each set of its keys.

Source: ``types.go`` of each group; ``encoding/json``; ``runtime.DefaultUnstructuredConverter``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.apimachinery.meta import GVK, Object, gvk_of
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.schemas import has_schema, object_meta, schema_for

_Order = Callable[[Any], Any]
_Steps = tuple[tuple[str, _Order | None], ...]
_SHAPES_MAX: Final = 512
"""Shapes of one struct that are remembered."""

_named: dict[str, _Order] = {}
_kinds: dict[tuple[str, str], _Order | None] = {}


def in_go_order(obj: Object, gvk: GVK | None = None) -> Object:
    """Return an object of a built-in kind in Go's order, any other as it is; leaves are the very same.

    ``gvk``: what it is, where the object itself may not say so.
    """
    key = (obj["apiVersion"], obj["kind"]) if gvk is None else (gvk.api_version, gvk.kind)
    order = _kinds.get(key, _unseen)
    if order is _unseen:
        order = _order_of_kind(gvk_of(obj) if gvk is None else gvk)
    if order is None:
        return obj
    found: Object = order(obj)
    return found


def meta_in_go_order(meta: Object) -> Object:
    """Return the ``metadata`` of an object of any kind in Go's order."""
    found: Object = _of_struct(object_meta())(meta)
    return found


def _unseen(_value: Any) -> Any:
    """Stand for a kind that has not been looked for."""
    raise NotImplementedError


def _order_of_kind(gvk: GVK) -> _Order | None:
    if not has_schema(gvk):
        return None  # not kept: anybody may invent kinds
    order = _kinds[gvk.api_version, gvk.kind] = _order_for(schema_for(gvk))
    return order


def _order_for(schema: Schema) -> _Order | None:
    """Return what orders the values of a node; None where there is nothing to order."""
    if schema.int_or_string or schema.preserve_unknown:
        return None
    if schema.type == "array":
        each = None if schema.items is None else _order_for(schema.items)
        return None if each is None else _of_list(each)
    if schema.type != "object":
        return None
    if schema.properties:
        return _of_struct(schema)
    return _of_map(None if schema.additional is None else _order_for(schema.additional))


def _of_list(each: _Order) -> _Order:
    def order(values: Any) -> Any:
        return [each(value) for value in values] if type(values) is list else values

    return order


def _of_map(each: _Order | None) -> _Order:
    def order(values: Any) -> Any:
        if type(values) is not dict:
            return values
        keys = sorted(values)
        if each is not None:
            return {key: each(values[key]) for key in keys}
        return values if keys == list(values) else {key: values[key] for key in keys}

    return order


def _of_struct(schema: Schema) -> _Order:
    """Children are looked at when a shape is first met, so that types that refer to themselves end."""
    found = _named.get(schema.name) if schema.name else None
    if found is not None:
        return found
    shapes: dict[tuple[str, ...], _Steps | None] = {}

    def order(value: Any) -> Any:
        if type(value) is not dict:
            return value
        keys = tuple(value)
        steps = shapes.get(keys, ())
        if steps == ():
            steps = _steps(schema, keys)
            if len(shapes) < _SHAPES_MAX:
                shapes[keys] = steps
        if steps is None:
            return value
        return {key: value[key] if each is None else each(value[key]) for key, each in steps}

    if schema.name:
        _named[schema.name] = order
    return order


def _steps(schema: Schema, keys: tuple[str, ...]) -> _Steps | None:
    """Return the keys in order, with what orders their values; None where all is in order as it is."""
    known = [key for key in schema.properties if key in keys]
    inner = [(key, _order_for(schema.properties[key])) for key in known]
    steps = (*inner, *((key, None) for key in keys if key not in schema.properties))
    if all(each is None for _, each in steps) and tuple(key for key, _ in steps) == keys:
        return None
    return steps
