"""Runs calls: arguments first, then the overload that their types at run time ask for, then the cost.

An argument that fails fails the call, but those beside it are evaluated and paid for all the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.frame import Frame, Run
from tiphys.apimachinery.cel.functions import Overload
from tiphys.apimachinery.cel.prices import Cost, read
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.cel.values import (
    Duration,
    ListView,
    MapView,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    type_name,
)

_CLASSES: dict[str, tuple[type, ...]] = {
    "uint": (Uint,), "double": (float,), "string": (str,), "bytes": (bytes,),
    "timestamp": (Timestamp,), "duration": (Duration,), "list": (list, ListView), "map": (dict, MapView),
    "type": (TypeValue,), "optional": (Optional,), "object": (MapView,),
}  # fmt: skip
_OPEN = frozenset(("dyn", "param", "error"))


def _fits(wanted: Type) -> Callable[[Any], bool]:
    """Return the test whether a value has a type, as far as one looks from outside."""
    match wanted.kind:
        case "dyn" | "param" | "error":
            return lambda value: True
        case "bool":
            return lambda value: value is True or value is False
        case "int":
            return lambda value: type(value) is int
        case "null":
            return lambda value: value is None
        case "opaque":
            return lambda value: type_name(value) == wanted.name
    classes = _CLASSES[wanted.kind]
    return lambda value: isinstance(value, classes)


def no_such_overload(name: str, args: Sequence[Any]) -> EvaluationError:
    return EvaluationError(f"no such overload: {name}({', '.join(map(type_name, args))})")


def implementation(name: str, overloads: Sequence[Overload], static: Sequence[Type]) -> Callable[..., Any]:
    """Return the one overload, or what picks it by the arguments' types where the checker could not."""
    if len(overloads) == 1 and not any(type_.kind in _OPEN for type_ in static):
        return overloads[0].run
    choices = [(tuple(map(_fits, overload.params)), overload.run) for overload in overloads]

    def pick(*args: Any) -> Any:
        for tests, run in choices:
            if all(test(arg) for test, arg in zip(tests, args, strict=True)):
                return run(*args)
        raise no_such_overload(name, args)

    return pick


def cost_of(overloads: Sequence[Overload]) -> Cost | None:
    """Return how a call's cost depends on its arguments; None where it is 1."""
    price = overloads[0].price if overloads else None
    if price is None or (len(overloads) > 1 and not price.in_doubt):
        return None
    return price.runs


def call(name: str, overloads: Sequence[Overload], static: Sequence[Type], args: Sequence[Run]) -> Run:
    """Return the closure of a call."""
    run, cost = implementation(name, overloads, static), cost_of(overloads)
    if len(args) == 2:
        fast = _fast_comparison(name, static, args)
        if fast is not None:
            return fast
        return _binary(run, cost, args[0], args[1])
    if len(args) == 1:
        return _unary(run, cost, args[0])
    return _any(run, cost, tuple(args))


def _unary(run: Callable[..., Any], cost: Cost | None, argument: Run) -> Run:
    def plain(frame: Frame) -> Any:
        try:
            value = argument(frame)
        finally:
            frame.cost += 1
        return run(value)

    def weighed(frame: Frame) -> Any:
        value = argument(frame)
        return _weighed(frame, run, cost, (value,))

    return plain if cost is None else weighed


def _binary(run: Callable[..., Any], cost: Cost | None, left: Run, right: Run) -> Run:
    def plain(frame: Frame) -> Any:
        try:
            one = left(frame)
        except EvaluationError:
            _spoiled(frame, right)
            raise
        try:
            other = right(frame)
        finally:
            frame.cost += 1
        return run(one, other)

    def weighed(frame: Frame) -> Any:
        try:
            one = left(frame)
        except EvaluationError:
            _spoiled(frame, right)
            raise
        try:
            other = right(frame)
        except EvaluationError:
            frame.cost += 1
            raise
        return _weighed(frame, run, cost, (one, other))

    return plain if cost is None else weighed


def _spoiled(frame: Frame, right: Run) -> None:
    """The left side failed: the right one runs and costs, whatever comes of it."""
    frame.cost += 1
    try:
        right(frame)
    except EvaluationError:
        return


def _weighed(frame: Frame, run: Callable[..., Any], cost: Cost | None, args: tuple[Any, ...]) -> Any:
    assert cost is not None
    result: Any = None
    try:
        result = run(*args)
    finally:
        frame.cost += cost(args, result)
    if frame.cost > frame.limit:
        frame.check()
    return result


def _any(run: Callable[..., Any], cost: Cost | None, args: tuple[Run, ...]) -> Run:
    def spread(frame: Frame) -> Any:
        values = tuple([argument(frame) for argument in args])
        if cost is not None:
            return _weighed(frame, run, cost, values)
        frame.cost += 1
        return run(*values)

    return spread


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "_==_": operator.eq, "_!=_": operator.ne, "_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt,
    "_>=_": operator.ge,
}  # fmt: skip
_SCALARS = frozenset(("int", "uint", "double", "bool"))


def _fast_comparison(name: str, static: Sequence[Type], args: Sequence[Run]) -> Run | None:
    """Compare scalars and strings of known type without looking at them first."""
    compare = _COMPARISONS.get(name)
    if compare is None or static[0] != static[1]:
        return None
    kind = static[0].kind
    if kind in _SCALARS:
        return _binary(compare, None, args[0], args[1])
    if kind == "string" and name in ("_==_", "_!=_"):
        return _strings(compare, args[0], args[1])
    return None


def _strings(compare: Callable[[Any, Any], Any], left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Any:
        try:
            one = left(frame)
        except EvaluationError:
            _spoiled(frame, right)
            raise
        try:
            other = right(frame)
        except EvaluationError:
            frame.cost += 1
            raise
        shorter = min(len(one), len(other))
        if shorter:
            frame.cost += 1 if shorter <= 10 else read(shorter)
        return compare(one, other)

    return run
