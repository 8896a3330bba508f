"""Durations as tables show them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tiphys.apimachinery.duration import go_duration, human, parse_go_duration, since

D, H, M = 86400, 3600, 60
HUMAN = {
    -5: "<invalid>", -1: "0s", 0: "0s", 1: "1s", 119: "119s", 120: "2m", 125: "2m5s", 599: "9m59s",
    600: "10m", 179 * M: "179m", 180 * M: "3h", 181 * M: "3h1m", 8 * H: "8h", 47 * H + 59 * M: "47h",
    48 * H: "2d", 50 * H: "2d2h", 8 * D: "8d", 729 * D: "729d", 730 * D: "2y", 731 * D: "2y1d",
    8 * 365 * D: "8y", 3000 * D: "8y",
}  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), HUMAN.items())
def test_human(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_since() -> None:
    now = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert since("2026-01-01T00:00:00Z", now) == "5m"
    assert since(None, now) == "<unknown>"
    assert since("rubbish", now) == "<unknown>"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59.9s"), (60, "1m0s"), (3599, "59m59s"), (3600, "1h0m0s"), (90061, "25h1m1s")],
)
def test_as_go_writes_it(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [("0", 0, "0s"), ("60s", 60, "1m0s"), ("1h", 3600, "1h0m0s"), ("-90s", -90, "-1m30s"),
     ("1.5s", 1.5, "1.5s"), ("250ms", 0.25, "250ms"), ("1m0.5s", 60.5, "1m0.5s"), ("+3us", 3e-6, "3µs"),
     ("3\N{MICRO SIGN}s", 3e-6, "3µs"), ("3\N{GREEK SMALL LETTER MU}s", 3e-6, "3µs"), ("0.9ns", 0, "0s")],
)  # fmt: skip
def test_go_durations(text: str, seconds: float, written: str) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)
    assert go_duration(parse_go_duration(text)) == written


def test_the_longest_of_go_durations() -> None:
    assert parse_go_duration("9223372036854775807ns") == parse_go_duration("2562047h47m16.854775807s")
    assert parse_go_duration("-9223372036854775808ns") < 0


@pytest.mark.parametrize(
    ("text", "why"),
    [("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
     ("-9223372036854775809ns", 'time: invalid duration "-9223372036854775809ns"'),
     ("soon", 'time: invalid duration "soon"'), ("", 'time: invalid duration ""'),
     ("5", 'time: missing unit in duration "5"'), ("3000000h", 'time: invalid duration "3000000h"'),
     ("1h5", 'time: missing unit in duration "1h5"'), ("5x", 'time: unknown unit "x" in duration "5x"'),
     ("1.5 s", 'time: unknown unit " s" in duration "1.5 s"'), (".", 'time: invalid duration "."'),
     ("-", 'time: invalid duration "-"'), ("1h-5m", 'time: unknown unit "h-" in duration "1h-5m"'),
     ("1d", 'time: unknown unit "d" in duration "1d"'), ("--1s", 'time: invalid duration "--1s"'),
     (5, "json: cannot unmarshal number into Go value of type string")],
)  # fmt: skip
def test_what_is_no_go_duration(text: object, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        parse_go_duration(text)
