"""What the person at the terminal sees while a step lasts, when it is done, and when it fails."""

from __future__ import annotations

import io

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.ctl.layout import CtlError
from tiphys.ctl.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(out: io.StringIO, *, fails: bool) -> None:
    clock = FakeClock()
    progress = Progress(out, clock)
    with progress.step("API server"):
        clock.advance(2.24)
        if fails:
            raise CtlError("port 6443 is taken")


def test_a_step_is_one_line() -> None:
    out = io.StringIO()
    run(out, fails=False)
    assert out.getvalue() == "  ✓ API server (2.2 s)\n"


def test_a_terminal_shows_what_is_waited_for() -> None:
    out = Terminal()
    run(out, fails=False)
    assert out.getvalue() == "  … API server\r\x1b[K  ✓ API server (2.2 s)\n"


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (io.StringIO(), "  ✗ API server (2.2 s)\n"),
        (Terminal(), "  … API server\r\x1b[K  ✗ API server (2.2 s)\n"),
    ],
)
def test_a_failed_step_ends_its_line(out: io.StringIO, said: str) -> None:
    """What follows is the error; it must not be written into the middle of this line."""
    with pytest.raises(CtlError):
        run(out, fails=True)
    assert out.getvalue() == said


def test_elapsed_and_say() -> None:
    clock, out = FakeClock(), io.StringIO()
    progress = Progress(out, clock)
    clock.advance(3)
    progress.say("hello")
    assert (progress.elapsed_s, out.getvalue()) == (3.0, "hello\n")
