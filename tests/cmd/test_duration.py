"""Times on the command line."""

import click
import pytest

from tiphys.cmd.duration import DURATION, SIGNED_DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("40s", 40.0), ("1m30s", 90.0), ("1h", 3600.0), ("250ms", 0.25), ("1.5m", 90.0), ("3600", 3600.0),
     (7, 7.0)],
)  # fmt: skip
def test_durations(text, seconds):
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "1m 3s", "-4s"])
def test_no_durations(text):
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


def test_a_duration_that_others_judge():
    assert SIGNED_DURATION.convert("-4s", None, None) == -4.0
