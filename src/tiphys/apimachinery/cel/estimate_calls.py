"""What single calls can cost, and how large their results can get, by the sizes of their arguments. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.cel.ranges import UNKNOWN, Range
from tiphys.apimachinery.cel.runtime_cost import (
    AUTHORIZATION_CHECK,
    LIST,
    REGEX_FACTOR,
    STRING_FACTOR,
    STRUCT,
)
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.cel.values import MAX_UINT

_MAX_FORMAT_PATTERN = 128
_MAX_FORMAT = 64
_ONE = Range(1, 1)
_ADDRESS = Range(4, 16)
"""Bytes of an IP address."""


@dataclass(frozen=True, slots=True)
class Operand:
    """An argument as far as it is known before it is evaluated."""

    type: Type
    computed: Range | None
    literal: Any = None
    element: Range | None = None
    """Size of the items that a schema declares, for lists."""

    @property
    def size(self) -> Range:
        return self.computed or UNKNOWN


@dataclass(frozen=True, slots=True)
class Estimated:
    cost: Range
    size: Range | None = None


Estimate = Callable[[str, Operand | None, list[Operand]], Estimated | None]


def _read(text: Operand) -> Range:
    return text.size.scaled(STRING_FACTOR)


def _matched(text: Range, pattern: Range) -> Range:
    return (text + _ONE).scaled(STRING_FACTOR) * pattern.scaled(REGEX_FACTOR)


def _fixed(cost: int) -> Estimate:
    return lambda id_, target, args: Estimated(Range(cost, cost))


def _compared(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if id_ not in _BY_SIZE:
        return None
    one, other = args
    if id_ == "equals" and one.type == other.type and one.type.kind == "opaque":
        return _opaque_equality(one.type.name)
    most = min(one.size.most, other.size.most)
    return Estimated(Range(1 if most > 0 else 0, most).scaled(STRING_FACTOR))


_BY_SIZE = frozenset(
    (
        "equals",
        "not_equals",
        *(
            f"{label}_{kind}"
            for label in ("less", "less_equals", "greater", "greater_equals")
            for kind in ("string", "bytes")
        ),
    )
)


def _opaque_equality(name: str) -> Estimated:
    if name == "kubernetes.NamedFormat":
        return Estimated(Range(1, _MAX_FORMAT).scaled(STRING_FACTOR))
    return Estimated(_ONE)


def _joined(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if id_ not in ("add_string", "add_bytes", "add_list"):
        return None
    size = args[0].size + args[1].size
    return Estimated(_ONE if id_ == "add_list" else size.scaled(STRING_FACTOR), size)


def _prefix(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return Estimated(_read(args[0]))


def _in(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return Estimated(args[1].size) if id_ == "in_list" else None


def _matches(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_matched(target.size, args[0].size))


def _contains(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target) * _read(args[0]))


def _to_bytes(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if id_ != "string_to_bytes":
        return None
    size = args[0].size
    return Estimated(_read(args[0]), Range(size.least, min(size.most * 4, MAX_UINT)))


def _to_string(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if id_ != "bytes_to_string":
        return None
    return Estimated(_read(args[0]), Range(args[0].size.least // 4, args[0].size.most))


def _format(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target))


def _quote(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    size = args[0].size
    return Estimated(_read(args[0]), Range(size.least + 2, min(size.most * 2 + 2, MAX_UINT)))


def _walked(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    if not target.type.params:
        return Estimated(_read(target))
    each = _ONE
    if target.type.params[0].kind in ("string", "bytes"):
        each += (target.element or UNKNOWN).scaled(STRING_FACTOR)
    return Estimated(target.size * each)


def _parsed(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return Estimated(_read(args[0]), args[0].size) if len(args) == 1 else None


def _mapped(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target), target.size)


def _replace(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    text, old, new = target.size, args[0].size, args[1].size
    if old.least == 0:
        most, kept_most = min(text.most + 1, MAX_UINT), text.most
    elif new.most <= old.least:
        most, kept_most = 0, text.most
    else:
        most, kept_most = math.ceil(text.most / old.least), 0
    if old.most == 0:
        least, kept_least = min(text.least + 1, MAX_UINT), text.least
    elif old.most <= new.least:
        least, kept_least = 0, text.least
    else:
        least, kept_least = math.ceil(text.least / old.most), 0
    size = Range(least, most) * new + Range(kept_least, kept_most)
    return Estimated(text.scaled(2 * STRING_FACTOR), size)


def _split(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    most = target.size.most
    if len(args) > 1 and isinstance(args[1].literal, int):
        most = args[1].literal if args[1].literal >= 0 else MAX_UINT
    return Estimated(target.size.scaled(2 * STRING_FACTOR), Range(0, most))


def _join(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    count = target.size
    size = count * (target.element or UNKNOWN) if target.type.params else Range(0, 0)
    if args:
        size += args[0].size * Range(max(count.least - 1, 0), max(count.most - 1, 0))
    return Estimated(size.scaled(STRING_FACTOR), size)


def _find(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    return Estimated(_matched(target.size, args[0].size), Range(0, target.size.most))


def _selector(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    length = args[0].size
    requirements = length.scaled(0.5).scaled(LIST + STRUCT)
    return Estimated(Range(LIST, LIST) + length.scaled(STRING_FACTOR) + requirements)


def _contains_address(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    cost = (_ADDRESS + _ADDRESS).scaled(STRING_FACTOR)
    if id_ == "cidr_contains_ip_string":
        cost += _read(args[0])
    return Estimated(cost)


def _contains_network(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    cost = (_ADDRESS + _ADDRESS).scaled(STRING_FACTOR) + _ADDRESS.scaled(STRING_FACTOR) + _ONE
    if id_ == "cidr_contains_cidr_string":
        cost += _read(args[0])
    return Estimated(cost)


def _validate(id_: str, target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(args[0]).scaled(_MAX_FORMAT_PATTERN * REGEX_FACTOR))


FUNCTIONS: dict[str, Estimate] = {
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _compared),
    "_+_": _joined,
    "@in": _in,
    "matches": _matches,
    "contains": _contains,
    **dict.fromkeys(("startsWith", "endsWith"), _prefix),
    "bytes": _to_bytes,
    "string": _to_string,
    "format": _format,
    "strings.quote": _quote,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _walked),
    "url": _parsed,
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _mapped),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    "check": _fixed(AUTHORIZATION_CHECK),
    "containsIP": _contains_address,
    "containsCIDR": _contains_network,
    "validate": _validate,
}
"""Functions whose cost is not simply 1."""
