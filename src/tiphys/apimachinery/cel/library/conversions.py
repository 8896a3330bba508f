"""Conversions between types: ``int(x)``, ``string(x)``, ``timestamp(x)`` and the rest.

Source: cel-spec, "List of Standard Definitions".
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.arithmetic import checked, checked_uint
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Overload, function
from tiphys.apimachinery.cel.prices import Price
from tiphys.apimachinery.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT, Type
from tiphys.apimachinery.cel.values import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    SECOND,
    Duration,
    Timestamp,
    Uint,
    parse_duration,
    parse_timestamp,
    timestamp,
)
from tiphys.apimachinery.go_text import BOOLS

_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS, _HEX_DIGITS = "[0-9]++(?:_[0-9]++)*+", "[0-9a-f]++(?:_[0-9a-f]++)*+"
_DOUBLE = re.compile(
    rf"nan|[+-]?(?:inf|infinity|(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?)",
    re.ASCII | re.IGNORECASE,
)
_HEX_DOUBLE = re.compile(
    rf"[+-]?0x(?:_?{_HEX_DIGITS}\.?(?:{_HEX_DIGITS})?|\.{_HEX_DIGITS})p[+-]?{_DIGITS}",
    re.ASCII | re.IGNORECASE,
)


def _unfit(source: str, wanted: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{source}' to '{wanted}'")


def _text_to_int(text: str) -> int:
    if _WHOLE.fullmatch(text) and len(text) < 100 and MIN_INT <= int(text) <= MAX_INT:
        return int(text)
    raise _unfit("string", "int")


def _text_to_uint(text: str) -> Uint:
    if text.isascii() and text.isdigit() and len(text) < 100 and int(text) <= MAX_UINT:
        return Uint(int(text))
    raise _unfit("string", "uint")


def _text_to_double(text: str) -> float:
    if _DOUBLE.fullmatch(text):
        value = float(text)
        if math.isfinite(value) or not any(letter.isdigit() for letter in text):
            return value
    elif _HEX_DOUBLE.fullmatch(text):
        with contextlib.suppress(OverflowError):
            return float.fromhex(text.replace("_", ""))
    raise _unfit("string", "double")


def _double_to_int(value: float) -> int:
    if not math.isfinite(value) or not -9223372036854775808.0 < value < 9223372036854775808.0:
        raise EvaluationError("integer overflow")
    return checked(int(value))


def _double_to_uint(value: float) -> Uint:
    if not math.isfinite(value) or value < 0:
        raise EvaluationError("unsigned integer overflow")
    return checked_uint(int(value))


def _to_double(value: Any) -> float:
    return float(value)


def double_text(value: float) -> str:
    """Show a double as ``%g`` with all its digits does."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    digits, _, exponent = _shortest(value)
    power = int(exponent)
    if -4 <= power < 6:
        return _plain(value)
    return f"{digits}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _shortest(value: float) -> tuple[str, str, str]:
    """Return the shortest digits that read back as the value, and the exponent."""
    for precision in range(17):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            return text.partition("e")
    return f"{value:.17e}".partition("e")


def _plain(value: float) -> str:
    text = repr(value)
    if "e" in text or "E" in text:
        text = f"{value:.30f}".rstrip("0")
    return text.removesuffix(".0").removesuffix(".")


def _bytes_to_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from error


def _text_to_bool(text: str) -> bool:
    if text not in BOOLS:
        raise _unfit("string", "bool")
    return BOOLS[text]


def _text_to_duration(text: str) -> Any:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise _unfit("string", "google.protobuf.Duration") from error


def _text_to_timestamp(text: str) -> Any:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise _unfit("string", "google.protobuf.Timestamp") from error


def _seconds(value: Timestamp) -> int:
    return value.nanoseconds // SECOND


def _same(value: Any) -> Any:
    return value


def _one(
    id_: str,
    name: str,
    source: Type,
    result: Type,
    run: Callable[[Any], Any],
    *,
    price: Price | None = None,
    literal: Callable[[str], object] | None = None,
) -> Overload:
    return function(id_, name, (source,), result, run, price=price, literal=literal)


def to_text(value: Any) -> str:
    """Return what ``string(value)`` gives for scalars."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        return _bytes_to_text(value)
    return str(value)


OVERLOADS: tuple[Overload, ...] = (
    _one("int64_to_int64", "int", INT, INT, _same),
    _one("uint64_to_int64", "int", UINT, INT, lambda value: checked(int(value))),
    _one("double_to_int64", "int", DOUBLE, INT, _double_to_int),
    _one("string_to_int64", "int", STRING, INT, _text_to_int),
    _one("timestamp_to_int64", "int", TIMESTAMP, INT, _seconds),
    _one("duration_to_int64", "int", DURATION, INT, lambda value: value.nanoseconds),
    _one("uint64_to_uint64", "uint", UINT, UINT, _same),
    _one("int64_to_uint64", "uint", INT, UINT, checked_uint),
    _one("double_to_uint64", "uint", DOUBLE, UINT, _double_to_uint),
    _one("string_to_uint64", "uint", STRING, UINT, _text_to_uint),
    _one("double_to_double", "double", DOUBLE, DOUBLE, _same),
    _one("int64_to_double", "double", INT, DOUBLE, _to_double),
    _one("uint64_to_double", "double", UINT, DOUBLE, _to_double),
    _one("string_to_double", "double", STRING, DOUBLE, _text_to_double),
    _one("bool_to_bool", "bool", BOOL, BOOL, _same),
    _one("string_to_bool", "bool", STRING, BOOL, _text_to_bool),
    _one("bytes_to_bytes", "bytes", BYTES, BYTES, _same),
    _one("string_to_bytes", "bytes", STRING, BYTES, str.encode, price=prices.TEXT_TO_BYTES),
    _one("string_to_string", "string", STRING, STRING, _same),
    # How long such a text is, the API does not know: what joins it to another is beyond every limit.
    *(
        _one(f"{label}_to_string", "string", kind, STRING, to_text)
        for label, kind in (
            ("bool", BOOL), ("double", DOUBLE), ("duration", DURATION), ("int64", INT),
            ("timestamp", TIMESTAMP), ("uint64", UINT),
        )
    ),
    _one("bytes_to_string", "string", BYTES, STRING, to_text, price=prices.BYTES_TO_TEXT),
    _one("timestamp_to_timestamp", "timestamp", TIMESTAMP, TIMESTAMP, _same),
    _one("string_to_timestamp", "timestamp", STRING, TIMESTAMP, _text_to_timestamp, literal=parse_timestamp),
    _one("int64_to_timestamp", "timestamp", INT, TIMESTAMP, lambda value: timestamp(value * SECOND)),
    _one("duration_to_duration", "duration", DURATION, DURATION, _same),
    _one("string_to_duration", "duration", STRING, DURATION, _text_to_duration, literal=parse_duration),
    _one("int64_to_duration", "duration", INT, DURATION, Duration),
)  # fmt: skip
