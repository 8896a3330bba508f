"""Finds what a part of an object was before an update, and tells whether it is still the same.

Fields and map entries keep their identity, and so do items of lists of type ``map``, wherever they stand;
items of other lists have none, nor has what no schema describes. Pure.

Source: "Validation ratcheting" of CustomResourceDefinitions.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.schema.node import MISSING, Schema


class Partners:
    """What the items of one list were before; each is looked for where it stands now, then by its key."""

    __slots__ = ("_index", "_keys", "_old")

    def __init__(self, old: Any, node: Schema) -> None:
        self._keys = node.list_map_keys
        self._old: list[Any] = old if node.list_type == "map" and type(old) is list else []
        self._index: dict[Any, Any] | None = None

    def of(self, item: Any, at: int) -> Any:
        """Return what an item at a place was; MISSING where that cannot be told."""
        if not self._old or type(item) is not dict:
            return MISSING
        if at < len(self._old) and self._same(self._old[at], item):
            return self._old[at]
        if self._index is None:
            self._index = {}
            for one in self._old:
                if type(one) is dict:
                    self._index.setdefault(self._name(one), one)
        return self._index.get(self._name(item), MISSING)

    def _name(self, item: Any) -> tuple[Any, ...]:
        return tuple([_hashable(item.get(key)) for key in self._keys])

    def _same(self, one: Any, item: Any) -> bool:
        return type(one) is dict and all(one.get(key) == item.get(key) for key in self._keys)


def _hashable(value: Any) -> Any:
    """Return what stands for a value of a key; it should be a scalar, but what is stored may be older."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if isinstance(value, dict | list) else value


TYPE_FIELDS = frozenset({"apiVersion", "kind"})
"""At the root they have no old value: both objects are converted to the same version."""


def unchanged(new: Any, old: Any, node: Schema) -> bool:
    """Tell whether a value is what it was, part by part."""
    if type(new) is not type(old):
        return False
    if type(new) is dict:
        return len(new) == len(old) and all(
            key in old
            and (child := node.child(key)) is not None
            and not child.any_value
            and unchanged(item, old[key], child)
            for key, item in new.items()
        )
    if type(new) is list and node.list_type == "map" and new:
        items, partners = node.items, Partners(old, node)
        return (
            items is not None
            and len(new) == len(old)
            and all(unchanged(item, partners.of(item, at), items) for at, item in enumerate(new))
        )
    return same(new, old)


def same(new: Any, old: Any) -> bool:
    """Tell whether two JSON values are equal, with true being no 1."""
    if type(new) is not type(old):
        return False
    if type(new) is dict:
        return len(new) == len(old) and all(key in old and same(item, old[key]) for key, item in new.items())
    if type(new) is list:
        return len(new) == len(old) and all(map(same, new, old))
    return bool(new == old)
