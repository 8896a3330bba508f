"""Finds components that are there and do nothing: suspended ones, and ones whose loop no longer turns.

A process that the kernel says is stopped is known for certain. Whether one still answers is asked as a
kubelet does with a liveness probe, with the figures that kubeadm has for a control plane. Owns when and how.
Who is judged dead is killed by ``supervisor``, which starts it anew as whatever ends.

No thread and no event loop: sockets that never block, in the supervisor's own selector. A fork is safe at any
time; the child lets go of the sockets (``close``).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from functools import cache

from tiphys.apimachinery.dataclass import dataclass
from tiphys.ctl import state
from tiphys.ctl.components import Probe

log = logging.getLogger(__name__)

_ANSWER_BYTES = 64
_STOPPED_S = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """When a component is given up."""

    period_s: float = 10.0
    timeout_s: float = 15.0
    failures: int = 8
    """In a row, of one that has answered before."""
    first_failures: int = 24
    """In a row, of one that has never answered: starting may take long."""
    stopped_s: float = _STOPPED_S
    """Suspended for so long."""


@dataclass(slots=True)
class _Watched:
    pid: int
    due: float
    answered: bool = False
    failures: int = 0
    stopped_since: float | None = None
    asking: _Question | None = None


class Liveness:
    """Watches the processes of one supervisor."""

    def __init__(self, selector: selectors.BaseSelector, pace: Pace | None = None) -> None:
        self._selector = selector
        self._pace = pace or Pace()
        self._watched: dict[str, _Watched] = {}

    @property
    def every_s(self) -> float:
        """How often to ``look`` at least."""
        return min(self._pace.period_s, self._pace.stopped_s) / 2

    def look(self, name: str, pid: int, probe: Probe | None, now: float) -> str:
        """Return why a process should be killed; "" while it should not. ``now`` in steady seconds."""
        found = self._watched.get(name)
        if found is None or found.pid != pid:
            self.forget(name)
            found = self._watched[name] = _Watched(pid, now + self._pace.period_s)
        if state.is_stopped(pid):
            if found.stopped_since is None:
                found.stopped_since = now
            if now - found.stopped_since >= self._pace.stopped_s:
                return f"suspended for {now - found.stopped_since:.0f} s"
            return ""
        found.stopped_since = None
        return self._ask(found, probe, now) if probe is not None else ""

    def _ask(self, found: _Watched, probe: Probe, now: float) -> str:
        asking = found.asking
        if asking is not None:
            if asking.alive is None and now < asking.deadline:
                return ""
            asking.close()
            found.asking = None
            found.due = now + self._pace.period_s
            found.answered |= bool(asking.alive)
            found.failures = 0 if asking.alive else found.failures + 1
            most = self._pace.failures if found.answered else self._pace.first_failures
            if found.failures >= most:
                return f"no answer {found.failures} times in a row"
        elif now >= found.due:
            found.asking = _Question(self._selector, probe, now + self._pace.timeout_s)
        return ""

    def forget(self, name: str) -> None:
        """A process has ended: ask it nothing more."""
        found = self._watched.pop(name, None)
        if found is not None and found.asking is not None:
            found.asking.close()

    def close(self) -> None:
        """Let go of every socket."""
        for name in list(self._watched):
            self.forget(name)


class _Question:
    """One question on its way; ``alive`` is None until it is decided."""

    def __init__(self, selector: selectors.BaseSelector, probe: Probe, deadline: float) -> None:
        self.deadline = deadline
        self.alive: bool | None = None
        self._selector = selector
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._steps = self._run(probe)
        self._go()

    def _run(self, probe: Probe) -> Generator[int, None, bool]:
        """Ask; yields what to wait for, returns whether the answer is one."""
        code = self._socket.connect_ex((probe.host, probe.port))
        if code == errno.EINPROGRESS:
            yield selectors.EVENT_WRITE
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if probe.tls:
            self._socket = _tls().wrap_socket(self._socket, do_handshake_on_connect=False)
            yield from _patiently(self._socket.do_handshake)
        self._socket.send(probe.request)
        answer = yield from _patiently(lambda: self._socket.recv(_ANSWER_BYTES))
        return bool(answer) and not (answer or b"").startswith((b"HTTP/1.1 5", b"HTTP/1.0 5"))

    def _go(self) -> None:
        self._wait_no_more()
        try:
            self._selector.register(self._socket.fileno(), next(self._steps), self._go)
        except StopIteration as end:
            self.alive = bool(end.value)
        except OSError as error:
            log.debug("no answer: %s", error)
            self.alive = False

    def _wait_no_more(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._socket.fileno())

    def close(self) -> None:
        self._wait_no_more()
        self._socket.close()


def _patiently(call: Callable[[], bytes | None]) -> Generator[int, None, bytes | None]:
    """Call until it no longer has to wait."""
    while True:
        try:
            return call()
        except (ssl.SSLWantReadError, BlockingIOError):
            yield selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            yield selectors.EVENT_WRITE


@cache
def _tls() -> ssl.SSLContext:
    """As a kubelet's probes: whoever answers is alive, whatever its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def outwait(pid: int, stopped_s: float = _STOPPED_S) -> None:
    """Wait for the end of a process; one that is suspended for so long is killed."""
    stopped = False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with selectors.DefaultSelector() as one:
        one.register(handle, selectors.EVENT_READ)
        while not one.select(stopped_s):
            was, stopped = stopped, state.is_stopped(pid)
            if was and stopped:
                log.warning("killing supervisor pid=%d: suspended", pid)
                state.send(pid, signal.SIGKILL)
    os.close(handle)
