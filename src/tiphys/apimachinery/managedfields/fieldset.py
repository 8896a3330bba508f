"""Sets of field paths, kept in the very shape of ``FieldsV1``.

Owns: set algebra over that shape, and the names of path elements. Refuses: schemas and objects. Called by the
rest of this package.

A node is a dict from path element to node. Elements are ``f:<field>``, ``k:<keys of a list item>``,
``v:<value of a set item>`` and ``i:<index>``. A node is a member when it is empty or has ``"."``; without
that it only leads to its children. The root is never a member: an empty root is the empty set. Nodes are
shared freely and never changed once made.

Source: meta/v1 FieldsV1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import orjson

from tiphys.apimachinery import go_text
from tiphys.apimachinery.short_memory import short_memory

Node: TypeAlias = dict[str, Any]

LEAF: Final[Node] = {}
"""A member without children."""
EMPTY: Final[Node] = {}
"""As a root: the empty set."""
ANY: Final = "*"
"""Stands for any element in the paths of ``below``."""
_INDEX: Final = re.compile(r"[-+]?[0-9]+")
_BEYOND_FIELDS: Final = "g"
"""Before all elements but fields and ``.``."""


class FieldsError(ValueError):
    """A set that cannot be read, or an object that has no field paths."""


def check(fields: Any) -> Node:
    """Return a root read from outside, normalised and in order. Elements of a kind nobody knows are dropped.

    Raises:
        FieldsError: it is not of FieldsV1's shape.
    """
    if not isinstance(fields, dict):
        raise FieldsError("fieldsV1 must be an object")
    return _check_all({key: node for key, node in fields.items() if key != "."})


def _check_all(node: Node) -> Node:
    found: Node = {}
    for name, child in node.items():
        element = "." if name == "." else _element(name)
        if not isinstance(child, dict):
            raise FieldsError(f"the value of {name!r} must be an object")
        if element is not None:
            found[element] = LEAF if element == "." else _check(child)
    return {name: found[name] for name in in_order(found)}


def _check(node: Node) -> Node:
    return LEAF if not node or (len(node) == 1 and "." in node) else _check_all(node)


def _element(name: str) -> str | None:
    """Return a path element as it is written here, None for one of an unknown kind. Raises FieldsError."""
    kind, text = name[:2], name[2:]
    if kind == "f:":
        return name
    if kind[1:] != ":":
        raise FieldsError(f"invalid path element {name!r}")
    if kind == "i:":
        if not _INDEX.fullmatch(text):
            raise FieldsError(f"invalid index {name!r}")
        return f"i:{int(text)}"
    if kind not in ("k:", "v:"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FieldsError(f"invalid path element {name!r}: {error}") from error
    if kind == "k:" and not isinstance(value, dict):
        raise FieldsError(f"the keys of {name!r} must be an object")
    return kind + _as_go_writes(value)


def is_member(node: Node) -> bool:
    """Tell whether a node below the root is itself in the set."""
    return not node or "." in node


def as_member(node: Node) -> Node:
    """Return the node as a member, children and all."""
    return node if not node or "." in node else {".": LEAF, **node}


def union(one: Node, other: Node) -> Node:
    """Return the paths of both roots."""
    if not one or one is other:
        return other
    if not other:
        return one
    merged = dict(one)
    for key, node in other.items():
        mine = merged.get(key)
        merged[key] = node if mine is None else _union(mine, node)
    return merged


def _union(one: Node, other: Node) -> Node:
    if one is other:
        return one
    if not one:
        return as_member(other)
    if not other:
        return as_member(one)
    return union(one, other)


def difference(one: Node, other: Node) -> Node:
    """Return the paths of ``one`` that are not in ``other``; children do not go with their parents."""
    if not one or not other:
        return one
    if one is other:
        return EMPTY
    kept: Node = {}
    for key, node in one.items():
        theirs = other.get(key)
        left = node if theirs is None else _difference(node, theirs)
        if left is not None:
            kept[key] = left
    return kept


def _difference(one: Node, other: Node) -> Node | None:
    member = is_member(one) and not is_member(other)
    kept: Node = {".": LEAF} if member else {}
    for key, node in one.items():
        if key == ".":
            continue
        theirs = other.get(key)
        left = node if theirs is None else _difference(node, theirs)
        if left is not None:
            kept[key] = left
    if member and len(kept) == 1:
        return LEAF
    return kept or None


def intersection(one: Node, other: Node) -> Node:
    """Return the paths that both roots have."""
    if one is other:
        return one
    kept: Node = {}
    for key, node in one.items():
        theirs = other.get(key)
        if theirs is not None:
            both = _intersection(node, theirs)
            if both is not None:
                kept[key] = both
    return kept


def _intersection(one: Node, other: Node) -> Node | None:
    member = is_member(one) and is_member(other)
    kept: Node = {".": LEAF} if member else {}
    for key, node in one.items():
        theirs = other.get(key)
        if theirs is not None and key != ".":
            both = _intersection(node, theirs)
            if both is not None:
                kept[key] = both
    if member and len(kept) == 1:
        return LEAF
    return kept or None


def covers(one: Node, other: Node) -> bool:
    """Tell whether ``one`` has every path of ``other``; both are roots."""
    for key, node in other.items():
        mine = one.get(key)
        if mine is None or not _covers(mine, node):
            return False
    return True


def _covers(one: Node, other: Node) -> bool:
    if one is other:
        return True
    if is_member(other) and not is_member(one):
        return False
    for key, node in other.items():
        if key != ".":
            mine = one.get(key)
            if mine is None or not _covers(mine, node):
                return False
    return True


def without(root: Node, paths: Node) -> Node:
    """Return the set without the members of ``paths`` and all that lies below them."""
    if not root or not paths:
        return root
    kept: Node = {}
    for key, node in root.items():
        theirs = paths.get(key)
        if theirs is None:
            kept[key] = node
        elif not is_member(theirs):
            left = without(node, theirs)
            if left or not node:
                kept[key] = LEAF if len(left) == 1 and "." in left else left
    return kept


def below(root: Node, paths: Node) -> Node:
    """Return the members of ``paths`` in the set, and all below them; ``ANY`` stands for any element."""
    kept: Node = {}
    for key, node in root.items():
        theirs = paths.get(key, paths.get(ANY)) if key != "." else None
        if theirs is None:
            continue
        if is_member(theirs):
            kept[key] = node
        elif left := below(node, theirs):
            kept[key] = left
    return kept


def ordered(root: Node) -> Node:
    """Return the same set with elements in order, as it is written out."""
    if not root:
        return root
    return {key: ordered(root[key]) for key in in_order(root)}


def in_order(names: Iterable[str]) -> list[str]:
    """Sort elements as Go does: fields, keys, values, indexes; what they hold by its value, 9 before 10."""
    found = sorted(names)
    if len(found) > 1 and found[-2] >= _BEYOND_FIELDS:
        found.sort(key=_rank)
    return found


@short_memory(1024)
def _rank(element: str) -> tuple[int, Any]:
    kind, text = element[:2], element[2:]
    if kind not in ("k:", "v:", "i:"):
        return (0, element)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    if kind == "k:":
        return (1, _value_rank(value))
    return (2, _value_rank(value)) if kind == "v:" else (3, _value_rank(value))


def _value_rank(value: Any) -> tuple[int, Any]:
    """Return what orders any two values: numbers, then texts, truths, lists, maps, and nothing last."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, list):
        return (3, tuple(map(_value_rank, value)))
    if isinstance(value, dict):
        return (4, tuple((name, _value_rank(value[name])) for name in sorted(value)))
    return (5, 0)


def from_paths(*paths: tuple[str, ...]) -> Node:
    """Build a set of object fields: ``from_paths(("metadata", "name"), ("status",))``."""
    root: Node = {}
    for path in paths:
        node: Node = LEAF
        for field in reversed(path):
            node = {f"f:{field}": node}
        root = union(root, node)
    return root


def paths(root: Node, prefix: str = "") -> Iterator[str]:
    """Yield every member as people read it: ``.spec.containers[name="web"].image``; the inner ones last."""
    found = [(prefix + element_text(key), root[key]) for key in in_order(root) if key != "."]
    for text, node in found:
        if is_member(node):
            yield text
    for text, node in found:
        yield from paths(node, text)


def element_text(element: str) -> str:
    """Return one path element as messages show it."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "i:":
        return f"[{rest}]"
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return f"[{rest}]"
    if kind == "v:":
        return f"[={_scalar_text(value)}]"
    if not isinstance(value, dict):
        return f"[{rest}]"
    return "[" + ",".join(f"{name}={_scalar_text(item)}" for name, item in value.items()) + "]"


def _scalar_text(value: Any) -> str:
    return go_text.quoted(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _as_go_writes(value: Any) -> str:
    text = orjson.dumps(_with_go_numbers(value), option=orjson.OPT_SORT_KEYS)
    return go_text.without_markup(text).decode()


def _with_go_numbers(value: Any) -> Any:
    """Return a value whose fractions are written as Go does: 1 for 1.0."""
    if type(value) is float and math.isfinite(value):
        return orjson.Fragment(go_text.number(value))
    if type(value) is dict:
        for item in value.values():
            if type(item) is float or isinstance(item, (dict, list)):
                return {name: _with_go_numbers(one) for name, one in value.items()}
    if type(value) is list:
        return list(map(_with_go_numbers, value))
    return value


def value_element(value: Any) -> str:
    """Name an item of a set."""
    return f"v:{_as_go_writes(value)}"


def key_element(keys: dict[str, Any]) -> str:
    """Name an item of a list that is a map."""
    return f"k:{_as_go_writes(keys)}"
