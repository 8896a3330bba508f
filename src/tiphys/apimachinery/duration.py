"""Durations as people read them in tables: ``45s``, ``3m20s``, ``5h``, ``2d4h``.

Source: the AGE column of every table the API prints.
"""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.clock import parse_time

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
    """Write a duration of whole seconds as Go does: ``10s``, ``5m0s``, ``1h0m0s``."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
