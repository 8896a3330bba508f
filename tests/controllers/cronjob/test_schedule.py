"""When a schedule strikes."""

from datetime import UTC, datetime

import pytest

from tiphys.controllers.cronjob.schedule import parse


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        ("* * * * *", "", "2026-01-01T00:00:30", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "", "2026-01-01T00:15:00", "2026-01-01T00:30:00"),
        ("0 9-17/4 * * MON-FRI", "", "2026-01-02T14:00:00", "2026-01-02T17:00:00"),
        ("0 9-17/4 * * 1-5", "", "2026-01-02T17:00:00", "2026-01-05T09:00:00"),
        ("0 0 29 2 *", "", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 */2 * 1", "", "2026-01-04T12:00:00", "2026-01-05T00:00:00"),
        ("0 0 */2 * 1", "", "2026-01-05T12:00:00", "2026-01-07T00:00:00"),
        ("0 0 */1 * 1", "", "2026-01-05T12:00:00", "2026-01-12T00:00:00"),
        ("0 0 *-3 * 1", "", "2026-01-05T12:00:00", "2026-01-12T00:00:00"),
        ("0 0 13 * 5", "", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 * * 7", "", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@hourly", "", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
        ("@every 90s", "", "2026-01-01T00:00:00", "2026-01-01T00:01:30"),
        ("@every 1h30m10s", "Asia/Tokyo", "2026-01-01T00:00:05", "2026-01-01T01:30:15"),
        ("@every 1.5m", "", "2026-01-01T00:00:00.750", "2026-01-01T00:01:30"),
        ("@every 2900ms", "", "2026-01-01T00:00:00", "2026-01-01T00:00:02"),
        ("@every 10ms", "", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("@every 0", "", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("@every -5m", "", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-30T00:30:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T04:00:00", "2012-11-04T05:00:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T05:00:00", "2012-11-04T06:00:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T06:00:00", "2012-11-05T06:00:00"),
        ("0 * * * *", "America/New_York", "2012-11-04T05:00:00", "2012-11-04T06:00:00"),
        ("0 2 * * *", "America/New_York", "2012-03-11T05:00:00", "2012-03-12T06:00:00"),
        ("*/20 * * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00", "2026-04-04T15:10:00"),
        ("0 0 * * *", "America/Santiago", "2025-09-06T05:00:00", "2025-09-08T03:00:00"),
        ("0 12 * * *", "Asia/Tokyo", "2026-01-01T00:00:00", "2026-01-01T03:00:00"),
    ],
)
def test_next(text, zone, after, expected):
    found = parse(text, zone).next(datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_date_that_never_comes():
    assert parse("0 0 31 2 *").next(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "x * * * *",
        "@never",
        "@every ",
        "@every 5",
        "@every 5x",
        "@every 1m x",
    ],
)
def test_nonsense(text):
    with pytest.raises(ValueError):
        parse(text)


def test_unknown_zone():
    with pytest.raises(ValueError, match="unknown time zone"):
        parse("* * * * *", "Mars/Olympus")
