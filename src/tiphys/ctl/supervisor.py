"""The parent of a cluster's processes: forks them, restarts what dies, stops them all.

One thread around a selector, no event loop: so it may fork at any time. What the components need is imported
once and frozen, and its pages stay shared. Each child is a process of its own, ends with the supervisor, and
is restarted alone; containerd lives on with its containers until the next supervisor finds it. A guard, which
does nothing else, starts that next one when a supervisor is killed.

Talks over ``supervisor.sock``: one JSON line asks (``{"do": "status"}``, ``{"do": "stop"}``), one answers.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.ctl import process, state
from tiphys.ctl.components import Component
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.liveness import Liveness, Pace, outwait

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.05
_MAX_BACKOFF_S = 10.0
_STEADY_S = 20.0
"""After running this long a component's failures are forgotten."""
_GRACE_S = 8.0
_API_POLL_S = 0.05
_GUARD = "guard.json"
_BUSY_S = 60.0
_GUARD_PAUSE_S = 0.2

RunComponent = Callable[[str, Sequence[str]], int]
"""Runs ``tiphys <command> <flags>`` in this very process and returns its exit code."""


@dataclass(slots=True)
class Child:
    """A component and the process that it has at the moment (``pid`` 0: none)."""

    component: Component
    pid: int = 0
    started: int = 0
    pidfd: int = -1
    since: float = 0.0
    restarts: int = -1
    failures: int = 0
    due: float = 0.0
    """When to start it next (steady clock)."""
    adopted: bool = False


class Supervisor:
    """Runs until told to stop. ``run_component`` is what a forked child calls."""

    def __init__(
        self,
        cluster: Cluster,
        components: Sequence[Component],
        run_component: RunComponent,
        preload: Callable[[Sequence[str]], None],
        *,
        clock: Clock | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._cluster = cluster
        self._children = [Child(component) for component in components]
        self._run_component, self._preload = run_component, preload
        self._clock = clock or RealClock()
        self._selector = selectors.DefaultSelector()
        self._liveness = Liveness(self._selector, pace)
        self._guard_pid = 0
        self._loaded: set[str] = set()
        self._api_ready = False
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, new_guard: Callable[[int], int] | None = None) -> None:
        """Work until a stop is asked for or SIGTERM comes.

        ``new_guard`` guards a supervisor that has lost its guard; it is run in a process of its own.
        """
        process.become_subreaper()
        self._listen()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._adopt()
        process.outlive_parent()  # it listens and is on record: whoever ends the cluster finds it
        if new_guard is not None:
            self._watch_guard(new_guard)
        self._start_due()  # the API server and containerds begin while the rest is still being imported
        self._preload_all()
        while not self._stopping:
            self._start_due()
            self._wait(self._next_wait_s())
            self._kill_lifeless()
        self._liveness.close()
        self._stop_all()

    def _preload_all(self) -> None:
        """Import component by component and start each as soon as it can be a copy of this process.

        Nodes first: they are what a new cluster waits for. What started at once has imported for itself; it
        comes last, for its restarts.
        """
        own = [child.component for child in self._children if not child.component.external]
        own.sort(key=lambda component: (not component.needs_api, component.namespace is None))
        for command in dict.fromkeys(component.command for component in own):
            if self._stopping:
                return
            self._preload([command])
            self._loaded.add(command)
            gc.freeze()
            self._start_due()
            self._wait(0)
        gc.collect()
        gc.freeze()

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True
        os.write(self._wake_write, b"x")

    def _listen(self) -> None:
        path = self._cluster.control_socket
        path.unlink(missing_ok=True)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._control.bind(str(path))
        os.chmod(path, 0o600)
        self._control.listen(8)
        self._selector.register(self._control, selectors.EVENT_READ, self._serve_control)
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda: os.read(self._wake_read, 64))

    def _adopt(self) -> None:
        """Take over what outlived the last supervisor; end what should not have."""
        before = state.read_json(self._cluster.folder / "processes.json") or {}
        for child in self._children:
            entry = before.get("components", {}).get(child.component.name) or {}
            pid, started = entry.get("pid", 0), entry.get("started", 0)
            if not state.alive(pid, started) and child.component.outlives:
                # The last supervisor may have been killed between starting it and recording it.
                pid = state.find(child.component.argv)
                started = state.start_time(pid) or 0
            if not state.alive(pid, started):
                continue
            if child.component.outlives:
                child.adopted = True
                self._began(child, pid, started)
            else:
                state.stop_process(pid, started, grace_s=2.0)
        self._save()

    def _began(self, child: Child, pid: int, started: int) -> None:
        child.pid, child.started, child.since = pid, started, self._clock.monotonic()
        child.restarts += 1
        try:
            child.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            child.pidfd = -1
            self._ended(child, -1)
            return
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._on_exit(child))

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        changed = False
        for child in self._children:
            if child.pid or child.due > now:
                continue
            if child.component.needs_api and not (
                child.component.command in self._loaded and self._api_answers()
            ):
                continue
            self._start(child)
            changed = True
        if changed:
            self._save()

    def _api_answers(self) -> bool:
        if not self._api_ready:
            with socket.socket() as probe:
                probe.settimeout(0.2)
                self._api_ready = probe.connect_ex((self._cluster.host_ip, self._cluster.api_port)) == 0
        return self._api_ready

    def _start(self, child: Child) -> None:
        component = child.component
        if component.external:
            pid = process.spawn(component)
        else:
            pid = process.fork(component, lambda: self._become(component))
        child.adopted = False
        self._began(child, pid, state.start_time(pid) or 0)
        log.info("started component=%s pid=%d restarts=%d", component.name, pid, child.restarts)

    def _become(self, component: Component) -> int:
        """In the child: let go of what is the supervisor's, then be the component."""
        self._let_go()
        return self._run_component(component.command, component.argv)

    def _kill_lifeless(self) -> None:
        """End who is there and does nothing: it is started anew as whoever ends."""
        now = self._clock.monotonic()
        running = [(child.component.name, child.pid, child.component.probe) for child in self._children]
        for name, pid, probe in [*running, ("guard", self._guard_pid, None)]:
            why = self._liveness.look(name, pid, probe, now) if pid else ""
            if why:
                log.warning("killing component=%s pid=%d: %s", name, pid, why)
                state.send(pid, signal.SIGKILL)

    def _let_go(self) -> None:
        self._liveness.close()
        self._selector.close()
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _watch_guard(self, new_guard: Callable[[int], int]) -> None:
        """Have the guard replaced when it is killed, but not when it was dismissed."""
        record = state.read_json(self._cluster.folder / _GUARD) or {}
        try:
            handle = os.pidfd_open(record.get("pid", 0))
        except (OSError, ValueError):  # killed in this very moment, or before it is on record
            handle = -1
        if handle < 0 or not state.alive(record.get("pid", 0), record.get("started", 0)):
            if record and not record.get("dismissed"):
                self._replace_guard(new_guard)
            return

        self._guard_pid = record["pid"]

        def lost() -> None:
            self._guard_pid = 0
            self._selector.unregister(handle)
            os.close(handle)
            found = state.read_json(self._cluster.folder / _GUARD) or {}
            if found.get("pid") == record["pid"] and not found.get("dismissed") and not self._stopping:
                self._replace_guard(new_guard)

        self._selector.register(handle, selectors.EVENT_READ, lost)

    def _replace_guard(self, new_guard: Callable[[int], int]) -> None:
        watched = os.getpid()

        def become() -> int:
            self._let_go()
            return new_guard(watched)

        pid = process.fork_apart(become)
        log.warning("guard killed; another guards pid=%d", pid)
        _record_guard(self._cluster, pid)
        self._watch_guard(new_guard)

    def _on_exit(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        code = -1
        if not child.adopted:
            with contextlib.suppress(ChildProcessError):
                code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        self._liveness.forget(child.component.name)
        self._ended(child, code)
        self._save()

    def _ended(self, child: Child, code: int) -> None:
        now = self._clock.monotonic()
        if now - child.since > _STEADY_S:
            child.failures = 0
        wait_s = min(_FIRST_BACKOFF_S * 2**child.failures, _MAX_BACKOFF_S)
        child.failures += 1
        child.due = now + wait_s
        log.warning(
            "ended component=%s pid=%d code=%d again_in=%.2fs", child.component.name, child.pid, code, wait_s
        )
        child.pid = child.started = 0
        if child.component.command == "apiserver":
            self._api_ready = False

    def _next_wait_s(self) -> float:
        now = self._clock.monotonic()
        waits = [self._liveness.every_s]
        for child in self._children:
            if not child.pid:
                blocked = child.component.needs_api and not self._api_ready
                waits.append(max(child.due - now, _API_POLL_S if blocked else 0.0))
        return min(waits)

    def _wait(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self._reap()

    def _reap(self) -> None:
        """Collect orphans of containerd's; our own children are met by their pidfd."""
        mine = {child.pid for child in self._children}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in mine:
                return
            os.waitpid(found.si_pid, 0)

    def _serve_control(self) -> None:
        peer, _ = self._control.accept()
        with peer, contextlib.suppress(OSError, ValueError):
            peer.settimeout(1.0)
            asked = json.loads(peer.makefile("r").readline() or "{}")
            if not isinstance(asked, dict):
                return
            if asked.get("do") == "stop":
                self._stopping = True
            peer.sendall(json.dumps(self._status()).encode() + b"\n")

    def _status(self) -> dict[str, Any]:
        now = self._clock.monotonic()
        rows = [
            {
                "name": child.component.name,
                "pid": child.pid,
                "started": child.started,
                "restarts": max(child.restarts, 0),
                "failures": child.failures,
                "up_s": round(now - child.since, 1) if child.pid else 0.0,
            }
            for child in self._children
        ]
        return {"pid": os.getpid(), "stopping": self._stopping, "components": rows}

    def _save(self) -> None:
        running = {
            child.component.name: {"pid": child.pid, "started": child.started}
            for child in self._children
            if child.pid
        }
        own = {"pid": os.getpid(), "started": state.start_time(os.getpid()), "components": running}
        try:
            state.write_json(self._cluster.folder / "processes.json", own)
        except CtlError as error:
            log.warning("processes not recorded error=%s", error)

    def _stop_all(self) -> None:
        """End everything but containerd, the API server last: the others say goodbye through it."""
        order = [child for child in reversed(self._children) if child.pid and not child.component.outlives]
        groups = [[child for child in order if child.component.needs_api]]
        groups.append([child for child in order if not child.component.needs_api])
        for group in groups:
            for child in group:
                state.send(child.pid, signal.SIGTERM)
                state.send(child.pid, signal.SIGCONT)  # a suspended one would not hear the other
            deadline = self._clock.monotonic() + _GRACE_S
            for child in group:
                self._wait_gone(child, deadline)
        self._save()
        self._cluster.control_socket.unlink(missing_ok=True)

    def _wait_gone(self, child: Child, deadline: float) -> None:
        with selectors.DefaultSelector() as one:
            one.register(child.pidfd, selectors.EVENT_READ)
            if not one.select(max(deadline - self._clock.monotonic(), 0)):
                state.send(child.pid, signal.SIGKILL)
                one.select(2.0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, os.WNOHANG)
        child.pid = 0


def is_alive(cluster: Cluster) -> bool:
    """True while the cluster has a supervisor or a guard that will start one, however busy it is."""
    records = [state.read_json(cluster.folder / file) or {} for file in (_GUARD, "processes.json")]
    return any(state.alive(record.get("pid", 0), record.get("started", 0)) for record in records)


def ask(cluster: Cluster, do: str, timeout_s: float = _BUSY_S) -> dict[str, Any] | None:
    """Ask the cluster's supervisor (``status`` or ``stop``); None when none listens.

    One that is gone is known at once; the time is for one that is importing on a slow machine.
    """
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(timeout_s)
        try:
            peer.connect(str(cluster.control_socket))
            peer.sendall(json.dumps({"do": do}).encode() + b"\n")
            answer = json.loads(peer.makefile("r").readline())
        except (OSError, ValueError):
            return None
    return answer if isinstance(answer, dict) else None


def end(cluster: Cluster, grace_s: float) -> None:
    """End guard and supervisor, the latter in order if it can: a suspended one is woken to hear of it."""
    dismiss_guard(cluster)
    record = state.read_json(cluster.folder / "processes.json") or {}
    pid, started = record.get("pid", 0), record.get("started", 0)
    if state.alive(pid, started):
        state.send(pid, signal.SIGCONT)
        ask(cluster, "stop")
        state.stop_process(pid, started, grace_s=grace_s)


def daemonize(cluster: Cluster, supervisor: Callable[[], Supervisor]) -> None:
    """Start a supervisor that has nothing to do with this terminal any more; return at once in the caller."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    code = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        process.detach(cluster.logs / "supervisor.log")
        code = _guard(cluster, supervisor)
    except BaseException:
        log.exception("supervisor failed")
    finally:
        os._exit(code)


def _record_guard(cluster: Cluster, pid: int) -> None:
    state.write_json(cluster.folder / _GUARD, {"pid": pid, "started": state.start_time(pid)})


def _guard(cluster: Cluster, supervisor: Callable[[], Supervisor], watched: int = 0) -> int:
    """Run a supervisor, and another when one is killed; return when one ends by itself.

    ``watched`` is one that runs already: it has lost its guard and made this one.
    """
    me = os.getpid()
    if watched and not _was_killed(cluster, watched):
        return 0
    if not watched:
        _record_guard(cluster, me)
    while True:
        pid = os.fork()
        if not pid:
            process.end_with_parent(me)
            supervisor().run(lambda watched: _guard(cluster, supervisor, watched))
            return 0
        outwait(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code >= 0 or code == -signal.SIGTERM:
            return max(code, 0)
        log.warning("supervisor killed pid=%d signal=%d; starting another", pid, -code)
        time.sleep(_GUARD_PAUSE_S)


def _was_killed(cluster: Cluster, pid: int) -> bool:
    """Wait for the end of a supervisor that is no child; one that ends by itself takes its socket along."""
    outwait(pid)
    return cluster.control_socket.exists()


def dismiss_guard(cluster: Cluster) -> None:
    """End the guard, so that no other supervisor is started; one that is not yet on record goes with it."""
    record = state.read_json(cluster.folder / _GUARD) or {}
    if record:  # a supervisor that sees it end makes no other
        state.write_json(cluster.folder / _GUARD, {**record, "dismissed": True})
    state.stop_process(record.get("pid", 0), record.get("started", 0), grace_s=0)
    (cluster.folder / _GUARD).unlink(missing_ok=True)
