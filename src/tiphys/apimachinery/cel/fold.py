"""Runs comprehensions: a loop over a list or a map with one accumulated value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.frame import Frame, Run
from tiphys.apimachinery.cel.values import (
    Duration,
    ListView,
    MapView,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    find,
    from_map_key,
    type_name,
)
from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Loop:
    """What a comprehension runs at its start, before and at each turn, and at its end.

    Without a condition it runs to the end.
    """

    start: Run
    condition: Run | None
    step: Run
    result: Run


def _keys(value: Any) -> Iterator[Any]:
    if isinstance(value, list | ListView):
        return iter(value)
    if isinstance(value, dict):
        return map(from_map_key, value)
    if isinstance(value, MapView):
        return iter(value)
    raise EvaluationError(f"got '{_go_type(value)}', expected iterable type")


_GO_TYPES = {
    bool: "types.Bool", int: "types.Int", Uint: "types.Uint", float: "types.Double", str: "types.String",
    bytes: "types.Bytes", type(None): "types.Null", Timestamp: "types.Timestamp", Duration: "types.Duration",
    TypeValue: "*types.Type", Optional: "*types.Optional",
}  # fmt: skip


def _go_type(value: Any) -> str:
    """Return what the API calls a value that is none of many: by Go's type, not by CEL's."""
    return _GO_TYPES.get(type(value)) or f"cel.{type_name(value).rpartition('.')[2]}"


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list | ListView):
        return enumerate(value)
    return ((key, find(value, key)) for key in _keys(value))


def fold(over: Run, slots: tuple[int, ...], loop: Loop) -> Run:
    """Return the closure of a loop; ``slots`` are the accumulator's and one or two variables'.

    An error of a step is kept, for the next one may absorb it.
    """
    start, condition, step, result = loop.start, loop.condition, loop.step, loop.result
    accumulator, first = slots[0], slots[1]
    second = slots[2] if len(slots) == 3 else -1

    def turns(values: Any, kept: list[Any]) -> Iterator[None]:
        if second < 0:
            for kept[first] in _keys(values):
                yield
        else:
            for kept[first], kept[second] in _pairs(values):
                yield

    def run(frame: Frame) -> Any:
        kept, values = frame.slots, over(frame)
        kept[accumulator] = start(frame)
        for _ in turns(values, kept):
            if condition is not None and condition(frame) is not True:
                break
            try:
                kept[accumulator] = step(frame)
            except EvaluationError as error:
                kept[accumulator] = error
            if frame.cost > frame.limit:
                frame.check()
        return result(frame)

    return run


def bind(slot: int, value: Run, result: Run) -> Run:
    """Return the closure of a variable for one expression; an error of its value shows where it is read."""

    def run(frame: Frame) -> Any:
        try:
            frame.slots[slot] = value(frame)
        except EvaluationError as error:
            frame.slots[slot] = error
        return result(frame)

    return run
