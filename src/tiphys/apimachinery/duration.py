"""Durations as people read them in tables: ``45s``, ``3m20s``, ``5h``, ``2d4h``.

Source: the AGE column of every table the API prints.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.go_time import quoted

_MINUTE, _HOUR, _YEAR = 60, 3600, 365 * 86400

UNKNOWN = "<unknown>"
INVALID = "<invalid>"


def _two(first: int, unit: str, rest: int, rest_unit: str) -> str:
    return f"{first}{unit}{rest}{rest_unit}" if rest else f"{first}{unit}"


def human(seconds: float) -> str:
    """Return a duration with two units at most, coarser the longer it is.

    Two seconds of clock skew into the future still read as ``0s``; more is ``<invalid>``.
    """
    whole = int(seconds)
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes = whole // _MINUTE
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = whole // _HOUR
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = whole // _YEAR
    if hours < 24 * 365 * 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def since(timestamp: str | None, now: datetime) -> str:
    """Return how long ago an RFC 3339 time was, ``<unknown>`` when there is none."""
    if not timestamp:
        return UNKNOWN
    try:
        moment = parse_time(timestamp)
    except ValueError:
        return UNKNOWN
    return human((now - moment).total_seconds())


def go_duration(seconds: float) -> str:
    """Write a duration as Go does: ``10s``, ``5m0s``, ``1h0m0s``, ``1.5s``, ``250ms``."""
    if seconds < 0:
        return f"-{go_duration(-seconds)}"
    if 0 < seconds < 1:
        small = round(seconds * 1000, 6)
        return f"{small:g}ms" if small >= 1 else f"{round(small * 1000, 3):g}µs"
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    rest = f"{round(seconds - whole + whole % 60, 9):.9g}s"
    if hours:
        return f"{hours}h{minutes}m{rest}"
    return f"{minutes}m{rest}" if minutes else rest


_NS: Final = {
    "ns": 1, "us": 10**3, "\N{MICRO SIGN}s": 10**3, "\N{GREEK SMALL LETTER MU}s": 10**3, "ms": 10**6,
    "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_PART: Final = re.compile(rf"(\d++\.?\d*+|\.\d++)({'|'.join(_NS)})", re.ASCII)
_WHOLE: Final = re.compile(rf"[-+]?(?:0|(?:{_PART.pattern})+)", re.ASCII)
_NUMBER: Final = re.compile(r"\d++\.?\d*+|\.\d++", re.ASCII)
_UNIT: Final = re.compile(r"[^.\d]+", re.ASCII)
_DIGITS_MAX: Final = 30


def parse_go_duration(text: object) -> float:
    """Read what ``go_duration`` writes. Raises ValueError with Go's words for anything else."""
    if not isinstance(text, str):
        raise ValueError("json: cannot unmarshal number into Go value of type string")
    if _WHOLE.fullmatch(text):
        size = sum(_nanoseconds(number, unit) for number, unit in _PART.findall(text))
        if size < 2**63 or (size == 2**63 and text.startswith("-")):
            return (-size if text.startswith("-") else size) / 10**9
    raise ValueError(f"time: {_misfit(text)} duration {quoted(text)}")


def _nanoseconds(number: str, unit: str) -> int:
    """Return a part of a duration, without what is shorter than a nanosecond."""
    whole, _, decimals = number.partition(".")
    decimals = decimals[:_DIGITS_MAX]
    scale: int = 10 ** len(decimals)
    return int(whole[:_DIGITS_MAX] or 0) * _NS[unit] + int(decimals or 0) * _NS[unit] // scale


def _misfit(text: str) -> str:
    """Say what keeps a text from being a duration: the first part that is none."""
    at = 1 if text[:1] in ("-", "+") else 0
    while at < len(text):
        number = _NUMBER.match(text, at)
        if number is None:
            return "invalid"
        unit = _UNIT.match(text, number.end())
        if unit is None:
            return "missing unit in"
        if unit.group() not in _NS:
            return f"unknown unit {quoted(unit.group())} in"
        at = unit.end()
    return "invalid"
