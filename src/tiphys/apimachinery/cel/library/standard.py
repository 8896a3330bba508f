"""The operators and functions that every expression has.

Source: cel-spec, "List of Standard Definitions".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel import macros, prices
from tiphys.apimachinery.cel import types as t
from tiphys.apimachinery.cel.arithmetic import (
    add,
    divide,
    modulo,
    multiply,
    negate,
    ordered,
    subtract,
)
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, Overload, function, member
from tiphys.apimachinery.cel.library import conversions, times
from tiphys.apimachinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST_A,
    MAP_AB,
    STRING,
    TIMESTAMP,
    UINT,
    A,
)
from tiphys.apimachinery.cel.values import ABSENT, ListView, TypeValue, equals, find, type_name
from tiphys.apimachinery.regex import RegexError, compile_regex


def _same(
    name: str,
    label: str,
    kinds: tuple[t.Type, ...],
    run: Callable[..., Any],
    result: t.Type | None = None,
    *,
    texts: prices.Price | None = None,
) -> list[Overload]:
    """One overload for each type with itself; ``texts`` is what it costs for strings and bytes."""
    return [
        function(
            f"{label}_{_ID.get(kind.kind, kind.kind)}",
            name,
            (kind, kind),
            result or kind,
            run,
            price=texts if kind in (STRING, BYTES) else None,
        )
        for kind in kinds
    ]


_ID = {"int": "int64", "uint": "uint64"}
_NUMBERS = (INT, UINT, DOUBLE)
_COMPARABLE = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)


def _comparison(sign: str, label: str) -> list[Overload]:
    """Compare within each type and across numbers."""
    name, run = f"_{sign}_", ordered(sign)
    mixed = [
        function(
            f"{label}_{_ID.get(one.kind, one.kind)}_{_ID.get(other.kind, other.kind)}",
            name,
            (one, other),
            BOOL,
            run,
        )
        for one in _NUMBERS
        for other in _NUMBERS
        if one is not other
    ]
    return [*_same(name, label, _COMPARABLE, run, BOOL, texts=prices.ORDERED), *mixed]


def _not_equals(one: Any, other: Any) -> bool:
    return not equals(one, other)


def _negated(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError("no such overload: !_")
    return not value


def _in_list(value: Any, items: Any) -> bool:
    return any(equals(value, item) for item in items)


def _in_map(key: Any, entries: Any) -> bool:
    return find(entries, key) is not ABSENT


def matches(text: str, pattern: str) -> bool:
    try:
        return compile_regex(pattern).matches(text)
    except RegexError as error:
        raise EvaluationError(str(error)) from error


def _unreachable(*args: Any) -> Any:
    """Stands for what the compiler has closures of its own for."""
    raise AssertionError(args)


def _map_insert(entries: Any, *args: Any) -> Any:
    raise AssertionError(entries, args)


def _type_of(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


def _plus(one: Any, other: Any) -> Any:
    return one.plus(other) if isinstance(one, ListView) else [*one, *other]


def _operators() -> list[Overload]:
    moments = [
        function("add_timestamp_duration", "_+_", (TIMESTAMP, DURATION), TIMESTAMP, add),
        function("add_duration_timestamp", "_+_", (DURATION, TIMESTAMP), TIMESTAMP, add),
        function("subtract_timestamp_timestamp", "_-_", (TIMESTAMP, TIMESTAMP), DURATION, subtract),
        function("subtract_timestamp_duration", "_-_", (TIMESTAMP, DURATION), TIMESTAMP, subtract),
    ]
    return [
        function("conditional", "_?_:_", (BOOL, A, A), A, _unreachable),
        function("logical_and", "_&&_", (BOOL, BOOL), BOOL, _unreachable),
        function("logical_or", "_||_", (BOOL, BOOL), BOOL, _unreachable),
        function("not_strictly_false", "@not_strictly_false", (BOOL,), BOOL, _unreachable),
        function("logical_not", "!_", (BOOL,), BOOL, _negated),
        function("equals", "_==_", (A, A), BOOL, equals, price=prices.EQUAL),
        function("not_equals", "_!=_", (A, A), BOOL, _not_equals, price=prices.NOT_EQUAL),
        *_comparison("<", "less"),
        *_comparison("<=", "less_equals"),
        *_comparison(">", "greater"),
        *_comparison(">=", "greater_equals"),
        *_same("_+_", "add", (*_NUMBERS, STRING, BYTES, DURATION), add, texts=prices.JOINED),
        function("add_list", "_+_", (LIST_A, LIST_A), LIST_A, _plus, price=prices.JOINED_LISTS),
        *_same("_-_", "subtract", (*_NUMBERS, DURATION), subtract),
        *moments,
        *_same("_*_", "multiply", _NUMBERS, multiply),
        *_same("_/_", "divide", _NUMBERS, divide),
        *_same("_%_", "modulo", (INT, UINT), modulo),
        function("negate_int64", "-_", (INT,), INT, negate),
        function("negate_double", "-_", (DOUBLE,), DOUBLE, negate),
        function("index_list", "_[_]", (LIST_A, INT), A, _unreachable),
        function("index_map", "_[_]", (MAP_AB, A), t.B, _unreachable),
        function("in_list", "@in", (A, LIST_A), BOOL, _in_list, price=prices.IN_LIST),
        function("in_map", "@in", (A, MAP_AB), BOOL, _in_map),
    ]


def _sizes() -> list[Overload]:
    kinds = (("string", STRING), ("bytes", BYTES), ("list", LIST_A), ("map", MAP_AB))
    return [
        overload
        for label, kind in kinds
        for overload in (
            function(f"size_{label}", "size", (kind,), INT, len),
            member(f"{label}_size", "size", (kind,), INT, len),
        )
    ]


def _texts() -> list[Overload]:
    two = (STRING, STRING)
    return [
        member(
            "contains_string", "contains", two, BOOL, lambda text, part: part in text, price=prices.CONTAINED
        ),
        member("starts_with_string", "startsWith", two, BOOL, str.startswith, price=prices.PREFIX),
        member("ends_with_string", "endsWith", two, BOOL, str.endswith, price=prices.PREFIX),
        function("matches", "matches", two, BOOL, matches, price=prices.MATCHED, literal=compile_regex),
        member("matches_string", "matches", two, BOOL, matches, price=prices.MATCHED, literal=compile_regex),
    ]


LIBRARY = Library(
    "stdlib",
    (
        *_operators(),
        *_sizes(),
        *_texts(),
        *conversions.OVERLOADS,
        *times.OVERLOADS,
        function("type", "type", (A,), t.type_of(A), _type_of),
        function("to_dyn", "dyn", (A,), DYN, lambda value: value),
    ),
    macros.STANDARD,
)

TWO_VARIABLES = Library(
    "cel.lib.ext.comprev2",
    (
        function("map_insert_key", "cel.@mapInsert", (MAP_AB, A, t.B), MAP_AB, _map_insert),
        function("map_insert_map", "cel.@mapInsert", (MAP_AB, MAP_AB), MAP_AB, _map_insert),
    ),
    macros.TWO_VARIABLES,
)
BINDINGS = Library("cel.lib.ext.cel.bindings", macros=macros.BINDINGS)
