"""JSONPath as kubectl has it, but for braces: fields, indexes, slices, unions, filters, wildcards, descent.

Pure. Owns: parsing a path into steps and reading values by them. A path that cannot be parsed and one that
does not fit the object are told apart: the first is the definition's fault.

Source: ``additionalPrinterColumns`` of apiextensions.k8s.io/v1; "JSONPath Support" of kubectl.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.short_memory import short_memory

Step = Callable[[list[Any]], list[Any]]
_FIELD = re.compile(r"(?:\\.|[^\s.,\[\]$@{}\\])*", re.DOTALL)
_DICT_KEY = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[\d.]+")
_UNQUOTED = re.compile(r"\\(.)", re.DOTALL)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class PathError(ValueError):
    """A path that is none."""


class Misfit(ValueError):
    """A path that asks of an object what it is not: an index of a map, a text that is more than a number."""


@short_memory(1024)
def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of a path such as ``.status.conditions[?(@.type=="Ready")].status``.

    Raises:
        PathError: it is none.
    """
    return tuple(_Parser(path).steps())


def find(obj: Any, path: str) -> list[Any]:
    """Return the values at a path, none where it leads nowhere. Raises PathError and Misfit."""
    return _follow([obj], parse(path))


def _follow(values: list[Any], steps: tuple[Step, ...]) -> list[Any]:
    for step in steps:
        values = step(values)
    return values


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        descends = False
        while self._at < len(self._text):
            rest, again = self._text[self._at :], False
            if rest.startswith("[?("):
                steps.append(self._filter())
            elif rest.startswith(".."):
                if descends:
                    raise PathError("invalid multiple recursive descent")
                again = True
                self._at += 2
                steps.append(_descend)
                if rest[2:3].isalnum() or rest[2:3] == "_":
                    steps.append(self._field())
                    again = False
            elif rest[0] in " @$":
                self._at += 1
                again = descends
            else:
                steps.append(self._one(rest))
            descends = again
        return steps

    def _one(self, rest: str) -> Step:
        letter = rest[0]
        if letter == "[":
            return self._array()
        if letter == ".":
            self._at += 1
            return self._field()
        if letter in "\"'":
            return _constant(self._quoted(letter))
        if letter in "+-" or letter.isdigit():
            return self._number(rest)
        if letter.isalnum() or letter == "_":
            return self._word()
        raise PathError(f"unrecognized character in action: {letter!r}")

    def _field(self) -> Step:
        match = _FIELD.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return _all if match.group() == "*" else _named(match.group().replace("\\", ""))

    def _word(self) -> Step:
        match = _FIELD.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        word = match.group()
        return _constant(word == "true") if word in ("true", "false") else _unknown(word)

    def _number(self, rest: str) -> Step:
        match = _NUMBER.match(rest)
        text = match.group() if match else rest[0]
        self._at += len(text)
        try:
            return _constant(float(text) if "." in text else int(text))
        except ValueError as error:
            raise PathError(f"cannot parse number {text}") from error

    def _quoted(self, quote: str) -> str:
        end = self._at + 1
        while end < len(self._text) and not (self._text[end] == quote and self._text[end - 1] != "\\"):
            end += 1
        if end >= len(self._text):
            raise PathError("unterminated quoted string")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return _UNQUOTED.sub(r"\1", inner)

    def _array(self) -> Step:
        end = self._text.find("]", self._at)
        if end < 0:
            raise PathError("unterminated array")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        parts = inner.split(",")
        if len(parts) > 1:
            return _union([parse(f"[{part.strip(' ')}]") for part in parts])
        key = _DICT_KEY.fullmatch(inner)
        if key is not None:
            return _union([parse(f".{key[1]}")])
        bounds = _SLICE.fullmatch(":" if inner == "*" else inner)
        if bounds is None or inner in ("", "-"):
            raise PathError(f"invalid array index {inner}")
        return _sliced(*bounds.groups())

    def _filter(self) -> Step:
        at, quote, closed = self._at + 3, "", False
        while at < len(self._text):
            letter = self._text[at]
            if letter in "\"'":
                if not quote:
                    quote = letter
                elif letter == quote and self._text[at - 1] != "\\":
                    closed = True
            elif letter == ")" and bool(quote) == closed:
                break
            at += 1
        else:
            raise PathError("unterminated filter")
        if self._text[at + 1 : at + 2] != "]":
            raise PathError("unclosed array expect ]")
        inner, self._at = self._text[self._at + 3 : at], at + 2
        parts = _COMPARISON.fullmatch(inner)
        if parts is None:
            return _filtered(parse(inner), "exists", ())
        return _filtered(parse(parts[1]), parts[2], parse(parts[3]))


def _constant(value: Any) -> Step:
    return lambda values: [value] * len(values)


def _unknown(word: str) -> Step:
    def step(_values: list[Any]) -> list[Any]:
        raise Misfit(f"unrecognized identifier {word}")

    return step


def _named(name: str) -> Step:
    return lambda values: [value[name] for value in values if type(value) is dict and name in value]


def _inner(value: Any) -> list[Any]:
    if type(value) is dict:
        return list(value.values())
    return value if type(value) is list else []


def _all(values: list[Any]) -> list[Any]:
    return [item for value in values for item in _inner(value)]


def _descend(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        inner = _inner(value)
        if inner:
            found.append(value)
            found += _descend(inner)
    return found


def _union(branches: list[tuple[Step, ...]]) -> Step:
    return lambda values: [found for branch in branches for found in _follow(values, branch)]


def _sliced(start: str, end: str | None, stride: str | None) -> Step:
    first = int(start or 0)
    last = None if end == ":" else int(end[1:]) if end else first + 1
    every = int(stride[1:]) if stride and stride != ":" else 1
    if every <= 0:
        raise PathError("step must be > 0")

    def step(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is not None:
                found += _elements(value, first, last, every, alone=end is None)
        return found

    return step


def _elements(value: Any, first: int, last: int | None, every: int, *, alone: bool) -> list[Any]:
    if type(value) is not list:
        raise Misfit(f"{type(value).__name__} is not array or slice")
    size = len(value)
    begin = first + size if first < 0 else first
    end = size if last is None else last
    if end < 0 or (end == 0 and alone):
        end += size
    if begin != end and (not 0 <= begin < size or not 0 <= end <= size or begin > end):
        raise Misfit(f"array index out of bounds: index {first}, length {size}")
    return value[begin:end:every]


def _filtered(left: tuple[Step, ...], sign: str, right: tuple[Step, ...]) -> Step:
    def step(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is not list:
                raise Misfit("what is not array or slice cannot be filtered")
            found += [item for item in value if _passes(item, left, sign, right)]
        return found

    return step


def _passes(item: Any, left: tuple[Step, ...], sign: str, right: tuple[Step, ...]) -> bool:
    lefts = _follow([item], left)
    if sign == "exists" or not lefts:
        return bool(lefts)
    rights = _follow([item], right)
    if len(lefts) > 1 or len(rights) != 1:
        raise Misfit("can only compare one element at a time")
    one, other = lefts[0], rights[0]
    if type(one) is not type(other) or type(one) not in (bool, int, float, str):
        raise Misfit("incompatible types for comparison")
    if sign in ("==", "!="):
        return bool(one == other) == (sign == "==")
    if sign not in _ORDERED or type(one) is bool:
        raise Misfit(f"unrecognized filter operator {sign}")
    return _ORDERED[sign](one, other)
