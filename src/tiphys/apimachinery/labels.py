"""Label selectors, both spellings: ``app=web,tier in (a,b)`` and ``{matchLabels, matchExpressions}``.

A ``Selector`` is immutable and cheap to match; ``parse_selector`` keeps the last few thousand texts it saw.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.short_memory import short_memory

Labels = Mapping[str, str]

EXISTS, NOT_EXISTS = "exists", "!"
_TOKEN = re.compile(r"(==|!=|[=!(),><])|([^=!(),>< \t\r\n]+)")
_BINARY = {"=": "=", "==": "=", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_INT64 = 2**63
_FEW = 16
"""So many requirements are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition; ``operator`` is ``= != in notin exists ! gt lt``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    _set: Collection[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        few = len(self.values) < 4  # most have one, and a set of it would cost more than it saves
        object.__setattr__(self, "_set", self.values if few else frozenset(self.values))

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self._set
            case "!=" | "notin":
                return value is None or value not in self._set
            case "exists":
                return value is not None
            case "!":
                return value is None
        number = None if value is None else _int64(value)
        if number is None:
            return False
        bound = int(self.values[0])
        return number > bound if self.operator == "gt" else number < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"


class _Index:
    """Very many requirements: an object is judged by its own labels, of which it has few.

    Of those for one key that only say what a value may be or not, one is made.
    """

    __slots__ = ("_by_key", "_needed")

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        allowed: dict[str, set[str]] = {}
        refused: dict[str, set[str]] = {}
        self._by_key: dict[str, list[Requirement]] = {}
        for one in requirements:
            if one.operator in ("!=", "notin"):
                refused.setdefault(one.key, set()).update(one.values)
            elif one.operator in ("=", "in") and one.key in allowed:
                allowed[one.key].intersection_update(one.values)
            elif one.operator in ("=", "in"):
                allowed[one.key] = set(one.values)
            elif one not in (known := self._by_key.setdefault(one.key, [])):
                known.append(one)
        for operator, merged in (("in", allowed), ("notin", refused)):
            for key, values in merged.items():
                self._by_key.setdefault(key, []).append(Requirement(key, operator, tuple(values)))
        self._needed = frozenset(
            key
            for key, ours in self._by_key.items()
            if any(one.operator not in (NOT_EXISTS, "notin") for one in ours)
        )

    def matches(self, labels: Labels) -> bool:
        if not labels.keys() >= self._needed:
            return False
        return all(one.matches(labels) for key in labels for one in self._by_key.get(key, ()))


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. ``nothing`` selects no object whatever its labels."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False
    _index: _Index | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        many = len(self.requirements) > _FEW
        object.__setattr__(self, "_index", _Index(self.requirements) if many else None)

    def matches(self, labels: Labels | None) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        if self._index is not None:
            return self._index.matches(labels)
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether any object is selected."""
        return not self.nothing and not self.requirements

    def exact(self, key: str) -> str | None:
        """Return the only value that ``key`` may have, if the selector fixes one (an index can answer it)."""
        for requirement in self.requirements:
            if (
                requirement.key == key
                and requirement.operator in ("=", "in")
                and len(requirement.values) == 1
            ):
                return requirement.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(str(item) for item in sorted(self.requirements, key=lambda item: item.key))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


@short_memory(4096)
def parse_selector(text: str) -> Selector:
    """Read the text form; an empty text selects everything.

    Raises:
        BadRequest: the text is no selector, in the API's wording.
    """
    return Selector(_Parser(text).parse()) if text else EVERYTHING


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """Build from a ``LabelSelector``: None selects nothing, an empty one everything.

    Raises:
        BadRequest: an operator or value is invalid.
    """
    if selector is None:
        return NOTHING
    found = [new_requirement(key, "=", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSION_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise BadRequest(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(new_requirement(expression.get("key") or "", operator, expression.get("values") or ()))
    return Selector(tuple(found))


_EXPRESSION_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


def from_set(labels: Labels) -> Selector:
    """Build an exact match of every pair, as replication controllers' and services' selectors mean."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


def format_labels(labels: Labels) -> str:
    """Return ``a=1,b=2``: the text form of ``from_set``."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def new_requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """Check and build one requirement.

    Raises:
        BadRequest: every fault at once, in the API's wording.
    """
    faults = _key_faults(key, "key")
    if operator in ("in", "notin"):
        if not values:
            faults.append(_invalid("values", "[]", "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in ("=", "!="):
        if len(values) != 1:
            faults.append(
                _invalid("values", _shown(values), "exact-match compatibility requires one single value")
            )
    elif operator in (EXISTS, NOT_EXISTS):
        if values:
            text = "values set must be empty for exists and does not exist"
            faults.append(_invalid("values", _shown(values), text))
    else:
        faults.extend(_number_faults(values))
    for position, value in enumerate(values):
        if problems := names.is_label_value(value):
            faults.append(_invalid(f"values[{position}][{key}]", _quoted(value), "; ".join(problems)))
    if faults:
        raise BadRequest(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return Requirement(key, operator, tuple(values))


def _number_faults(values: Sequence[str]) -> list[str]:
    faults = []
    if len(values) != 1:
        text = "for 'Gt', 'Lt' operators, exactly one value is required"
        faults.append(_invalid("values", _shown(values), text))
    for position, value in enumerate(values):
        if _int64(value) is None:
            text = "for 'Gt', 'Lt' operators, the value must be an integer"
            faults.append(_invalid(f"values[{position}]", _quoted(value), text))
    return faults


def _key_faults(key: str, path: str) -> list[str]:
    problems = names.is_qualified_name(key)
    return [_invalid(path, _quoted(key), "; ".join(problems))] if problems else []


def _invalid(path: str, value: str, text: str) -> str:
    return f"{path}: Invalid value: {value}: {text}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(values: Sequence[str]) -> str:
    return "[" + ",".join(_quoted(value) for value in values) + "]"


def _int64(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def _tokens(text: str) -> list[tuple[str, str]]:
    """Cut into (kind, literal): kind is the word itself, ``id``, ``error`` or ``end``."""
    return [
        (symbol, symbol) if symbol else (word if word in ("in", "notin") else "id", word)
        for symbol, word in _TOKEN.findall(text)
    ]


class _Parser:
    """Recursive descent over the tokens; keeps the API's wording of what it found and expected."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def _peek(self, *, values: bool = True) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            return "end", ""
        kind, literal = self._tokens[self._at]
        return ("id", literal) if values and kind in ("in", "notin") else (kind, literal)

    def _next(self, *, values: bool = True) -> tuple[str, str]:
        token = self._peek(values=values)
        self._at += 1
        return token

    def parse(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._peek()
            if kind == "end":
                return tuple(found)
            if kind not in ("id", "!"):
                raise BadRequest(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except BadRequest as error:
                raise BadRequest(f"unable to parse requirement: {error.message}") from None
            kind, literal = self._next()
            if kind == "end":
                return tuple(found)
            if kind != ",":
                raise BadRequest(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._peek()
            if kind not in ("id", "!"):
                raise BadRequest(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._next()
        negated = kind == "!"
        if negated:
            kind, key = self._next()
        if kind != "id":
            raise BadRequest(f"found '{key}', expected: identifier")
        if faults := _key_faults(key, "<nil>"):
            raise BadRequest(faults[0])
        if negated or self._peek()[0] in ("end", ","):
            return new_requirement(key, NOT_EXISTS if negated else EXISTS, ())
        kind, literal = self._next(values=False)
        operator = _BINARY.get(kind)
        if operator is None:
            raise BadRequest(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._value_set() if operator in ("in", "notin") else [self._value()]
        return new_requirement(key, operator, sorted(set(values)))

    def _value(self) -> str:
        if self._peek()[0] in ("end", ","):
            return ""
        kind, literal = self._next()
        if kind != "id":
            raise BadRequest(f"found '{literal}', expected: identifier")
        return literal

    def _value_set(self) -> list[str]:
        kind, literal = self._next()
        if kind != "(":
            raise BadRequest(f"found '{literal}' expected: '('")
        kind, literal = self._peek()
        if kind == ")":
            self._next()
            return [""]
        if kind not in ("id", ","):
            raise BadRequest(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._identifiers()
        self._next()
        return values

    def _identifiers(self) -> list[str]:
        """Read up to (not over) the closing parenthesis; an empty place between commas is an empty value."""
        values: list[str] = []
        while True:
            kind, literal = self._next()
            if kind == "id":
                values.append(literal)
                kind, literal = self._peek()
                if kind == ")":
                    return values
                if kind != ",":
                    raise BadRequest(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.append("")
                following = self._peek()[0]
                if following in (")", ","):
                    values.append("")
                if following == ")":
                    return values
            else:
                raise BadRequest(f"found '{literal}', expected: ',', or identifier")
