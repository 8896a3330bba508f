"""Times as the wire has them, from the first year on."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tiphys.apimachinery.clock import parse_time, rfc3339, rfc3339_micro

CASES = {
    "a time of today": ("2026-11-26T15:40:01.250000Z", datetime(2026, 11, 26, 15, 40, 1, 250000, UTC)),
    "a whole second": ("2026-11-26T15:40:01.000000Z", datetime(2026, 11, 26, 15, 40, 1, 0, UTC)),
    "before the epoch": ("1960-01-01T00:00:05.000000Z", datetime(1960, 1, 1, 0, 0, 5, 0, UTC)),
    "the first year": ("0001-01-01T00:00:02.000000Z", datetime(1, 1, 1, 0, 0, 2, 0, UTC)),
    "a year of three digits": ("0987-06-05T04:03:02.000001Z", datetime(987, 6, 5, 4, 3, 2, 1, UTC)),
}


@pytest.mark.parametrize(("text", "moment"), CASES.values(), ids=CASES)
def test_there_and_back(text: str, moment: datetime) -> None:
    assert rfc3339_micro(moment) == text
    assert rfc3339(moment) == f"{text[:19]}Z"
    assert parse_time(text) == moment


def test_other_zones_are_told_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, 0, 0, 5, timezone(timedelta(hours=2)))
    assert rfc3339_micro(moment) == "2025-12-31T23:00:00.000005Z"
    assert rfc3339(moment) == "2025-12-31T23:00:00Z"
