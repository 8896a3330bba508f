"""Fields that Go writes out whatever they are: plain ones that need not be given to be there, as zero.

Owns: ``filled``, which adds to a value of a built-in type those that it lacks. Refuses: checking it
(``walk``). Called for statuses, which are written in parts; clients take such fields for given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from tiphys.apimachinery.schema.node import Schema

_Fill: TypeAlias = Callable[[Any], Any]


def filled(value: Any, schema: Schema) -> Any:
    """Return the value with what it lacks; the very same where that is nothing. It is not changed."""
    fill = _filler(schema)
    return value if fill is None else fill(value)


@lru_cache(maxsize=512)
def _filler(schema: Schema) -> _Fill | None:
    """Return what fills values of a node, None where there is nothing to fill. Nodes are their own keys."""
    if schema.items is not None:
        each = _filler(schema.items)
        return None if each is None else _of_lists(each)
    if schema.additional is not None:
        each = _filler(schema.additional)
        return None if each is None else _of_maps(each)
    inside = {key: fill for key, child in schema.properties.items() if (fill := _filler(child)) is not None}
    return _of_structs(schema.shown, inside) if schema.shown or inside else None


def _of_lists(each: _Fill) -> _Fill:
    def fill(values: Any) -> Any:
        made = [each(value) for value in values]
        return values if all(map(_same, made, values)) else made

    return fill


def _of_maps(each: _Fill) -> _Fill:
    def fill(values: Any) -> Any:
        made = {key: each(value) for key, value in values.items()}
        return values if all(map(_same, made.values(), values.values())) else made

    return fill


def _same(one: Any, other: Any) -> bool:
    return one is other


def _of_structs(shown: dict[str, Any], inside: dict[str, _Fill]) -> _Fill:
    keys = shown.keys()

    def fill(value: Any) -> Any:
        made = value if value.keys() >= keys else {**shown, **value}
        for key, below in inside.items():
            found = value.get(key)
            if found is not None:
                new = below(found)
                if new is not found:
                    made = {**made, key: new}
        return made

    return fill
