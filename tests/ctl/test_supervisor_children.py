"""A supervisor's children: when they are started again, adopted and ended, and who asks after them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.ctl import state, supervisor
from tiphys.ctl.components import Component
from tiphys.ctl.layout import Cluster
from tiphys.ctl.liveness import Pace

PATIENCE_S = 30
NOBODY = 2**22 + 1
Make = Callable[..., supervisor.Supervisor]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Make]:
    """Make a supervisor of the given components; what it started ends with the test."""
    made: list[supervisor.Supervisor] = []

    def supervise(*components: Component, pace: Pace | None = None) -> supervisor.Supervisor:
        cluster = Cluster("t", 63, tmp_path)
        one = supervisor.Supervisor(cluster, components, lambda *_: 0, lambda _: None, clock=clock, pace=pace)
        made.append(one)
        return one

    yield supervise
    for one in made:
        for child in one._children:
            if child.pid:
                state.send(child.pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)


def external(folder: Path, name: str, *argv: str, **more: Any) -> Component:
    return Component(name, name, argv, folder / f"{name}.log", external=True, **more)


def turn(one: supervisor.Supervisor, until: Callable[[], bool]) -> None:
    """Let the supervisor wait for what happens until something has."""
    while not until():
        before = one._selector.select(PATIENCE_S)
        assert before, "nothing happened"
        one._wait(0)


def test_who_ends_is_started_again_after_a_pause(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    one = make(external(tmp_path, "brief", "sh", "-c", "echo once; exit 3"))
    (child,) = one._children
    one._start_due()
    first = child.pid
    recorded = state.read_json(tmp_path / "processes.json")
    assert recorded["pid"] == os.getpid()
    assert recorded["components"]["brief"]["pid"] == first
    turn(one, lambda: not child.pid)
    assert state.read_json(tmp_path / "processes.json")["components"] == {}
    one._start_due()
    assert child.pid == 0, "not at once"
    assert one._next_wait_s() == pytest.approx(0.05)
    clock.advance(0.05)
    one._start_due()
    assert child.pid not in (0, first)
    turn(one, lambda: not child.pid)
    assert (tmp_path / "brief.log").read_text() == "once\nonce\n"
    (row,) = one._status()["components"]
    assert (row["restarts"], row["pid"], row["up_s"]) == (1, 0, 0.0)


@pytest.mark.parametrize(
    ("failures", "ran_s", "pause_s", "counted"),
    [
        (0, 1, 0.05, 1),
        (1, 1, 0.1, 2),
        (4, 20, 0.8, 5),
        (7, 1, 6.4, 8),
        (8, 1, 10.0, 9),
        (60, 1, 10.0, 61),
        (60, 20.1, 0.05, 1),
    ],
    ids=["first", "second", "not yet steady", "eighth", "at most", "for ever", "forgotten"],
)
def test_pauses_grow_and_are_forgotten(
    make: Make, clock: FakeClock, tmp_path: Path, failures: int, ran_s: float, pause_s: float, counted: int
) -> None:
    one = make(external(tmp_path, "any", "true"))
    (child,) = one._children
    child.failures, child.since = failures, clock.monotonic()
    clock.advance(ran_s)
    one._ended(child, 1)
    assert child.due - clock.monotonic() == pytest.approx(pause_s)
    assert child.failures == counted


def test_what_cannot_be_run_says_so_in_its_log(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make(external(tmp_path, "none", str(tmp_path / "no-such-program")))
    with capsys.disabled():
        one._start_due()
    turn(one, lambda: not one._children[0].pid)
    assert "FileNotFoundError" in (tmp_path / "none.log").read_text()


def test_an_api_server_that_ends_is_waited_for_again(make: Make, tmp_path: Path) -> None:
    one = make(external(tmp_path, "apiserver", "true"), external(tmp_path, "other", "true"))
    server, other = one._children
    for child, still in ((other, True), (server, False)):
        one._api_ready = True
        one._ended(child, 0)
        assert one._api_ready is still


def test_who_needs_the_api_is_looked_at_often_while_it_does_not_answer(make: Make, tmp_path: Path) -> None:
    waits = external(tmp_path, "waits", "true", needs_api=True)
    one = make(waits, pace=Pace(5.0, 1.0))
    assert one._next_wait_s() == pytest.approx(0.05)
    one._children[0].pid = NOBODY
    assert one._next_wait_s() == 2.5


def test_what_should_not_have_outlived_a_supervisor_is_ended(make: Make, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "61.5"]) as process:
        entry = {"pid": process.pid, "started": state.start_time(process.pid)}
        state.write_json(tmp_path / "processes.json", {"components": {"old": entry, "gone": entry}})
        one = make(external(tmp_path, "old", "sleep", "61.5"))
        one._adopt()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM
    assert one._children[0].pid == 0
    assert state.read_json(tmp_path / "processes.json")["components"] == {}


def test_an_adopted_process_that_ends_is_started_anew(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "61.75"]) as process:
        entry = {"pid": process.pid, "started": state.start_time(process.pid)}
        state.write_json(tmp_path / "processes.json", {"components": {"lives": entry}})
        one = make(external(tmp_path, "lives", "sleep", "61.75", outlives=True))
        one._adopt()
        (child,) = one._children
        assert (child.pid, child.adopted) == (process.pid, True)
        one._start_due()
        assert child.pid == process.pid, "there already"
        process.kill()
        turn(one, lambda: not child.pid)
        clock.advance(0.05)
        one._start_due()
        assert child.pid not in (0, process.pid)
        assert not child.adopted


def test_who_hangs_suspended_is_killed(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    one = make(external(tmp_path, "hangs", "sleep", "62"), pace=Pace(1.0, 1.0, stopped_s=10.0))
    (child,) = one._children
    one._start_due()
    while state.is_stopped(child.pid) is False:
        os.kill(child.pid, signal.SIGSTOP)
    one._kill_lifeless()
    clock.advance(9)
    one._kill_lifeless()
    assert state.is_stopped(child.pid)
    clock.advance(2)
    one._kill_lifeless()
    turn(one, lambda: not child.pid)


def test_a_record_that_cannot_be_written_ends_nothing(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = make(external(tmp_path, "brief", "true"))
    one._cluster = Cluster("t", 63, tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        one._start_due()
    assert "processes not recorded" in caplog.text
    turn(one, lambda: not one._children[0].pid)


def ask(one: supervisor.Supervisor, folder: Path, said: bytes) -> Any:
    """Say something to the supervisor's socket; return what it answers."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE_S)
        peer.connect(str(Cluster("t", 63, folder).control_socket))
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        one._wait(PATIENCE_S)
        answer = peer.makefile("rb").read()
    return json.loads(answer) if answer else None


@pytest.mark.parametrize(
    ("said", "answers", "stops"),
    [
        (b'{"do": "status"}\n', True, False),
        (b'{"do": "stop"}\n', True, True),
        (b'{"do": "dance"}\n', True, False),
        (b"", True, False),
        (b"not json\n", False, False),
        (b'"stop"\n', False, False),
        (b'["stop"]\n', False, False),
        (b"\xff\n", False, False),
    ],
    ids=["status", "stop", "something else", "nothing", "no JSON", "a text", "a list", "no text"],
)
def test_whatever_is_asked_it_goes_on(
    make: Make, tmp_path: Path, said: bytes, answers: bool, stops: bool
) -> None:
    one = make(external(tmp_path, "idle", "true"))
    one._listen()
    try:
        answer = ask(one, tmp_path, said)
        assert one._stopping is stops
        assert (answer is not None) is answers
        if answers:
            assert answer["pid"] == os.getpid()
            assert answer["stopping"] is stops
            assert [row["name"] for row in answer["components"]] == ["idle"]
    finally:
        one._control.close()
    assert oct((tmp_path / "supervisor.sock").stat().st_mode & 0o777) == "0o600"


class Ending:
    """Records signals on their way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[int, int]] = []
        self._send = state.send
        monkeypatch.setattr(state, "send", self._note)

    def _note(self, pid: int, number: signal.Signals) -> None:
        self.sent.append((pid, number))
        self._send(pid, number)


def test_the_api_server_is_ended_last_and_what_outlives_not_at_all(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(
        external(tmp_path, "apiserver", "sleep", "63.1"),
        external(tmp_path, "containerd", "sleep", "63.2", outlives=True),
        external(tmp_path, "first", "sleep", "63.3", needs_api=True),
        external(tmp_path, "second", "sleep", "63.4", needs_api=True),
    )
    monkeypatch.setattr(one, "_api_answers", lambda: True)
    one._loaded |= {"first", "second"}
    one._listen()
    one._start_due()
    server, containerd, first, second = (child.pid for child in one._children)
    ending = Ending(monkeypatch)
    one._stop_all()
    one._control.close()
    terms = [pid for pid, number in ending.sent if number == signal.SIGTERM]
    assert terms == [second, first, server]
    assert signal.SIGKILL not in {number for _, number in ending.sent}
    assert [child.pid for child in one._children] == [0, containerd, 0, 0]
    assert list(state.read_json(tmp_path / "processes.json")["components"]) == ["containerd"]
    assert not (tmp_path / "supervisor.sock").exists()


def test_who_does_not_hear_is_killed(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = 'trap "" TERM; echo deaf; exec sleep 64'
    one = make(external(tmp_path, "deaf", "sh", "-c", deaf))
    monkeypatch.setattr(supervisor, "_GRACE_S", 0.0)
    one._listen()
    one._start_due()
    (child,) = one._children
    pid = child.pid
    while not (log := tmp_path / "deaf.log").exists() or "deaf" not in log.read_text():
        os.sched_yield()
    one._stop_all()
    one._control.close()
    assert child.pid == 0
    assert state.start_time(pid) is None
