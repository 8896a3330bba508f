"""Lines of text in upstream's form."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import pytest

from tiphys.cmd.klog import KlogLines
from tiphys.cmd.main import configure_logging

HEAD = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ queue\.py:7\] ")


def line(message: str, *arguments: Any, level: int = logging.INFO, failed: Any = None) -> tuple[str, str]:
    record = logging.LogRecord("a.b", level, "/x/scheduler/queue.py", 7, message, arguments, failed)
    text = KlogLines().format(record)
    head = HEAD.match(text)
    assert head is not None, text
    return head[1], text[head.end() :]


CASES: dict[str, tuple[tuple[Any, ...], str]] = {
    "no fields": (("it listens",), '"it listens"'),
    "fields": (("not bound pod=%s tries=%d", "d/p", 3), '"not bound" pod="d/p" tries=3'),
    "kinds": (("x a=%s b=%s c=%s d=%s", True, 0.5, None, ["y"]), '"x" a=true b=0.5 c=<nil> d="[\'y\']"'),
    "quotes and ends of lines": (("x a=%s", 'say "a"\nb'), '"x" a="say \\"a\\"\\nb"'),
    "words behind a field": (("member=%s is slow; asking %s", "a", "b"), '"is slow; asking b" member="a"'),
    "why, behind a field": (("not settled name=%s: %s", "a", "gone"), '"not settled: gone" name="a"'),
    "words before a field": (("%s of %d held key=%s", "two", 3, "a"), '"two of 3 held" key="a"'),
    "fields of two parts": (
        ("not held lease=%s/%s error=%s", "d", "l", "no"),
        '"not held" lease="d/l" error="no"',
    ),
    "units": (("ended code=%d again_in=%.2fs", 1, 0.5), '"ended" code=1 again_in="0.50s"'),
    "per cent": (("100%% done key=%s", "a"), '"100% done" key="a"'),
    "several lines": (("%s", "Trace[1]: a\nTrace[1]: END\n"), "Trace[1]: a\nTrace[1]: END\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_lines(case: str) -> None:
    given, told = CASES[case]
    assert line(*given) == ("I", told)


def test_a_second_that_is_nearly_over() -> None:
    record = logging.LogRecord("a.b", logging.INFO, "/x/queue.py", 7, "x", (), None)
    record.created = 1_700_000_000.9999998
    assert KlogLines().format(record).split()[1].endswith(":20.999999")


def test_levels() -> None:
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    assert "".join(line("x", level=level)[0] for level in levels) == "IIWEF"
    assert line("x error=%s a=%d", "no", 1, level=logging.WARNING)[1] == '"x" error="no" a=1'
    assert line("x a=%d error=%s", 1, "no", level=logging.ERROR)[1] == '"x" err="no" a=1'


def test_what_was_raised_comes_behind() -> None:
    try:
        raise ValueError("deep down")
    except ValueError:
        told = line("x", level=logging.ERROR, failed=sys.exc_info())[1].splitlines()
    assert (told[0], told[1], told[-1]) == (
        '"x"',
        "Traceback (most recent call last):",
        "ValueError: deep down",
    )


@pytest.mark.parametrize("component", [True, False])
def test_components_write_so(component: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: given.update(settings))
    configure_logging(component=component)
    (handler,) = given["handlers"]
    assert isinstance(handler.formatter, KlogLines) is component
