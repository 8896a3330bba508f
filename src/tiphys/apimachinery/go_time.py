"""Times as Go reads them: in one layout and no other, and the words for what is none.

Owns: ``parse`` for the two layouts of the API. Pure. Source: Go's ``time.Parse``. A fraction of any length
may follow the seconds of a layout without one, an hour may have one digit, and an offset of 24 hours is one.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

RFC3339: Final = "2006-01-02T15:04:05Z07:00"
RFC3339_MICRO: Final = "2006-01-02T15:04:05.000000Z07:00"

_MOMENT: Final = r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)%(?:Z|([+-])(\d\d):(\d\d))"
_FRACTIONS: Final = {RFC3339: r"(?:[.,](\d+))?", RFC3339_MICRO: r"[.,](\d{6})"}
_ELEMENTS: Final = ("2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05")
_RANGES: Final = {
    "01": ("month", 1, 12),
    "15": ("hour", 0, 23),
    "04": ("minute", 0, 59),
    "05": ("second", 0, 59),
}
_ZONE: Final = "Z07:00"


class TimeError(ValueError):
    """A text that is no time in the layout; the message is Go's."""


@cache
def _pattern(layout: str) -> re.Pattern[str]:
    return re.compile(_MOMENT.replace("%", _FRACTIONS[layout]), re.ASCII)


def parse(text: str, layout: str = RFC3339) -> datetime:
    """Return the moment, in UTC, that a text names.

    Raises:
        TimeError: it names none, or one that is not in the years 1 to 9999.
    """
    found = _pattern(layout).fullmatch(text)
    if found is None or not _in_range(found):
        raise TimeError(explain(text, layout))
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    micro = int((found[7] or "")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, UTC)
        return moment + offset if found[8] == "-" else moment - offset
    except (ValueError, OverflowError):
        raise TimeError(f"parsing time {quoted(text)}: year out of range") from None


def _in_range(found: re.Match[str]) -> bool:
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        return False
    if int(found[9] or 0) > 24 or int(found[10] or 0) > 60:
        return False
    return 1 <= day <= _days(year, month)


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if calendar.isleap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def explain(text: str, layout: str) -> str:
    """Return why a text is no time in a layout: what could not be read, or is out of its range."""
    rest, numbers = text, dict[str, int]()
    for element in _ELEMENTS:
        before = rest
        if len(element) == 1:
            if not rest.startswith(element):
                return _unread(text, layout, rest, element)
            rest = rest[1:]
            continue
        digits = _digits(rest, element)
        if not digits:
            return _unread(text, layout, before, element)
        rest = rest[len(digits) :]
        numbers[element] = number = int(digits)
        name, least, most = _RANGES.get(element, ("", number, number))
        if not least <= number <= most:
            return _out_of_range(text, name)
    if layout == RFC3339_MICRO:
        if not re.match(r"[.,]\d{6}", rest, re.ASCII):
            return _unread(text, layout, rest, ".000000")
        rest = rest[7:]
    else:
        rest = re.sub(r"\A[.,]\d+", "", rest, count=1, flags=re.ASCII)
    return _explain_zone(text, layout, rest) or _explain_day(text, numbers)


def _digits(rest: str, element: str) -> str:
    pattern = {"2006": r"\d{4}", "15": r"\d\d?"}.get(element, r"\d\d")
    found = re.match(pattern, rest, re.ASCII)
    return found.group() if found else ""


def _explain_zone(text: str, layout: str, rest: str) -> str:
    if rest.startswith("Z"):
        after = rest[1:]
    else:
        found = re.match(r"[+-](\d\d):(\d\d)", rest, re.ASCII)
        if found is None:
            return _unread(text, layout, rest, _ZONE)
        if int(found[2]) > 60:
            return _out_of_range(text, "time zone offset minute")
        if int(found[1]) > 24:
            return _out_of_range(text, "time zone offset hour")
        after = rest[6:]
    return f"parsing time {quoted(text)}: extra text: {quoted(after)}" if after else ""


def _explain_day(text: str, numbers: dict[str, int]) -> str:
    most = _days(numbers["2006"], numbers["01"])
    return "" if 1 <= numbers["02"] <= most else _out_of_range(text, "day")


def _out_of_range(text: str, name: str) -> str:
    return f"parsing time {quoted(text)}: {name} out of range"


def _unread(text: str, layout: str, rest: str, element: str) -> str:
    return f'parsing time {quoted(text)} as "{layout}": cannot parse {quoted(rest)} as "{element}"'


def quoted(text: str) -> str:
    """Quote a text byte by byte: what is no printable ASCII by its number."""
    shown = "".join(
        f"\\{chr(byte)}" if byte in b'"\\' else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"
        for byte in text.encode(errors="replace")
    )
    return f'"{shown}"'
