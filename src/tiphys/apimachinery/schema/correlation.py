"""Finds what a part of an object was before an update, and tells whether it is still the same.

Fields and map entries keep their identity, and so do items of lists of type ``map``, wherever they stand;
items of other lists have none, nor has what no schema describes. Pure.

Source: "Validation ratcheting" of CustomResourceDefinitions.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from tiphys.apimachinery.schema.node import MISSING, Schema


def partner(item: Any, old: Any, node: Schema, at: int = 0) -> Any:
    """Return what an item of a list was before; MISSING where that cannot be told.

    It is looked for first where the item stands now: most lists keep their order.
    """
    if node.list_type != "map" or type(old) is not list or type(item) is not dict:
        return MISSING
    keys = node.list_map_keys
    for one in chain(old[at : at + 1], old):
        if type(one) is dict and all(one.get(key) == item.get(key) for key in keys):
            return one
    return MISSING


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
        items = node.items
        return (
            items is not None
            and len(new) == len(old)
            and all(unchanged(item, partner(item, old, node, at), items) for at, item in enumerate(new))
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
