"""What timestamps and durations tell of themselves, in UTC or a given time zone.

Source: cel-spec, "Timezones" and the standard definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiphys.apimachinery.atoi import atoi, atoi_fault
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Overload, member
from tiphys.apimachinery.cel.types import DURATION, INT, STRING, TIMESTAMP
from tiphys.apimachinery.cel.values import SECOND, Duration, Timestamp, moment


def _zone(name: str) -> tzinfo:
    """Return a zone by its name, or by hours and minutes, whatever they are, with a colon between them."""
    hours, colon, minutes = name.partition(":")
    if colon:
        east = _whole(hours) * 60
        east += -_whole(minutes) if name.startswith("-") else _whole(minutes)
        return _East(timedelta(minutes=east))
    if name in ("", "UTC", "Local"):
        return UTC
    if ".." in name or name.startswith(("/", "\\")):
        raise EvaluationError("time: invalid location name")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error


def _whole(text: str) -> int:
    number = atoi(text)
    if number is None:
        raise EvaluationError(atoi_fault(text))
    return number


class _East(tzinfo):
    """A zone that may be more than a day away from UTC, which Python's own may not."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def fromutc(self, dt: datetime) -> datetime:
        return dt + self._shift

    def utcoffset(self, dt: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


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
    member("duration_to_milliseconds", "getMilliseconds", (DURATION,), INT, _units(10**6)),
)
