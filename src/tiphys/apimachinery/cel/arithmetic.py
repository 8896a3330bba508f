"""Arithmetic that overflows instead of growing, and order over all that has one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.values import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    Duration,
    Timestamp,
    Uint,
    duration,
    timestamp,
)


def checked(value: int) -> int:
    """Raises EvaluationError for what 64 bits with a sign cannot hold."""
    if MIN_INT <= value <= MAX_INT:
        return value
    raise EvaluationError("integer overflow")


def checked_uint(value: int) -> Uint:
    if 0 <= value <= MAX_UINT:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def _whole(one: Any, value: int) -> Any:
    return checked_uint(value) if type(one) is Uint else checked(value)


def add(one: Any, other: Any) -> Any:
    if isinstance(one, Timestamp):
        return timestamp(one.nanoseconds + other.nanoseconds, one.offset_s)
    if isinstance(one, Duration):
        if isinstance(other, Timestamp):
            return timestamp(one.nanoseconds + other.nanoseconds, other.offset_s)
        return duration(one.nanoseconds + other.nanoseconds)
    if isinstance(one, int):
        return _whole(one, one + other)
    return one + other


def subtract(one: Any, other: Any) -> Any:
    if isinstance(one, Timestamp):
        between = one.nanoseconds - other.nanoseconds
        return duration(between) if isinstance(other, Timestamp) else timestamp(between, one.offset_s)
    if isinstance(one, Duration):
        return duration(one.nanoseconds - other.nanoseconds)
    if isinstance(one, int):
        return _whole(one, int(one) - int(other))
    return one - other


def multiply(one: Any, other: Any) -> Any:
    return _whole(one, int(one) * int(other)) if isinstance(one, int) else one * other


def divide(one: Any, other: Any) -> Any:
    """Whole numbers round towards zero; doubles follow IEEE 754."""
    if isinstance(one, int):
        if other == 0:
            raise EvaluationError("division by zero")
        quotient = abs(one) // abs(other)
        return _whole(one, quotient if (one < 0) == (other < 0) else -quotient)
    if other:
        return one / other
    if one == 0 or one != one:
        return float("nan")
    return float("inf") * _sign(one) * _sign(other)


def _sign(value: float) -> float:
    return -1.0 if str(value).startswith("-") else 1.0


def modulo(one: Any, other: Any) -> Any:
    """The remainder has the sign of the dividend."""
    if other == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(one) % abs(other)
    return _whole(one, -rest if one < 0 else rest)


def negate(value: Any) -> Any:
    return checked(-value) if isinstance(value, int) else -value


_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def ordered(sign: str) -> Callable[[Any, Any], bool]:
    """Return the comparison; Python compares whole numbers with doubles exactly, as CEL does."""
    compare = _ORDERS[sign]
    return lambda one, other: bool(compare(one, other))
