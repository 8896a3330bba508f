"""Cron schedules: five fields, names, steps, macros, ``@every``, time zones. Pure.

Source: the cron syntax of batch/v1 CronJob (robfig/cron's standard parser).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from fractions import Fraction
from zoneinfo import ZoneInfo

from tiphys.apimachinery.dataclass import dataclass

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: at for at, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: at for at, name in enumerate(_DAY_NAMES)}
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_STARS = ("*", "?")
_EVERY = "@every "
_DURATION_PART = re.compile(r"([0-9]++\.?[0-9]*+|\.[0-9]++)(ns|us|µs|μs|ms|s|m|h)")
_MICRO = Fraction(1, 1_000_000)
_UNIT_S: dict[str, Fraction] = {
    "ns": _MICRO / 1000,
    "us": _MICRO,
    "µs": _MICRO,
    "μs": _MICRO,
    "ms": _MICRO * 1000,
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_HORIZON_YEARS = 5
_LOOK_BACK_DAYS = (1, 8, 32, 366, 366 * _HORIZON_YEARS)


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        """Return the first time after a moment, in UTC; None if the schedule names no real date.

        A local time that a clock change skips does not exist, one that it repeats strikes twice.
        """
        moment = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        last_year = moment.year + _HORIZON_YEARS
        while moment.year <= last_year:
            local = moment.astimezone(self.zone)
            if local.month not in self.months or not self._day_matches(local):
                midnight = datetime.combine(local.date() + timedelta(days=1), time(), self.zone)
                moment = max(midnight.astimezone(UTC), moment + timedelta(minutes=1))
            elif local.hour not in self.hours:
                moment += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                moment += timedelta(minutes=1)
            else:
                return moment
        return None

    def last(self, known: datetime, now: datetime) -> datetime:
        """Return the latest of the times up to now; ``known`` is one of them."""
        for days in _LOOK_BACK_DAYS:
            found = self.next(max(known, now - timedelta(days=days)))
            if found is None or found > now:
                continue
            while found is not None and found <= now:
                known, found = found, self.next(found)
            break
        return known

    def _day_matches(self, moment: datetime) -> bool:
        day = moment.day in self.days
        weekday = (moment.weekday() + 1) % 7 in self.weekdays
        # When both are restricted either will do, as cron has it.
        return day and weekday if self.any_day or self.any_weekday else day or weekday


@dataclass(frozen=True, slots=True)
class Every:
    """Strikes again and again after the same time, a whole number of seconds and at least one."""

    delay: timedelta

    def last(self, first: datetime, now: datetime) -> datetime:
        """Return the latest of the times that follow from the first one; it is not after now."""
        return first + (now - first) // self.delay * self.delay

    def next(self, after: datetime) -> datetime:
        """Return the time one delay after a moment, in UTC."""
        return after.astimezone(UTC).replace(microsecond=0) + self.delay


def _every(text: str) -> Every:
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("+", text)
    parts = _DURATION_PART.findall(rest)
    if not rest or (rest != "0" and "".join(number + unit for number, unit in parts) != rest):
        raise ValueError(f"failed to parse duration @every {text}: time: invalid duration {text!r}")
    seconds = sum(Fraction(number.rstrip(".")) * _UNIT_S[unit] for number, unit in parts)
    return Every(timedelta(seconds=max(1, int(seconds) if sign == "+" else 1)))


def parse(text: str, time_zone: str = "") -> Schedule | Every:
    """Read a schedule. Raises ValueError with what is wrong (an unknown time zone included)."""
    try:
        zone: tzinfo = ZoneInfo(time_zone) if time_zone else UTC
    except (KeyError, OSError) as error:
        raise ValueError(f"unknown time zone {time_zone}") from error
    if text.startswith(_EVERY):
        return _every(text.removeprefix(_EVERY))
    fields = _MACROS.get(text.strip(), text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
    weekdays = _field(fields[4], 0, 7, _DAYS)
    return Schedule(
        _field(fields[0], 0, 59, {}),
        _field(fields[1], 0, 23, {}),
        _field(fields[2], 1, 31, {}),
        _field(fields[3], 1, 12, _MONTHS),
        frozenset(day % 7 for day in weekdays),
        any_day=_is_any(fields[2]),
        any_weekday=_is_any(fields[4]),
        zone=zone,
    )


def _is_any(text: str) -> bool:
    """Whether a field restricts nothing: a star that leaves something out does."""
    parts = (part.partition("/") for part in text.split(","))
    return any(span.split("-")[0] in _STARS and step in ("", "1") for span, _, step in parts)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, {}) if slash else 1
        if span.split("-")[0] in _STARS:
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, names)
            last = _number(end, names) if dash else (high if slash else first)
        if step < 1 or first < low or last > high or first > last:
            raise ValueError(f"out of range: {part!r}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ValueError(f"failed to parse number: {text!r}")
    return int(text)
