"""The few moves every kind's defaulting is made of. Used by ``apis/<group>`` modules only.

Two notions of "not given" exist in the API: optional fields (absent or null) and plain ones, where the empty
value (``""``, ``0``, ``[]``) means absent as well. Each has its own function.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.meta import Object


def fill(obj: Object, key: str, value: Any) -> None:
    """Set a plain field that is absent or empty."""
    if not obj.get(key):
        obj[key] = value


def fill_optional(obj: Object, key: str, value: Any) -> None:
    """Set an optional field that is absent or null; an explicit ``0``, ``false`` or ``""`` stays."""
    if obj.get(key) is None:
        obj[key] = value


def show(obj: Object, *keys: str) -> None:
    """Give an object the fields, null, that Go writes of it whether there is a value or not."""
    for key in keys:
        obj.setdefault(key, None)


def section(obj: Object, key: str) -> Object:
    """Return the object under ``key``, making an empty one where there is none."""
    value = obj.get(key)
    if not isinstance(value, dict):
        value = obj[key] = {}
    return value


def peek(obj: Object, *keys: str) -> Object:
    """Return the object under a path of keys, or an empty one that is not attached. Read only."""
    value = obj
    for key in keys:
        inner = value.get(key)
        if not isinstance(inner, dict):
            return {}
        value = inner
    return value


def each(obj: Object, *keys: str) -> Iterator[Object]:
    """Yield the objects of a list under a path of keys; nothing where there is no list."""
    value: Any = obj
    for key in keys:
        if not isinstance(value, dict):
            return
        value = value.get(key)
    for item in value or ():
        if isinstance(item, dict):
            yield item


def drop(obj: Object, *keys: str) -> None:
    """Remove fields where they are."""
    for key in keys:
        obj.pop(key, None)


def restore(new: Object, old: Object, key: str) -> None:
    """Give a field the value that it has in another object (or had before), which shares it then, or none."""
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)
