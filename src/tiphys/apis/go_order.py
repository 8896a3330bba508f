"""Objects with their fields in the order that Go's types have them, which is how Go writes JSON.

Owns: that order, and the order of maps (by key). Refuses: custom kinds, whose objects are maps all through.
What is stored is brought into it once, when it is encoded, and what is in it already is left as it is; a
converter meets what is wrong with a patched object in it.

Schemas of built-in kinds have their fields in Go's order already (``apis.schemas``). Objects of one kind come
in a handful of shapes, so what is to be done with a struct is worked out once for each set of its keys.

Source: ``types.go`` of each group; ``encoding/json``; ``runtime.DefaultUnstructuredConverter``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any, Final

from tiphys.apimachinery.meta import GVK, Object, gvk_of
from tiphys.apimachinery.schema import either
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.schemas import has_schema, object_meta, schema_for

_Order = Callable[[Any, Any], Any]
"""Orders a value; parts that are the very same in the second, which is in order, are left as they are."""
_Steps = tuple[tuple[str, ...] | None, tuple[tuple[str, _Order], ...]]
_SHAPES_MAX: Final = 512
"""Shapes of one struct that are remembered."""

_NOTHING: Final[dict[str, Any]] = {}
_named: dict[str, _Order] = {}
_kinds: dict[GVK, _Order] = {}


def in_go_order(obj: Object, gvk: GVK | None = None, known: Object | None = None) -> Object:
    """Return an object of a built-in kind in Go's order, any other as it is; leaves are the very same.

    ``gvk``: what it is, where the object itself may not say so. ``known``: what it was, in order; what an
    update leaves alone is not looked at.
    """
    order = order_of(gvk_of(obj) if gvk is None else gvk)
    return obj if order is None else order(obj, known)


def meta_in_go_order(meta: Object) -> Object:
    """Return the ``metadata`` of an object of any kind in Go's order."""
    found: Object = _of_struct(object_meta())(meta, None)
    return found


def order_of(gvk: GVK) -> Callable[[Object, Object | None], Object] | None:
    """Return what brings objects of a built-in kind into Go's order, None for any other kind."""
    order = _kinds.get(gvk)
    if order is None and has_schema(gvk):  # nothing is kept of others: anybody may invent kinds
        order = _kinds[gvk] = _of_struct(schema_for(gvk))
    return order


def _order_for(schema: Schema) -> _Order | None:
    """Return what orders the values of a node; None where there is nothing to order."""
    if either.holds_schema(schema.name):
        return _of_schema_or_other
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


def _of_schema_or_other(value: Any, _known: Any) -> Any:
    """Order the JSON schema in a field of another, or the schemas of a list."""
    order = _named[either.SCHEMA]
    return (_of_list(order) if type(value) is list else order)(value, None)


def _of_list(each: _Order) -> _Order:
    def order(values: Any, known: Any) -> Any:
        if type(values) is not list:
            return values
        done = set(map(id, known)) if type(known) is list else ()
        made = [value if id(value) in done else each(value, None) for value in values]
        return values if all(map(is_, made, values)) else made

    return order


def _of_map(each: _Order | None) -> _Order:
    def order(values: Any, _known: Any) -> Any:
        if type(values) is not dict or (each is None and len(values) < 2):
            return values
        keys = sorted(values)
        if each is not None:
            return {key: each(values[key], None) for key in keys}
        return values if keys == list(values) else {key: values[key] for key in keys}

    return order


def _of_struct(schema: Schema) -> _Order:
    """Children are looked at when a shape is first met, so that types that refer to themselves end."""
    found = _named.get(schema.name) if schema.name else None
    if found is not None:
        return found
    shapes: dict[tuple[str, ...], _Steps] = {}

    def order(value: Any, known: Any) -> Any:
        if type(value) is not dict:
            return value
        keys = tuple(value)
        steps = shapes.get(keys)
        if steps is None:
            steps = _steps(schema, keys)
            if len(shapes) < _SHAPES_MAX:
                shapes[keys] = steps
        all_keys, inner = steps
        made = value if all_keys is None else {key: value[key] for key in all_keys}
        before = known if type(known) is dict else _NOTHING
        for key, each in inner:
            item, done = value[key], before.get(key)
            if item is done:
                continue
            ordered = each(item, done)
            if ordered is not item:
                if made is value:
                    made = value.copy()
                made[key] = ordered
        return made

    if schema.name:
        _named[schema.name] = order
    return order


def _steps(schema: Schema, keys: tuple[str, ...]) -> _Steps:
    """Return the keys in order, None where they are, and those whose values are to be, with what does it."""
    known = [key for key in schema.properties if key in keys]
    inner = [(key, each) for key in known if (each := _order_for(schema.properties[key])) is not None]
    all_keys = (*known, *(key for key in keys if key not in schema.properties))
    return None if all_keys == keys else all_keys, tuple(inner)
