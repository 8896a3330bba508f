"""Lists (``isSorted``, ``sum``, ``min``, ``max``, ``indexOf``) and sets (``sets.contains`` and the like).

Source: "Kubernetes list library" and cel-go's extension "Sets".
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.arithmetic import add
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, Overload, function, member
from tiphys.apimachinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    LIST_A,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    Type,
    list_of,
)
from tiphys.apimachinery.cel.values import Duration, Uint, equals, type_name

_SUMMABLE: tuple[tuple[Type, Any], ...] = ((INT, 0), (UINT, Uint(0)), (DOUBLE, 0.0), (DURATION, Duration(0)))
_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)


def _below(one: Any, other: Any) -> bool:
    try:
        return bool(one < other)
    except TypeError as error:
        text = f"no such overload: {type_name(one)}.compare({type_name(other)})"
        raise EvaluationError(text) from error


def _is_sorted(items: Any) -> bool:
    values = list(items)
    return not any(_below(after, before) for before, after in pairwise(values))


def _sum(zero: Any) -> Callable[[Any], Any]:
    def run(items: Any) -> Any:
        total = zero
        for item in items:
            total = add(total, item)
        return total

    return run


def _extreme(name: str) -> Callable[[Any], Any]:
    def run(items: Any) -> Any:
        values = list(items)
        if not values:
            raise EvaluationError(f"{name} called on empty list")
        best = values[0]
        for value in values[1:]:
            if _below(value, best) if name == "min" else _below(best, value):
                best = value
        return best

    return run


def _index_of(items: Any, value: Any) -> int:
    return next((index for index, item in enumerate(items) if equals(item, value)), -1)


def _last_index_of(items: Any, value: Any) -> int:
    return max((index for index, item in enumerate(items) if equals(item, value)), default=-1)


def _for_each(name: str, run: Callable[[Any], Any], result: Type | None) -> list[Overload]:
    """One overload for each type that can be compared."""
    return [
        member(
            f"list_{kind}_{name}",
            name,
            (list_of(kind),),
            kind if result is None else result,
            run,
            price=prices.WALKED,
        )
        for kind in _COMPARABLE
    ]


LISTS = Library(
    "kubernetes.lists",
    (
        *_for_each("isSorted", _is_sorted, BOOL),
        *_for_each("min", _extreme("min"), None),
        *_for_each("max", _extreme("max"), None),
        *(
            member(f"list_{kind}_sum_{kind}", "sum", (list_of(kind),), kind, _sum(zero), price=prices.WALKED)
            for kind, zero in _SUMMABLE
        ),
        member("list_a_index_of_int", "indexOf", (LIST_A, A), INT, _index_of, price=prices.WALKED),
        member(
            "list_a_last_index_of_int", "lastIndexOf", (LIST_A, A), INT, _last_index_of, price=prices.WALKED
        ),
    ),
)


def _contains(items: Any, wanted: Any) -> bool:
    held = list(items)
    return all(any(equals(one, item) for item in held) for one in wanted)


def _equivalent(one: Any, other: Any) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: Any, other: Any) -> bool:
    held = list(one)
    return any(equals(each, item) for each in other for item in held)


_TWO = (LIST_A, LIST_A)
SETS = Library(
    "cel.lib.ext.sets",
    (
        function(
            "list_sets_contains_list", "sets.contains", _TWO, BOOL, _contains, price=prices.EACH_WITH_EACH
        ),
        function(
            "list_sets_equivalent_list", "sets.equivalent", _TWO, BOOL, _equivalent, price=prices.BOTH_WAYS
        ),
        function(
            "list_sets_intersects_list",
            "sets.intersects",
            _TWO,
            BOOL,
            _intersects,
            price=prices.EACH_WITH_EACH,
        ),
    ),
)
