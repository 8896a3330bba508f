"""Leaves out of objects what is behind feature gates that are off, but for what they had before. Pure.

Owns: finding such fields, and removing them. Which there are is ``gated_fields``' to say. Called with every
object that is written, before its kind's own strategy. Tables are compiled once for each set of gates; what
has no such field costs some look-ups by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.gated_fields import ROWS, Row

_STEP: Final = re.compile(r"([^.\[{]+)(\[\]|\{\})?\.?")
_Found = tuple[Object, str, int]
"""A gated field: what it is in, its key, and whose it is: an index of rows."""
_UNSET: Final[tuple[Any, ...]] = (None, "", [])
"""An empty object is something: what it says may be that it is there."""


@dataclass(slots=True)
class _Node:
    """A part of objects in which gated fields are: its keys, each with how its value is gone into."""

    children: dict[str, tuple[str, _Node]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    """Of ``_Tree.rows``: whose fields end here."""
    steps: tuple[tuple[str, str, _Node], ...] = ()
    """``children``, to walk along."""

    def freeze(self) -> None:
        self.steps = tuple((key, form, node) for key, (form, node) in self.children.items())
        for _, _, node in self.steps:
            node.freeze()


@dataclass(slots=True)
class _Tree:
    """The gated fields of a kind."""

    rows: tuple[tuple[Row, str], ...]
    """Each with its place."""
    root: _Node


class FieldGates:
    """What one server's gates mean for the fields of objects."""

    def __init__(self, gates: FeatureGates) -> None:
        names = {name for row in ROWS for name in row.gates.split()}
        self._trees = _compile(frozenset(name for name in names if not gates.enabled(name)))

    def drop(self, kind: tuple[str, str], new: Object, old: Object | None) -> None:
        """Remove from ``new`` what is gated and was not in use in ``old``; ``kind`` is (group, kind)."""
        tree = self._trees.get(kind)
        if tree is None:
            return
        found: list[_Found] = []
        _find(new, tree.root, found)
        if not found:
            return
        gone = [(index, _new_parts(new, old, *tree.rows[index])) for index in {index for *_, index in found}]
        rows = [(*tree.rows[index], parts) for index, parts in sorted(gone) if parts]
        # What is written may share parts with the live object.
        for key in {_section(row, place) for row, place, _ in rows}:
            new[key] = copy_object(new[key])
        for row, place, numbers in rows:
            parts = _at(new, place)
            for number in numbers:
                _remove(row, parts[number])


def _find(value: Object, node: _Node, found: list[_Found]) -> None:
    get = value.get
    for key, form, inner in node.steps:
        part: Any = get(key)
        if part is None or (not part and part in _UNSET):
            continue
        if inner.rows:
            found += [(value, key, index) for index in inner.rows]
        if not inner.steps:
            continue
        if not form:
            if isinstance(part, dict):
                _find(part, inner, found)
        else:
            for item in part if form == "[]" and isinstance(part, list) else _items(part, form):
                if isinstance(item, dict):
                    _find(item, inner, found)


def _items(part: Any, form: str) -> Iterator[Object]:
    """Yield the objects in a value, as the path says: it itself, those of a list, those of a map."""
    values: Sequence[Any] = (part,)
    if form == "[]":
        values = part if isinstance(part, list) else ()
    elif form == "{}":
        values = tuple(part.values()) if isinstance(part, dict) else ()
    return (value for value in values if isinstance(value, dict))


def _at(obj: Object, place: str) -> list[Object]:
    """Return the objects at a place."""
    found = [obj]
    for key, form in _STEP.findall(place):
        found = [item for one in found for item in _items(one.get(key), form)]
    return found


def _new_parts(new: Object, old: Object | None, row: Row, place: str) -> list[int]:
    """Return which of the parts at a place have nothing before them that used what is gated."""
    parts = _at(new, place)
    if old is None or row.always:
        return list(range(len(parts)))
    before = _at(old, place)
    if not place.endswith("[]"):
        return [] if any(_uses(row, part) for part in before) else list(range(len(parts)))
    used = {part.get("name") for part in before if _uses(row, part)}
    return [number for number, part in enumerate(parts) if part.get("name") not in used]


def _uses(row: Row, part: Object) -> bool:
    if callable(row.in_use):
        return row.in_use(part)
    found: list[_Found] = []
    _find(part, _node_of(row.in_use or row.fields), found)
    return bool(found)


def _remove(row: Row, part: Object) -> None:
    if row.remove is not None:
        row.remove(part)
        return
    found: list[_Found] = []
    _find(part, _node_of(row.fields), found)
    for owner, key, _ in found:
        owner.pop(key, None)


def _section(row: Row, place: str) -> str:
    return (place or row.fields[0]).partition(".")[0]


def _add(node: _Node, path: str, index: int) -> None:
    for key, form in _STEP.findall(path):
        known = node.children.get(key)
        if known is None or (form and not known[0]):
            node.children[key] = known = (form, known[1] if known else _Node())
        node = known[1]
    node.rows.append(index)


@lru_cache(maxsize=256)
def _node_of(paths: tuple[str, ...]) -> _Node:
    node = _Node()
    for path in paths:
        _add(node, path, 0)
    node.freeze()
    return node


@lru_cache(maxsize=64)
def _compile(off: frozenset[str]) -> dict[tuple[str, str], _Tree]:
    """Return the trees of a set of gates that are off."""
    placed: dict[tuple[str, str], list[tuple[Row, str]]] = {}
    for row in ROWS:
        if off.intersection(row.gates.split()):
            for kind, place in row.places.items():
                placed.setdefault(kind, []).append((row, place))
    return {kind: _tree(tuple(rows)) for kind, rows in placed.items()}


def _tree(rows: tuple[tuple[Row, str], ...]) -> _Tree:
    root = _Node()
    for index, (row, place) in enumerate(rows):
        for path in row.fields:
            _add(root, f"{place}.{path}" if place else path, index)
    root.freeze()
    return _Tree(rows, root)
