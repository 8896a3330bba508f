"""Who is judged dead: suspended processes, and servers that are there and do not answer."""

from __future__ import annotations

import selectors
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tiphys.ctl import state
from tiphys.ctl.components import Probe
from tiphys.ctl.liveness import Liveness, Pace, outwait
from tiphys.wire import pki

PACE = Pace(period_s=10, timeout_s=15, failures=3, first_failures=5, stopped_s=10)
REQUEST = b"GET /livez HTTP/1.1\r\n\r\n"


class Watch:
    """A ``Liveness`` over one process, on a clock that the test moves."""

    def __init__(self, probe: Probe | None, pid: int = 1) -> None:
        self.selector = selectors.DefaultSelector()
        self.liveness = Liveness(self.selector, PACE)
        self.probe, self.pid, self.now = probe, pid, 0.0

    def look(self, after_s: float = 0.0) -> str:
        self.now += after_s
        return self.liveness.look("x", self.pid, self.probe, self.now)

    def ask(self, *, answered: bool = True) -> str:
        """Let the next question be asked, wait for what comes of it (else let its time run out), and look."""
        self.look(PACE.period_s)
        while answered and self.selector.get_map():
            for key, _ in self.selector.select(10):
                key.data()
        return self.look(0 if answered else PACE.timeout_s)

    def close(self) -> None:
        self.liveness.close()
        self.selector.close()


@contextmanager
def serving(
    answer: Callable[[socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[Probe]:
    """A server that treats one connection after the other so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                peer, _ = listener.accept()
                with context.wrap_socket(peer, server_side=True) if context else peer as line:
                    answer(line)
            except OSError:
                if listener.fileno() < 0:
                    return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Probe("127.0.0.1", listener.getsockname()[1], REQUEST, tls=context is not None)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def replying(reply: bytes) -> Callable[[socket.socket], None]:
    def answer(line: socket.socket) -> None:
        if line.recv(100) == REQUEST:
            line.sendall(reply)

    return answer


@pytest.fixture
def watch() -> Iterator[Callable[..., Watch]]:
    made: list[Watch] = []

    def make(probe: Probe | None, pid: int = 1) -> Watch:
        made.append(Watch(probe, pid))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("reply", "alive"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", True, id="healthy"),
        pytest.param(b"HTTP/1.1 401 Unauthorized\r\n\r\n", True, id="does not know us"),
        pytest.param(b"\0\x11", True, id="another protocol"),
        pytest.param(b"HTTP/1.1 500 Internal Server Error\r\n\r\n", False, id="sick"),
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, id="not ready"),
        pytest.param(b"", False, id="hangs up"),
    ],
)
def test_answers(watch: Callable[..., Watch], reply: bytes, alive: bool, tls: bool) -> None:
    now = datetime.now(UTC)
    pair = pki.issue_server(pki.make_ca("ca", now), "x", ["127.0.0.1"], now)
    with serving(replying(reply), pki.server_context(pair, None) if tls else None) as probe:
        one = watch(probe)
        one.look()
        found = [one.ask() for _ in range(PACE.first_failures)]
    assert found == [""] * 4 + ([""] if alive else ["no answer 5 times in a row"])


def test_one_that_answered_before_is_given_less_time(watch: Callable[..., Watch]) -> None:
    replies = iter([b"HTTP/1.1 200 OK\r\n\r\n"])
    with serving(lambda line: replying(next(replies, b""))(line)) as probe:
        one = watch(probe)
        one.look()
        assert [one.ask() for _ in range(4)] == ["", "", "", "no answer 3 times in a row"]


def test_an_answer_now_and_then_is_enough(watch: Callable[..., Watch]) -> None:
    good, bad = b"HTTP/1.1 200 OK\r\n\r\n", b""
    replies = iter([good, bad, bad, good, bad, bad, good])
    with serving(lambda line: replying(next(replies))(line)) as probe:
        one = watch(probe)
        one.look()
        assert [one.ask() for _ in range(7)] == [""] * 7


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_who_accepts_and_says_nothing_runs_out_of_time(watch: Callable[..., Watch], tls: bool) -> None:
    # What a suspended process looks like from outside: the kernel still takes connections for it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = watch(Probe("127.0.0.1", listener.getsockname()[1], REQUEST, tls=tls))
        one.look()
        found = [one.ask(answered=False) for _ in range(PACE.first_failures)]
    assert found == ["", "", "", "", "no answer 5 times in a row"]
    assert not one.selector.get_map()


def test_nobody_there(watch: Callable[..., Watch]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    one = watch(Probe("127.0.0.1", port, REQUEST))
    one.look()
    assert [one.ask() for _ in range(5)][-1] == "no answer 5 times in a row"


def test_another_process_begins_anew(watch: Callable[..., Watch]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = watch(Probe("127.0.0.1", listener.getsockname()[1], REQUEST))
        one.look()
        for pid in (1, 2):
            one.pid = pid
            one.look()
            assert [one.ask(answered=False) for _ in range(4)] == [""] * 4
        one.look(PACE.period_s)
        assert one.selector.get_map()
        one.liveness.forget("x")
        assert not one.selector.get_map(), "nobody waits for the answer of one that is gone"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def suspend(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGSTOP)
    while not state.is_stopped(process.pid):
        pass


def test_suspended(watch: Callable[..., Watch], sleeper: subprocess.Popen[bytes]) -> None:
    one = watch(None, sleeper.pid)
    assert [one.look(100), one.look(100)] == ["", ""]
    suspend(sleeper)
    assert [one.look(), one.look(9)] == ["", ""]
    sleeper.send_signal(signal.SIGCONT)
    while state.is_stopped(sleeper.pid):
        pass
    assert one.look(2) == ""
    suspend(sleeper)
    assert [one.look(), one.look(9), one.look(2)] == ["", "", "suspended for 11 s"]


def test_whoever_waits_for_a_suspended_process_ends_it(sleeper: subprocess.Popen[bytes]) -> None:
    suspend(sleeper)
    outwait(sleeper.pid, stopped_s=0.01)
    assert sleeper.wait(10) == -signal.SIGKILL


def test_nobody_is_killed_who_only_takes_long() -> None:
    with subprocess.Popen(["sleep", "0.1"]) as process:
        outwait(process.pid, stopped_s=0.01)
        assert process.wait(10) == 0
    outwait(process.pid)
