"""Merging an applied object into a live one, and taking fields out of an object.

Owns: the merge by the schema's list and map types. Refuses: ownership. Called by ``apply``.

Source: structured merge and diff, KEP-555.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tiphys.apimachinery.managedfields.compare import indexed
from tiphys.apimachinery.managedfields.fieldset import Node, is_member
from tiphys.apimachinery.managedfields.structure import Shape
from tiphys.apimachinery.meta import Object, copy_object


def merged(live: Any, applied: Any, shape: Shape) -> Any:
    """Return a new value: what is applied laid over what is live; neither is changed."""
    if isinstance(live, dict) and isinstance(applied, dict) and shape.walked_map and live:
        return _merged_maps(live, applied, shape)
    if isinstance(live, list) and isinstance(applied, list) and shape.list_kind and live:
        return _merged_lists(live, applied, shape)
    if applied is None and live and not shape.is_leaf(live):
        return copy_object(live)  # null claims a map or list but empties nothing
    return copy_object(applied)


def _merged_maps(live: Object, applied: Object, shape: Shape) -> Object:
    result = {}
    for key, value in live.items():
        if key in applied:
            result[key] = merged(value, applied[key], shape.child(key))
        else:
            result[key] = copy_object(value)
    for key, value in applied.items():
        if key not in live:
            result[key] = copy_object(value)
    return result


def _merged_lists(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Keep the applied items' order, with the live ones in between where they stood."""
    mine, theirs = indexed(live, shape), indexed(applied, shape)
    item_shape = shape.item
    names = [shape.element(item) for item in live]
    wanted = list(theirs)
    shared = deque(name for name in wanted if name in mine)
    done: set[str] = set()
    result: list[Any] = []
    left = right = 0

    def take_applied(name: str) -> None:
        done.add(name)
        item = theirs[name][0]
        result.append(merged(mine[name][0], item, item_shape) if name in mine else copy_object(item))
        if shared and shared[0] == name:
            shared.popleft()

    while left < len(names) or right < len(wanted):
        if left < len(names):
            name = names[left]
            if name not in theirs:
                result.append(copy_object(live[left]))
                left += 1
                continue
            if right < len(wanted) and name == wanted[right]:
                take_applied(name)
                left += 1
                right += 1
                continue
            if name in done or (right < len(wanted) and shared and shared[0] != name):
                left += 1  # it comes, or came, where the applied order wants it
                continue
        if right < len(wanted):
            take_applied(wanted[right])
            right += 1
    return result


def without_fields(value: Any, fields: Node, shape: Shape) -> Any:
    """Return a copy without the members of ``fields``, or None when that takes everything.

    What is emptied in it stays as null, which settles as any null does.
    """
    if shape.is_leaf(value):
        return value
    if isinstance(value, dict):
        return _map_without(value, fields, shape)
    return _list_without(value, fields, shape)


def _map_without(value: Object, fields: Node, shape: Shape) -> Object | None:
    kept: Object = {}
    for key, item in value.items():
        node = fields.get("f:" + key)
        if node is None:
            kept[key] = item
        elif not is_member(node):
            kept[key] = without_fields(item, node, shape.child(key))
    return kept or None


def _list_without(value: list[Any], fields: Node, shape: Shape) -> list[Any] | None:
    kept: list[Any] = []
    for item in value:
        node = fields.get(shape.element(item))
        if node is None:
            kept.append(item)
        elif not is_member(node):
            kept.append(without_fields(item, node, shape.item))
    return kept or None
