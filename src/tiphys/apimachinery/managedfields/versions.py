"""Managers who wrote at different API versions of one kind: each set is judged at its own version.

Owns: comparing two objects at any of their versions, and sets from before a schema changed. Refuses: how
objects are converted, which callers say. Called by ``update`` and ``apply``.

Source: KEP-555, server-side apply.
"""

from __future__ import annotations

from typing import Any, Protocol

from tiphys.apimachinery.managedfields.compare import (
    NO_DIFFERENCE,
    Difference,
    difference_of,
    fields_of,
    indexed,
)
from tiphys.apimachinery.managedfields.entries import Managed
from tiphys.apimachinery.managedfields.fieldset import LEAF, Node, intersection, ordered, union
from tiphys.apimachinery.managedfields.structure import Shape, root_shape
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.node import Schema


class Versions(Protocol):
    """The versions of one kind."""

    @property
    def may_change(self) -> bool:
        """True where a schema may be another than when sets were written."""
        ...

    def convert(self, obj: Object, api_version: str) -> Object | None:
        """Return an object at another version, None when that is served no more."""
        ...

    def schema(self, api_version: str) -> Schema | None:
        """Return the schema of a version, None where anything goes."""
        ...


class Comparison:
    """Two objects at ``api_version``, compared at any version; each version is worked out once."""

    def __init__(
        self, old: Object, new: Object, difference: Difference, api_version: str, versions: Versions | None
    ) -> None:
        self._old = old
        self._new = new
        self._own = difference
        self._api_version = api_version
        self._versions = versions
        self._found: dict[str, Difference | None] = {}

    def at(self, api_version: str) -> Difference | None:
        """Return the difference at a version, None when that is served no more."""
        if self._versions is None or api_version == self._api_version:
            return self._own
        if api_version not in self._found:
            self._found[api_version] = self._converted(self._versions, api_version)
        return self._found[api_version]

    def _converted(self, versions: Versions, api_version: str) -> Difference | None:
        # A new object, and the empty one before it, have nothing to convert.
        old = versions.convert(self._old, api_version) if self._old else self._old
        new = versions.convert(self._new, api_version)
        if old is None or new is None:
            return None
        return NO_DIFFERENCE if old == new else difference_of(old, new, versions.schema(api_version))


def reconciled(managed: Managed, versions: Versions | None, live: Object | None) -> Managed:
    """Return sets as the schemas of today mean them: what is one field now is owned as one.

    Who owned as one what has parts now owns those that there are, unless they are somebody's.
    """
    if versions is None or not versions.may_change:
        return managed
    found, whole = {}, {}
    for manager, entry in managed.items():
        shape = root_shape(versions.schema(entry.api_version))
        fields = _collapsed(entry.fields, shape)
        found[manager] = entry if fields is entry.fields else entry._replace(fields=fields)
        if live is not None and live.get("apiVersion") == entry.api_version:
            parts = _parts(fields, shape, live)
            if parts:
                whole[manager] = parts
    for manager, parts in whole.items():
        others = [entry.fields for other, entry in found.items() if other != manager]
        if not any(intersection(parts, fields) for fields in others):
            found[manager] = found[manager]._replace(fields=ordered(union(found[manager].fields, parts)))
    return found


def _parts(node: Node, shape: Shape, value: Any) -> Node:
    """Return the fields in what is owned without any of its parts, though it has some."""
    made: Node = {}
    items = indexed(value, shape) if type(value) is list and shape.list_kind else {}
    for key, below in node.items():
        if key == ".":
            continue
        if key.startswith("f:"):
            inner = shape.child(key[2:])
            item = value.get(key[2:]) if type(value) is dict else None
        else:
            same = items.get(key, ())
            inner, item = shape.item, same[0] if len(same) == 1 else None
        if not item or not isinstance(item, dict | list) or inner.is_leaf(item):
            continue
        found = _parts(below, inner, item) if below else fields_of(item, inner)
        if found:
            made[key] = found
    return made


def _collapsed(node: Node, shape: Shape) -> Node:
    made: Node = {}
    changed = False
    for key, below in node.items():
        made[key] = below
        if key == "." or not below:
            continue
        inner = shape.child(key[2:]) if key.startswith("f:") else shape.item
        one_field = not inner.walked_map and not inner.list_kind
        made[key] = LEAF if one_field else _collapsed(below, inner)
        changed = changed or made[key] is not below
    return made if changed else node
