"""What one call costs when it runs, in units of about 50 ns. Pure.

The figures are part of the API: a rule that is let through on one server must be on every other.

Source: "Resource use by validation functions" of CustomResourceDefinitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.apimachinery.cel.values import ListView, MapView, from_map_key

SELECT = 1
LIST = 10
MAP = 30
STRUCT = 40
STRING_FACTOR = 0.1
REGEX_FACTOR = 0.25
AUTHORIZATION_CHECK = 350_000

Cost = Callable[[Sequence[Any], Any], int]
"""The cost of a call by its arguments and its result."""


def size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict | ListView | MapView):
        return len(value)
    return int(getattr(value, "cel_size", 1))


def _traversal(value: int, factor: float = STRING_FACTOR) -> int:
    return math.ceil(value * factor)


def _least(args: Sequence[Any], result: Any) -> int:
    return _traversal(min(size(args[0]), size(args[1])))


def _equality(args: Sequence[Any], result: Any) -> int:
    return 1 if hasattr(args[0], "cel_opaque") else _least(args, result)


def _joined(args: Sequence[Any], result: Any) -> int:
    if isinstance(args[0], str | bytes):
        return _traversal(size(args[0]) + size(args[1]))
    return 1


def _first(args: Sequence[Any], result: Any) -> int:
    return _traversal(size(args[0]))


def _twice_first(args: Sequence[Any], result: Any) -> int:
    return _traversal(size(args[0]), 2 * STRING_FACTOR)


def _twice_result(args: Sequence[Any], result: Any) -> int:
    return _traversal(size(result), 2 * STRING_FACTOR)


def _converted(args: Sequence[Any], result: Any) -> int:
    """Text to bytes and back is copied; other conversions do not depend on size."""
    if {type(args[0]), type(result)} == {str, bytes}:
        return _first(args, result)
    return 1


def _second_size(args: Sequence[Any], result: Any) -> int:
    return size(args[1]) if not isinstance(args[1], dict | MapView) else 1


def _regex(args: Sequence[Any], result: Any) -> int:
    return _traversal(1 + size(args[0])) * _traversal(size(args[1]), REGEX_FACTOR)


def _contains(args: Sequence[Any], result: Any) -> int:
    return _first(args, result) * _traversal(size(args[1]))


def _walk(value: Any) -> int:
    if isinstance(value, str):
        return int(len(value.encode("utf-8", "surrogatepass")) * STRING_FACTOR)
    if isinstance(value, bytes):
        return int(len(value) * STRING_FACTOR)
    if isinstance(value, list | ListView):
        return sum(map(_walk, value))
    if isinstance(value, dict):
        return sum(_walk(from_map_key(key)) + _walk(item) for key, item in value.items())
    if isinstance(value, MapView):
        return sum(_walk(key) + _walk(value.find(key)) for key in value)
    return 1


def _walked(args: Sequence[Any], result: Any) -> int:
    return _walk(args[0])


def _selector(args: Sequence[Any], result: Any) -> int:
    length = size(args[1])
    return LIST + _traversal(length) + math.ceil(math.ceil(length * 0.5) * (LIST + STRUCT))


def _contains_address(args: Sequence[Any], result: Any) -> int:
    cost = _traversal(2 * size(args[0]))
    return cost + (_traversal(size(args[1])) if isinstance(args[1], str) else 0)


def _contains_network(args: Sequence[Any], result: Any) -> int:
    return _contains_address(args, result) + _traversal(size(args[0])) + 1


def _address(args: Sequence[Any], result: Any) -> int:
    return _first(args, result) if isinstance(args[0], str) else 1


def _validate(args: Sequence[Any], result: Any) -> int:
    pattern = int(getattr(args[0], "pattern_size", 0))
    return _traversal(1 + size(args[1])) * _traversal(pattern, REGEX_FACTOR)


_ORDER = ("_<_", "_<=_", "_>_", "_>=_")
COSTS: dict[str, Cost] = {
    **dict.fromkeys(("_==_", "_!=_"), _equality),
    **dict.fromkeys(_ORDER, _least),
    "_+_": _joined,
    "@in": _second_size,
    "matches": _regex,
    "contains": _contains,
    "string": _converted,
    "bytes": _converted,
    **dict.fromkeys(
        ("startsWith", "endsWith", "url", "lowerAscii", "upperAscii", "substring", "trim"), _first
    ),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _first),
    "jsonpatch.escapeKey": _first,
    "ip": _address,
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _twice_first),
    "join": _twice_result,
    **dict.fromkeys(("find", "findAll"), _regex),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _walked),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    "check": lambda args, result: AUTHORIZATION_CHECK,
    "containsIP": _contains_address,
    "containsCIDR": _contains_network,
    "validate": _validate,
}
"""Functions whose cost is not simply 1."""

BY_NAME = frozenset(COSTS) - {
    "_==_", "_!=_", *_ORDER, "_+_", "@in", "matches", "contains", "string", "bytes", "startsWith", "endsWith",
}  # fmt: skip
"""Those that cost the same however many overloads a call may turn out to mean; the others then cost 1."""
