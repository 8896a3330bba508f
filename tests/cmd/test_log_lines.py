"""How components write their logs: JSON lines, and which modules are told of at length."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from tiphys.cmd.component import Component
from tiphys.cmd.klog import parts
from tiphys.cmd.log_lines import JsonLines, LogFlagError, Modules, read_patterns, set_up
from tiphys.cmd.scheduler import options_from, scheduler


def record(message: str, *arguments: Any, level: int = logging.INFO, name: str = "a.b") -> logging.LogRecord:
    return logging.LogRecord(name, level, "/x/scheduler/queue.py", 7, message, arguments, None)


PARTS: dict[str, tuple[logging.LogRecord, tuple[str, dict[str, Any]]]] = {
    "no fields": (record("it listens"), ("it listens", {})),
    "fields": (record("not bound pod=%s tries=%d", "d/p", 3), ("not bound", {"pod": "d/p", "tries": 3})),
    "a message with words put in": (
        record("flag --%s has no effect count=%d", "x", 1), ("flag --x has no effect", {"count": 1}),
    ),
    "words put in behind": (record("x a=%s and %s more", 1, 2), ("x and 2 more", {"a": 1})),
    "only a field": (record("port=%d", 80), ("", {"port": 80})),
    "no arguments": (record("100%"), ("100%", {})),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_message_and_fields(name: str) -> None:
    given, expected = PARTS[name]
    assert parts(given) == expected


def test_a_line() -> None:
    given = record("not bound pod=%s tries=%d", "d/p", 3)
    line = json.loads(JsonLines().format(given))
    assert line.pop("ts") == pytest.approx(given.created * 1000)
    assert line == {"caller": "scheduler/queue.py:7", "msg": "not bound", "v": 0, "pod": "d/p", "tries": 3}


def test_errors_and_details() -> None:
    line = json.loads(JsonLines().format(record("failed error=%s", ValueError("no"), level=logging.ERROR)))
    assert ("v" in line, line["err"]) == (False, "no")
    assert json.loads(JsonLines().format(record("x", level=logging.DEBUG)))["v"] == 4
    given = record("HTTP verb=%s", "GET")
    given.verbosity = 3
    assert json.loads(JsonLines().format(given))["v"] == 3
    given = record("x", level=logging.ERROR)
    try:
        raise ValueError("deep down")
    except ValueError:
        given.exc_info = sys.exc_info()
    assert "deep down" in json.loads(JsonLines().format(given))["stacktrace"]


@pytest.mark.parametrize(
    ("pattern", "name", "told"),
    [("queue=4", "tiphys.scheduler.queue", True), ("queue=3", "tiphys.scheduler.queue", False),
     ("que*=9", "tiphys.scheduler.queue", True), ("queue=4", "tiphys.scheduler.binder", False),
     ("tiphys/scheduler/*=5", "tiphys.scheduler.binder", True), ("b=1,b*=5", "x.b", False)],
)  # fmt: skip
def test_modules(pattern: str, name: str, *, told: bool) -> None:
    modules = Modules(read_patterns(pattern))
    for _ in range(2):
        assert modules.filter(record("x", level=logging.DEBUG, name=name)) is told
    assert modules.filter(record("x", name=name))


@pytest.mark.parametrize(
    ("text", "fault"),
    [("x", '"x" doesn\'t have the pattern=N format'), ("x=", '"x=" doesn\'t have the pattern=N format'),
     ("x=y", 'parsing verbosity in "x=y": strconv.ParseUint: parsing "y": invalid syntax')],
)  # fmt: skip
def test_patterns_that_are_none(text: str, fault: str) -> None:
    with pytest.raises(LogFlagError) as caught:
        read_patterns(text)
    assert str(caught.value) == fault


@pytest.fixture
def root() -> Iterator[io.StringIO]:
    """The text of a log of its own; the handlers of other tests, which see it too, stay as they are."""
    logger, written = logging.getLogger(), io.StringIO()
    before, level = logger.handlers, logger.level
    kept = [(handler, handler.formatter, list(handler.filters)) for handler in before]
    logger.handlers = [logging.StreamHandler(written)]
    yield written
    logger.handlers = before
    logger.setLevel(level)
    for handler, formatter, filters in kept:
        handler.setFormatter(formatter)
        handler.filters = filters


@click.command("thing", cls=Component, upstream="kube-scheduler")
def thing() -> None:
    logging.getLogger("tiphys.thing").debug("detail")
    logging.getLogger("tiphys.thing").warning("done count=%d", 2)


def run(*words: str) -> None:
    thing.main(list(words), standalone_mode=False)


def test_flags(root: io.StringIO) -> None:
    run("--logging-format=json")
    (line,) = root.getvalue().splitlines()
    assert json.loads(line)["count"] == 2
    root.truncate(0)
    root.seek(0)
    logging.getLogger().handlers[0].setFormatter(None)
    run("--vmodule=thing=4")
    assert root.getvalue().splitlines() == ["detail", "done count=2"]
    root.truncate(0)
    root.seek(0)
    run("--vmodule=other=4")
    assert root.getvalue().splitlines() == ["done count=2"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [(["--logging-format=xml"], 'format: Invalid value: "xml": Unsupported log format'),
     (["--logging-format=json", "--vmodule=a=1"], "vmodule: Forbidden: Only supported for text log format"),
     (["--vmodule=a"],
      'invalid argument "a" for "--vmodule" flag: "a" doesn\'t have the pattern=N format')],
)  # fmt: skip
def test_refusals(root: io.StringIO, words: list[str], fault: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        run(*words)
    assert caught.value.message == fault


def test_verbosity_tells_all(root: io.StringIO) -> None:
    set_up(4, "text", ())
    logging.getLogger("tiphys.any").debug("all")
    assert root.getvalue() == "all\n"


def test_how_long_pods_wait_at_most() -> None:
    def waits_s(*words: str) -> float:
        params = dict(scheduler.make_context("s", ["--kubeconfig=x", *words]).params)
        params = {
            key: value for key, value in params.items() if key not in ("kubeconfig", "master", "config")
        }
        return options_from(params.pop("scheduler_name"), {}, params).unschedulable_at_most_s

    assert waits_s() == 300
    assert waits_s("--pod-max-in-unschedulable-pods-duration=1m30s") == 90
