"""What calls cost: when they run, and at most, as far as sizes are known before. Pure.

A ``Price`` stands in a function's row in the libraries; a row without one costs 1. The figures are part of
the API: a rule that is let through on one server must be on every other. A unit is about 50 ns for upstream.

Source: "Resource use by validation functions" of CustomResourceDefinitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.apimachinery.cel.ranges import UNKNOWN, Range
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.cel.values import MAX_UINT, ListView, MapView, find, from_map_key
from tiphys.apimachinery.dataclass import dataclass

LIST = 10
MAP = 30
STRUCT = 40
"""What it costs to make one."""
AUTHORIZATION_CHECK = 350_000
_STRING_FACTOR = 0.1
_REGEX_FACTOR = 0.25
_MAX_FORMAT_PATTERN = 128
_MAX_FORMAT = 64
_ONE = Range(1, 1)
_ADDRESS = Range(4, 16)
"""Bytes of an IP address."""

Cost = Callable[[Sequence[Any], Any], int]
"""The cost of a call by its arguments and its result."""


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
    """What a call can cost besides its arguments, and how large its result can get."""

    cost: Range
    size: Range | None = None


Estimate = Callable[[Operand | None, list[Operand]], Estimated | None]
"""An estimate by what a method is called on and by the arguments; None where there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Price:
    """How one signature's cost depends on its arguments; what is None is 1."""

    runs: Cost | None = None
    estimate: Estimate | None = None
    in_doubt: bool = True
    """Whether it also holds where only types at run time tell which signature is meant; else that costs 1."""


def size(value: Any) -> int:
    """Return the size that costs are reckoned by."""
    if isinstance(value, str | bytes | list | dict | ListView | MapView):
        return len(value)
    return int(getattr(value, "cel_size", 1))


def read(length: int, factor: float = _STRING_FACTOR) -> int:
    """Return what reading so many characters costs."""
    return math.ceil(length * factor)


def _first(args: Sequence[Any], result: Any) -> int:
    return read(size(args[0]))


def _read(text: Operand) -> Range:
    return text.size.scaled(_STRING_FACTOR)


# Comparing


def _least(args: Sequence[Any], result: Any) -> int:
    return read(min(size(args[0]), size(args[1])))


def _equality(args: Sequence[Any], result: Any) -> int:
    return 1 if hasattr(args[0], "cel_opaque") else _least(args, result)


def _compared(target: Operand | None, args: list[Operand]) -> Estimated:
    most = min(args[0].size.most, args[1].size.most)
    return Estimated(Range(1 if most > 0 else 0, most).scaled(_STRING_FACTOR))


def _equal(target: Operand | None, args: list[Operand]) -> Estimated:
    one, other = args[0].type, args[1].type
    sized = args[0].computed is not None and args[1].computed is not None
    if sized or one != other or one.kind != "opaque":
        return _compared(target, args)
    if one.name == "kubernetes.NamedFormat":
        return Estimated(Range(1, _MAX_FORMAT).scaled(_STRING_FACTOR))
    return Estimated(_ONE)


EQUAL = Price(_equality, _equal, in_doubt=False)
NOT_EQUAL = Price(_equality, _compared, in_doubt=False)
ORDERED = Price(_least, _compared, in_doubt=False)


# Joining and looking up


def _joined(args: Sequence[Any], result: Any) -> int:
    return read(size(args[0]) + size(args[1]))


def _joined_size(target: Operand | None, args: list[Operand]) -> Estimated:
    both = args[0].size + args[1].size
    return Estimated(both.scaled(_STRING_FACTOR), both)


def _joined_lists(target: Operand | None, args: list[Operand]) -> Estimated:
    return Estimated(_ONE, args[0].size + args[1].size)


def _second_size(args: Sequence[Any], result: Any) -> int:
    return size(args[1])


JOINED = Price(_joined, _joined_size, in_doubt=False)
JOINED_LISTS = Price(None, _joined_lists)
IN_LIST = Price(_second_size, lambda target, args: Estimated(args[1].size), in_doubt=False)


# Texts


def _copied(target: Operand | None, args: list[Operand]) -> Estimated:
    length = args[0].size
    return Estimated(_read(args[0]), Range(length.least, min(length.most * 4, MAX_UINT)))


def _decoded(target: Operand | None, args: list[Operand]) -> Estimated:
    return Estimated(_read(args[0]), Range(args[0].size.least // 4, args[0].size.most))


def _quoted(target: Operand | None, args: list[Operand]) -> Estimated:
    length = args[0].size
    return Estimated(_read(args[0]), Range(length.least + 2, min(length.most * 2 + 2, MAX_UINT)))


def _formatted(target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target))


def _parsed(target: Operand | None, args: list[Operand]) -> Estimated | None:
    return Estimated(_read(args[0]), args[0].size) if len(args) == 1 else None


def _mapped(target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target), target.size)


def _twice_first(args: Sequence[Any], result: Any) -> int:
    return read(size(args[0]), 2 * _STRING_FACTOR)


def _twice_result(args: Sequence[Any], result: Any) -> int:
    return read(size(result), 2 * _STRING_FACTOR)


def _replaced(target: Operand | None, args: list[Operand]) -> Estimated | None:
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
    length = Range(least, most) * new + Range(kept_least, kept_most)
    return Estimated(text.scaled(2 * _STRING_FACTOR), length)


def _split(target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    most = target.size.most
    if len(args) > 1 and isinstance(args[1].literal, int):
        most = args[1].literal if args[1].literal >= 0 else MAX_UINT
    return Estimated(target.size.scaled(2 * _STRING_FACTOR), Range(0, most))


def _strung(target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    count = target.size
    length = count * (target.element or UNKNOWN) if target.type.params else Range(0, 0)
    if args:
        length += args[0].size * Range(max(count.least - 1, 0), max(count.most - 1, 0))
    return Estimated(length.scaled(_STRING_FACTOR), length)


READ = Price(_first, lambda target, args: Estimated(_read(args[0])))
READ_TWICE = Price(_twice_first, lambda target, args: Estimated(args[0].size.scaled(2 * _STRING_FACTOR)))
PREFIX = Price(_first, lambda target, args: Estimated(_read(args[0])), in_doubt=False)
TEXT_TO_BYTES = Price(_first, _copied, in_doubt=False)
BYTES_TO_TEXT = Price(_first, _decoded, in_doubt=False)
QUOTED = Price(_first, _quoted)
FORMATTED = Price(None, _formatted)
PARSED = Price(_first, _parsed)
MAPPED = Price(_first, _mapped)
REPLACED = Price(_twice_first, _replaced)
SPLIT = Price(_twice_first, _split)
STRUNG = Price(_twice_result, _strung)


# Patterns


def _regex(args: Sequence[Any], result: Any) -> int:
    return read(1 + size(args[0])) * read(size(args[1]), _REGEX_FACTOR)


def _searched(text: Range, pattern: Range) -> Range:
    return (text + _ONE).scaled(_STRING_FACTOR) * pattern.scaled(_REGEX_FACTOR)


def _matched(target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_searched(target.size, args[0].size))


def _found(target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    return Estimated(_searched(target.size, args[0].size), Range(0, target.size.most))


def _contains(args: Sequence[Any], result: Any) -> int:
    return _first(args, result) * read(size(args[1]))


def _contained(target: Operand | None, args: list[Operand]) -> Estimated | None:
    return None if target is None else Estimated(_read(target) * _read(args[0]))


def _validate(args: Sequence[Any], result: Any) -> int:
    pattern = int(getattr(args[0], "pattern_size", 0))
    return read(1 + size(args[1])) * read(pattern, _REGEX_FACTOR)


def _validated(target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    return Estimated(_read(args[0]).scaled(_MAX_FORMAT_PATTERN * _REGEX_FACTOR))


MATCHED = Price(_regex, _matched, in_doubt=False)
FOUND = Price(_regex, _found)
CONTAINED = Price(_contains, _contained, in_doubt=False)
VALIDATED = Price(_validate, _validated)


# Lists


def _walk(value: Any) -> int:
    """Return what it costs to read all of a value, however deep it nests."""
    total, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            total += int(len(one.encode("utf-8", "surrogatepass")) * _STRING_FACTOR)
        elif isinstance(one, bytes):
            total += int(len(one) * _STRING_FACTOR)
        elif isinstance(one, list | ListView):
            waiting.extend(one)
        elif isinstance(one, dict | MapView):
            keys = [from_map_key(key) for key in one]
            waiting += [*keys, *(find(one, key) for key in keys)]
        else:
            total += 1
    return total


def _walked(target: Operand | None, args: list[Operand]) -> Estimated | None:
    if target is None:
        return None
    if not target.type.params:
        return Estimated(_read(target))
    each = _ONE
    if target.type.params[0].kind in ("string", "bytes"):
        each += (target.element or UNKNOWN).scaled(_STRING_FACTOR)
    return Estimated(target.size * each)


WALKED = Price(lambda args, result: _walk(args[0]), _walked)


def _each_with_each(factor: int) -> Price:
    """The price of comparing every item of one list with every one of another."""

    def runs(args: Sequence[Any], result: Any) -> int:
        return 1 + size(args[0]) * size(args[1]) * factor

    def estimate(target: Operand | None, args: list[Operand]) -> Estimated:
        pairs = args[0].size * args[1].size
        return Estimated(_ONE + pairs * Range(factor, factor))

    return Price(runs, estimate)


EACH_WITH_EACH = _each_with_each(1)
BOTH_WAYS = _each_with_each(2)


# Addresses and rights


def _contains_address(args: Sequence[Any], result: Any) -> int:
    cost = read(2 * size(args[0]))
    return cost + (read(size(args[1])) if isinstance(args[1], str) else 0)


def _contains_network(args: Sequence[Any], result: Any) -> int:
    return _contains_address(args, result) + read(size(args[0])) + 1


def _address_contained(target: Operand | None, args: list[Operand]) -> Estimated:
    cost = (_ADDRESS + _ADDRESS).scaled(_STRING_FACTOR)
    return Estimated(cost + _read(args[0]) if args[0].type.kind == "string" else cost)


def _network_contained(target: Operand | None, args: list[Operand]) -> Estimated:
    own = _ADDRESS.scaled(_STRING_FACTOR) + _ONE
    return Estimated(_address_contained(target, args).cost + own)


def _selector(args: Sequence[Any], result: Any) -> int:
    length = size(args[1])
    return LIST + read(length) + math.ceil(math.ceil(length * 0.5) * (LIST + STRUCT))


def _selected(target: Operand | None, args: list[Operand]) -> Estimated:
    length = args[0].size
    requirements = length.scaled(0.5).scaled(LIST + STRUCT)
    return Estimated(Range(LIST, LIST) + length.scaled(_STRING_FACTOR) + requirements)


_CHECK = Estimated(Range(AUTHORIZATION_CHECK, AUTHORIZATION_CHECK))
CONTAINS_ADDRESS = Price(_contains_address, _address_contained)
CONTAINS_NETWORK = Price(_contains_network, _network_contained)
SELECTOR = Price(_selector, _selected)
CHECKED = Price(lambda args, result: AUTHORIZATION_CHECK, lambda target, args: _CHECK)
