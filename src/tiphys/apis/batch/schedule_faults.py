"""What is wrong with a CronJob's schedule and time zone, in the words of the API.

Source: the standard syntax of robfig/cron, version 3, and the names of the IANA time zone database.
"""

from __future__ import annotations

import re
from functools import cache
from zoneinfo import available_timezones

from tiphys.apimachinery.atoi import atoi, atoi_fault
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required

_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, 1)},
    {name: number for number, name in enumerate(_DAYS)},
)
_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = "@every "
_UNITS = frozenset({"ns", "us", "µs", "μs", "ms", "s", "m", "h"})
_AMOUNT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_UNIT = re.compile(r"[^.0-9]+")
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")
_NOT_IN_SCHEDULE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
_TWO_ZONES = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
_NOT_LOCAL = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


class _Malformed(Exception):
    """Says what is wrong with a schedule."""


def _number(text: str) -> int:
    number = atoi(text)
    if number is None:
        raise _Malformed(f"failed to parse int from {text}: {atoi_fault(text)}")
    if number < 0:
        raise _Malformed(f"negative number ({number}) not allowed: {text}")
    return number


def _number_or_name(text: str, known: dict[str, int]) -> int:
    return known[text.lower()] if text.lower() in known else _number(text)


def _span(expression: str, low: int, high: int, known: dict[str, int]) -> tuple[int, int, int]:
    """Return where a range starts and ends, and its step."""
    span, *steps = expression.split("/")
    first, *rest = span.split("-")
    if first in ("*", "?"):
        start, end = low, high
    else:
        start = _number_or_name(first, known)
        if len(rest) > 1:
            raise _Malformed(f"too many hyphens: {expression}")
        end = _number_or_name(rest[0], known) if rest else start
    if not steps:
        return start, end, 1
    if len(steps) > 1:
        raise _Malformed(f"too many slashes: {expression}")
    return start, end if rest else high, _number(steps[0])


def _check_range(expression: str, low: int, high: int, known: dict[str, int]) -> None:
    start, end, step = _span(expression, low, high, known)
    if start < low:
        raise _Malformed(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise _Malformed(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise _Malformed(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise _Malformed(f"step of range should be a positive number: {expression}")


def _check_duration(text: str) -> None:
    unsigned = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return
    if not unsigned:
        raise _Malformed(f'time: invalid duration "{text}"')
    at = 0
    while at < len(unsigned):
        number = _AMOUNT.match(unsigned, at)
        if number is None:
            raise _Malformed(f'time: invalid duration "{text}"')
        unit = _UNIT.match(unsigned, number.end())
        if unit is None:
            raise _Malformed(f'time: missing unit in duration "{text}"')
        if unit[0] not in _UNITS:
            raise _Malformed(f'time: unknown unit "{unit[0]}" in duration "{text}"')
        at = unit.end()


def _check_macro(schedule: str) -> None:
    if schedule in _MACROS:
        return
    if not schedule.startswith(_EVERY):
        raise _Malformed(f"unrecognized descriptor: {schedule}")
    try:
        _check_duration(schedule.removeprefix(_EVERY))
    except _Malformed as error:
        raise _Malformed(f"failed to parse duration {schedule}: {error}") from error


def _check(schedule: str) -> None:
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, _, schedule = schedule.partition("=")[2].partition(" ")
        if not is_zone(zone):
            raise _Malformed(f"provided bad location {zone}: unknown time zone {zone}")
        schedule = schedule.strip()
    if schedule.startswith("@"):
        _check_macro(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        raise _Malformed(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, (low, high), known in zip(fields, _FIELDS, _NAMES, strict=True):
        for expression in filter(None, field.split(",")):
            _check_range(expression, low, high, known)


def schedule_faults(schedule: str, zone: str | None, before: str | None) -> list[FieldError]:
    """Return every fault of a schedule; one that had a time zone in it before may keep having it."""
    path = "spec.schedule"
    if not schedule:
        return [required(path)]
    faults: list[FieldError] = []
    try:
        _check(schedule)
    except _Malformed as error:
        faults.append(invalid(path, schedule, str(error)))
    if "TZ" in schedule:
        tolerated = "TZ" in (before or "")
        if tolerated and zone is not None:
            faults.append(invalid(path, schedule, _TWO_ZONES))
        elif not tolerated:
            faults.append(invalid(path, schedule, _NOT_IN_SCHEDULE))
    return faults


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    return name in ("", "UTC", "Local") or name in _zones()


def zone_faults(zone: str | None) -> list[FieldError]:
    """Return every fault of a time zone's name."""
    path = "spec.timeZone"
    if zone is None:
        return []
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = [invalid(path, zone, f"unknown time zone {zone}")]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            return unknown
    faults = [invalid(path, zone, _NOT_LOCAL)] if zone.lower() == "local" else []
    return faults if is_zone(zone) else faults + unknown
