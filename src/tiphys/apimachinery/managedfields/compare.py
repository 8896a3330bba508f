"""From objects to sets of fields: what an applied object says, and what differs between two.

Owns: these walks. Refuses: managers and merging. Called by ``update``, ``apply`` and ``merge``.

The fields that are nobody's (``apiVersion``, ``metadata.name``, what the server sets itself) are left out by
``difference_of``; ``applied_fields`` has them, as conflicts are judged before they are taken away.

Source: structured merge and diff, KEP-555.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tiphys.apimachinery.managedfields.fieldset import (
    EMPTY,
    LEAF,
    FieldsError,
    Node,
    as_member,
    element_text,
    from_paths,
)
from tiphys.apimachinery.managedfields.structure import Shape, root_shape
from tiphys.apimachinery.memo import content
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.node import Schema

_UNOWNED_META: Final = frozenset(
    (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion",
    )
)  # fmt: skip
_UNOWNED_ROOT: Final = frozenset(("apiVersion", "kind"))
_Found = tuple[Node | None, Node | None, Node | None]
"""What was added, removed and modified; None for nothing."""
_SCALARS: Final = frozenset((str, int, float, bool))
_ABSENT: Final = object()
UNOWNED: Final[Node] = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {".": LEAF, **from_paths(*((field,) for field in sorted(_UNOWNED_META)))},
}
"""What no manager's set ever keeps."""


class Difference(NamedTuple):
    """How a new object differs from an old one, as sets of fields."""

    added: Node
    removed: Node
    modified: Node

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.modified)


NO_DIFFERENCE: Final = Difference(EMPTY, EMPTY, EMPTY)


def difference_of(old: Object, new: Object, schema: Schema | None) -> Difference:
    """Compare two objects of one kind; ``{}`` stands for one that does not exist.

    Raises:
        FieldsError: a list item has no name.
    """
    if old == new:
        return NO_DIFFERENCE
    shape = root_shape(schema)
    added, removed, modified = _compare_maps(_owned(old), _owned(new), shape)
    return Difference(*(_bare_metadata(root) for root in (added, removed, modified)))


def _owned(obj: Object) -> Object:
    """Return the object without what nobody owns."""
    kept = dict(obj)
    for key in _UNOWNED_ROOT:
        kept.pop(key, None)
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        if metadata.keys() <= _UNOWNED_META:
            del kept["metadata"]
        else:
            kept["metadata"] = {key: value for key, value in metadata.items() if key not in _UNOWNED_META}
    return kept


def _bare_metadata(root: Node) -> Node:
    node = root.get("f:metadata")
    if node is None or (node and "." not in node):
        return root
    bare = {key: child for key, child in node.items() if key != "."}
    rest = {key: child for key, child in root.items() if key != "f:metadata"}
    return {"f:metadata": bare, **rest} if bare else rest


def _compare_maps(old: Object, new: Object, shape: Shape) -> tuple[Node, Node, Node]:
    added: Node = {}
    removed: Node = {}
    modified: Node = {}
    for key, value in new.items():
        before = old.get(key, _ABSENT)
        if before is value:
            continue
        present = before is not _ABSENT
        if present and before == value and type(before) is type(value):
            continue
        element = "f:" + key
        if type(value) in _SCALARS and type(before) in _SCALARS:
            modified[element] = LEAF
            continue
        child = shape.child(key)
        if not present and key not in shape.values:
            if value is not None or not shape.null_is_absent:
                added[element] = entire(value, child)
        elif present or value:
            before = before if present else None
            _put(element, _compare(before, value, child), (added, removed, modified))
    for key in old.keys() - new.keys():
        before = old[key]
        child = shape.child(key)
        element = "f:" + key
        if key in shape.values:
            if before:
                _put(element, _compare(before, None, child), (added, removed, modified))
        elif before is not None or not shape.null_is_absent:
            removed[element] = entire(before, child)
    return added, removed, modified


def _put(element: str, found: _Found, into: tuple[Node, Node, Node]) -> None:
    added, removed, modified = found
    if added is not None:
        into[0][element] = added
    if removed is not None:
        into[1][element] = removed
    if modified is not None:
        into[2][element] = modified


def _compare(old: Any, new: Any, shape: Shape) -> _Found:
    """Compare two values known to differ (None is null, or an unset field that is never absent)."""
    kind = dict if isinstance(new, dict) or (not new and isinstance(old, dict)) else list
    before, after = old or kind(), new or kind()
    if shape.is_leaf(old) and shape.is_leaf(new):
        return None, None, LEAF
    if isinstance(before, dict) and isinstance(after, dict):
        found = _compare_maps(before, after, shape)
    elif isinstance(before, list) and isinstance(after, list):
        found = _compare_lists(before, after, shape)
    else:
        return None, None, LEAF
    return found[0] or None, found[1] or None, found[2] or None


def created_fields(new: Object, schema: Schema | None) -> Node:
    """Return what ``difference_of`` finds added or modified where there was no object before.

    Raises:
        FieldsError: a list item has no name.
    """
    return _bare_metadata(_made_map(_owned(new), root_shape(schema)))


def _made_map(new: Object, shape: Shape) -> Node:
    made: Node = {}
    values = shape.values
    for key, value in new.items():
        child = shape.child(key)
        if key not in values:
            if value is not None or not shape.null_is_absent:
                made["f:" + key] = entire(value, child)
        elif value:
            node = _made(value, child)
            if node is not None:
                made["f:" + key] = node
    return made


def _made(new: Any, shape: Shape) -> Node | None:
    """Return the node of a value that is never absent; None where nothing in it is anybody's."""
    if not isinstance(new, (dict, list)) or shape.is_leaf(new):
        return LEAF
    if isinstance(new, list):
        return _entire_items(new, shape) or None
    if shape.memory is None:
        return _made_map(new, shape) or None
    key = content(new)
    found = shape.memory.get(key) if key is not None else None
    if found is None:
        found = _made_map(new, shape)
        if key is not None and found:
            shape.memory.put(key, found, 8 * len(key))
    return found or None


def _compare_lists(old: list[Any], new: list[Any], shape: Shape) -> tuple[Node, Node, Node]:
    added: Node = {}
    removed: Node = {}
    modified: Node = {}
    before, after = indexed(old, shape), indexed(new, shape)
    for element, items in after.items():
        mine = before.get(element)
        if mine is None:
            added[element] = _entire_item(items, shape)
        elif mine != items:
            if len(mine) == len(items) == 1:
                _put(element, _compare(mine[0], items[0], shape.item), (added, removed, modified))
            elif len(mine) > 1 and len(items) > 1:
                modified[element] = LEAF  # doubled items cannot be told apart
            else:  # what was doubled goes as one, or comes so
                added[element], removed[element] = _entire_item(items, shape), _entire_item(mine, shape)
    for element, items in before.items():
        if element not in after:
            removed[element] = _entire_item(items, shape)
    return added, removed, modified


def indexed(items: list[Any], shape: Shape) -> dict[str, list[Any]]:
    """Return a walked list's items by name, in order; valid lists have one item for each."""
    found: dict[str, list[Any]] = {}
    for item in items:
        element = shape.element(item)
        same = found.get(element)
        if same is None:
            found[element] = [item]
        else:
            same.append(item)
    return found


def entire(value: Any, shape: Shape) -> Node:
    """Return all fields of a value that came or went as a whole: every level is a member."""
    if shape.is_leaf(value):
        return LEAF
    node: Node = {".": LEAF}
    if isinstance(value, dict):
        for key, item in value.items():
            node["f:" + key] = (
                entire(item, shape.child(key)) if isinstance(item, (dict, list)) and item else LEAF
            )
    else:
        node |= _entire_items(value, shape)
    return node


def _entire_items(items: list[Any], shape: Shape) -> Node:
    return {element: _entire_item(found, shape) for element, found in indexed(items, shape).items()}


def _entire_item(found: list[Any], shape: Shape) -> Node:
    """Return all fields of the items of one name; of doubled ones nobody owns the parts."""
    return entire(found[0], shape.item) if len(found) == 1 else LEAF


def applied_fields(obj: Object, schema: Schema | None) -> Node:
    """Return the fields that an applied object claims: leaves, list items and map keys.

    Raises:
        FieldsError: fields that the schema does not know, values of another type than it says, or lists whose
            items have no or equal names; each text starts with the path.
    """
    faults: list[str] = []
    found = _applied(obj, root_shape(schema), "", faults)
    if faults:
        raise FieldsError("\n  ".join(("errors:", *faults)) if len(faults) > 1 else faults[0])
    return found or EMPTY


def fields_of(value: Any, shape: Shape) -> Node:
    """Return what an applier of the whole of a stored value would claim; unknown fields are let pass."""
    return _applied(value, shape, "", None) or EMPTY


def _applied(value: Any, shape: Shape, path: str, faults: list[str] | None) -> Node | None:
    """Return a value's node; None for an empty list, which claims nothing. ``faults`` None: no checks."""
    if faults is not None and type(value) not in shape.types and (why := shape.refuses(value)):
        faults.append(f"{path}: {why}")
        return LEAF
    if isinstance(value, dict):
        if shape.walked_map:
            return _applied_map(value, shape, path, faults)
        if faults is not None:
            _applied_map(value, shape, path, faults)
    elif isinstance(value, list):
        if shape.list_kind:
            return _applied_list(value, shape, path, faults)
        if faults is not None:
            for position, item in enumerate(value):
                _applied(item, shape.item, f"{path}[{position}]", faults)
    return LEAF


def _applied_map(value: Object, shape: Shape, path: str, faults: list[str] | None) -> Node | None:
    node: Node = {}
    for key, item in value.items():
        here = "" if faults is None else f"{path}.{key}"
        if faults is not None and not shape.knows(key):
            faults.append(f"{here}: field not declared in schema")
            break  # one of each map is told
        child = shape.child(key)
        if item is None or (item == {} and (faults is None or not child.refuses(item))):
            node["f:" + key] = LEAF
            continue
        found = _applied(item, child, here, faults)
        if key not in shape.declared:
            node["f:" + key] = as_member(found) if found else LEAF
        elif found is not None:
            node["f:" + key] = found
    return node or None


def _applied_list(value: list[Any], shape: Shape, path: str, faults: list[str] | None) -> Node | None:
    node: Node = {}
    for position, item in enumerate(value):
        try:
            element = shape.element(item)
        except FieldsError as error:
            text = f"{path}: element {position}: {error}"
            if faults is None:
                raise FieldsError(text) from error
            faults.append(text)
            break
        if element in node:  # of doubled items nobody owns the parts
            if faults is not None:
                faults.append(f"{path}: duplicate entries for key {element_text(element)}")
            node[element] = LEAF
            continue
        found = _applied(item, shape.item, "" if faults is None else path + element_text(element), faults)
        node[element] = as_member(found) if found else LEAF
    return node or None


def named_members(root: Node, shape: Shape) -> Node:
    """Return the set with every declared field that leads to a member made one too."""
    made: Node = {}
    for key, node in root.items():
        if key == "." or not node:
            made[key] = node
            continue
        name = key[2:]
        inner = shape.child(name) if key.startswith("f:") else shape.item
        deeper = named_members(node, inner)
        declared = key.startswith("f:") and name in shape.declared
        made[key] = as_member(deeper) if declared else deeper
    return made
