"""What timestamps and durations tell of themselves, in UTC or a given time zone.

Source: cel-spec, "Timezones" and the standard definitions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Overload, member
from tiphys.apimachinery.cel.types import DURATION, INT, STRING, TIMESTAMP
from tiphys.apimachinery.cel.values import SECOND, Duration, Timestamp, moment

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match:
        hours, minutes = int(match[2]), int(match[3])
        if hours > 23 or minutes > 59:
            raise EvaluationError(f"unknown time zone {name}")
        shift = timedelta(hours=hours, minutes=minutes)
        return timezone(-shift if match[1] == "-" else shift)
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error


_Read = Callable[[datetime, int], int]


def _in_zone(read: _Read) -> Callable[..., int]:
    def run(value: Timestamp, zone: str = "") -> int:
        whole, rest = divmod(value.nanoseconds, SECOND)
        try:
            return read(moment(whole, _zone(zone)), rest)
        except OverflowError as error:
            raise EvaluationError("timestamp overflow") from error

    return run


_PARTS: dict[str, _Read] = {
    "getFullYear": lambda time, rest: time.year,
    "getMonth": lambda time, rest: time.month - 1,
    "getDayOfYear": lambda time, rest: time.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda time, rest: time.day - 1,
    "getDate": lambda time, rest: time.day,
    "getDayOfWeek": lambda time, rest: time.isoweekday() % 7,
    "getHours": lambda time, rest: time.hour,
    "getMinutes": lambda time, rest: time.minute,
    "getSeconds": lambda time, rest: time.second,
    "getMilliseconds": lambda time, rest: rest // 10**6,
}


def _units(nanoseconds: int) -> Callable[[Duration], int]:
    def run(value: Duration) -> int:
        count = abs(value.nanoseconds) // nanoseconds
        return -count if value.nanoseconds < 0 else count

    return run


def _milliseconds(value: Duration) -> int:
    """The part below a second, as the standard has it."""
    return (
        _units(10**6)(value) % 1000
        if value.nanoseconds >= 0
        else -(_units(10**6)(Duration(-value.nanoseconds)) % 1000)
    )


OVERLOADS: tuple[Overload, ...] = (
    *(
        overload
        for name, read in _PARTS.items()
        for overload in (
            member(f"timestamp_{name}", name, (TIMESTAMP,), INT, _in_zone(read)),
            member(f"timestamp_{name}_with_tz", name, (TIMESTAMP, STRING), INT, _in_zone(read)),
        )
    ),
    member("duration_to_hours", "getHours", (DURATION,), INT, _units(3600 * SECOND)),
    member("duration_to_minutes", "getMinutes", (DURATION,), INT, _units(60 * SECOND)),
    member("duration_to_seconds", "getSeconds", (DURATION,), INT, _units(SECOND)),
    member("duration_to_milliseconds", "getMilliseconds", (DURATION,), INT, _milliseconds),
)
