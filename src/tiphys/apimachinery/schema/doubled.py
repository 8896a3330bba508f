"""What a typed decoder ends with when keys come twice: it reads the later value into what the earlier left.

Structs and maps so gain fields, lists are overwritten item by item and cut to their new length, values of
maps and everything that reads itself are replaced. A null takes away what is a pointer, a list or a map, and
leaves anything else as it was. A value that its type cannot hold stays: the request is refused for it.

Pure, and slow: called only for bodies that double a key. Source: Go's encoding/json.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.strict_json import Pairs, pairs_of
from tiphys.apimachinery.schema.walk import fits

_PARTS: Final = frozenset(
    {"metadata", "resources", "spec", "status", "strategy", "template", "updateStrategy"}
)
"""The structs that are part of what they are in; those of other names are pointed to."""
_READ_THEMSELVES: Final = frozenset({"byte", "date-time", "micro-time", "quantity"})


def merged(body: bytes, schema: Schema) -> Any:
    """Return the value of a well-formed JSON body that doubles keys, as the decoder of its kind has it."""
    return _into(None, pairs_of(body), schema)


def _into(before: Any, value: Any, node: Schema | None) -> Any:
    """Return what is left once ``value`` was read into ``before``, None where there was nothing."""
    if isinstance(value, Pairs):
        earlier = before if isinstance(before, dict) and node is not None and not _reads_itself(node) else {}
        return _into_object(earlier, value, node)
    if isinstance(value, list):
        items = node.items if node is not None else None
        known = before if isinstance(before, list) and items is not None else []
        padded = known[: len(value)] + [None] * (len(value) - len(known))
        return [
            old if item is None and items is not None and _is_plain(items) else _into(old, item, items)
            for old, item in zip(padded, value, strict=True)
        ]
    return value


def _into_object(result: dict[str, Any], pairs: Pairs, node: Schema | None) -> dict[str, Any]:
    for key, value in pairs:
        child = node.child(key) if node is not None else None
        before = result.get(key)
        if before is not None and child is not None and _holds(before, value, node, key, child):
            continue
        of_map = node is None or key not in node.properties
        result[key] = _into(None if of_map else before, value, child)
    return result


def _holds(before: Any, value: Any, node: Schema | None, key: str, child: Schema) -> bool:
    """Tell whether what a field has already outlasts a later value."""
    if value is None and node is not None and key in node.properties:
        scalar = key in node.omitted or node.shown.get(key) is not None
        if _is_plain(child) and (scalar or (key in _PARTS and child.type == "object")):
            return True
    if isinstance(value, list) and type(before) is (dict if isinstance(value, Pairs) else list):
        return False  # faults within are held within
    return not fits(deepcopy(before), child)


def _is_plain(node: Schema) -> bool:
    """Tell whether a value of a type is the value itself, not a reference that a null could take away."""
    if _reads_itself(node):
        return False
    return node.type != "array" and node.additional is None and node.format not in _READ_THEMSELVES


def _reads_itself(node: Schema) -> bool:
    return node.type is None or node.preserve_unknown or node.int_or_string
