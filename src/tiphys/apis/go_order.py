"""Objects with their fields in the order that Go's types have them, in which a converter meets what is wrong.

Owns: the order of an object's keys. Refuses: reading values. Called by PATCH, once a strategic merge patch
made something that is no object of its kind; which of several faults is told depends on it.

Source: ``types.go`` of each group, as the table of messages has it; ``runtime.DefaultUnstructuredConverter``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.schemas import schema_for, wire_facts

_TYPE_META: Final = ("kind", "apiVersion")
"""What a kind's type begins with; the table has no numbers for it. Types that name others have their own."""


def in_go_order(obj: Object, gvk: GVK) -> Object:
    """Return the object with the fields of every type in the order of Go; values are the very same."""
    found: Object = _ordered(obj, schema_for(gvk))
    return found


def _ordered(value: Any, schema: Schema | None) -> Any:
    if schema is None:
        return value
    if isinstance(value, list):
        return [_ordered(item, schema.items) for item in value]
    if not isinstance(value, dict):
        return value
    if not schema.properties:
        return {key: _ordered(item, schema.additional) for key, item in value.items()}
    fields = _fields(_message(schema))
    of_the_kind = [key for key in _TYPE_META if key in schema.properties and key not in fields]
    known = [key for key in (*of_the_kind, *fields) if key in value]
    keys = [*known, *(key for key in value if key not in known)]
    return {key: _ordered(value[key], schema.child(key)) for key in keys}


def _message(schema: Schema) -> str:
    """``io.k8s.api.core.v1.Pod`` is the message ``core.v1.Pod``."""
    return ".".join((schema.name or "").split(".")[-3:])


@cache
def _fields(message: str) -> tuple[str, ...]:
    """Return the JSON names of a type's fields in Go's order, those of types inside of it in their place."""
    fields: list[str] = []
    for name, _number, kind in wire_facts()["messages"].get(message, ()):
        fields += [name] if name else _fields(kind)
    return tuple(fields)
