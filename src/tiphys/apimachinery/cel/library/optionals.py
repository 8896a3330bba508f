"""Optional values: ``optional.of``, ``a.?b``, ``orValue`` and what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel import macros
from tiphys.apimachinery.cel import types as t
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, INT, LIST_A, MAP_AB, A, B
from tiphys.apimachinery.cel.values import NONE, Duration, ListView, MapView, Optional, Timestamp

_OPTIONAL_A = t.optional_of(A)
_OPTIONAL_B = t.optional_of(B)
_LIST_OPTIONAL = t.list_of(_OPTIONAL_A)
_FIRST_MOMENT = -62_135_596_800 * 10**9
"""The beginning of year 1, which stands for no moment."""


def _is_zero(value: Any) -> bool:
    if isinstance(value, Timestamp):
        return value.nanoseconds == _FIRST_MOMENT
    if isinstance(value, Duration):
        return value.nanoseconds == 0
    if isinstance(value, ListView | MapView):
        return len(value) == 0
    if isinstance(value, Optional):
        return not value.has_value
    return not value


def _of_non_zero(value: Any) -> Optional:
    return NONE if _is_zero(value) else Optional(value)


def _value(held: Optional) -> Any:
    if not held.has_value:
        raise EvaluationError("optional.none() dereference")
    return held.value


def _elsewhere(*args: Any) -> Any:
    """Stands for what the compiler has closures of its own for."""
    raise AssertionError(args)


def _unwrap(items: Any) -> list[Any]:
    for item in items:
        if type(item) is not Optional:
            raise EvaluationError(f"value {item} is not optional")
    return [item.value for item in items if item.has_value]


def _at(index: int) -> Callable[[Any], Optional]:
    """Return what gives one end of a list, if there is something."""

    def run(items: Any) -> Optional:
        if not len(items):
            return NONE
        return Optional(items[index] if isinstance(items, list) else items.item(index % len(items)))

    return run


LIBRARY = Library(
    "cel.lib.optional",
    (
        function("optional_of", "optional.of", (A,), _OPTIONAL_A, Optional),
        function("optional_ofNonZeroValue", "optional.ofNonZeroValue", (A,), _OPTIONAL_A, _of_non_zero),
        function("optional_none", "optional.none", (), _OPTIONAL_A, lambda: NONE),
        function("optional_unwrap", "optional.unwrap", (_LIST_OPTIONAL,), LIST_A, _unwrap),
        member("optional_unwrapOpt", "unwrapOpt", (_LIST_OPTIONAL,), LIST_A, _unwrap),
        member("list_first", "first", (LIST_A,), _OPTIONAL_A, _at(0)),
        member("list_last", "last", (LIST_A,), _OPTIONAL_A, _at(-1)),
        member("optional_value", "value", (_OPTIONAL_A,), A, _value),
        member("optional_hasValue", "hasValue", (_OPTIONAL_A,), BOOL, lambda held: held.has_value),
        member("optional_or_optional", "or", (_OPTIONAL_A, _OPTIONAL_A), _OPTIONAL_A, _elsewhere),
        member("optional_orValue_value", "orValue", (_OPTIONAL_A, A), A, _elsewhere),
        function("list_optindex_optional_int", "_[?_]", (LIST_A, INT), _OPTIONAL_A, _elsewhere),
        function(
            "optional_list_optindex_optional_int",
            "_[?_]",
            (t.optional_of(LIST_A), INT),
            _OPTIONAL_A,
            _elsewhere,
        ),
        function("map_optindex_optional_value", "_[?_]", (MAP_AB, A), _OPTIONAL_B, _elsewhere),
        function(
            "optional_map_optindex_optional_value",
            "_[?_]",
            (t.optional_of(MAP_AB), A),
            _OPTIONAL_B,
            _elsewhere,
        ),
        function("optional_list_index_int", "_[_]", (t.optional_of(LIST_A), INT), _OPTIONAL_A, _elsewhere),
        function("optional_map_index_value", "_[_]", (t.optional_of(MAP_AB), A), _OPTIONAL_B, _elsewhere),
    ),
    macros.OPTIONAL,
    (t.optional_of(A),),
)
