"""What a supervisor that was killed or suspended leaves behind, and who takes care of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.ctl import state, supervisor
from tiphys.ctl.components import Component
from tiphys.ctl.layout import Cluster

_LISTENER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as control:
    control.bind(sys.argv[1])
    control.listen()
    print(flush=True)
    peer, _ = control.accept()
    peer.recv(100)
    peer.sendall(b"{}\\n")
sys.exit(5)
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster("t", 63, tmp_path)


@pytest.fixture
def sleeper(cluster: Cluster) -> Iterator[tuple[Component, subprocess.Popen[bytes]]]:
    """A component that outlives supervisors, running, and in no record.

    Found by its arguments: those of tests that run beside this one are others.
    """
    argv = ("sleep", f"62.{os.getpid()}")
    with subprocess.Popen(argv) as process:
        shown = Path(f"/proc/{process.pid}/cmdline")
        while argv[1].encode() not in shown.read_bytes():  # empty for a moment while it is replaced
            os.sched_yield()
        yield (
            Component("sleeper", "sleep", argv, cluster.folder / "log", external=True, outlives=True),
            process,
        )
        process.kill()


def _adopt(cluster: Cluster, component: Component) -> supervisor.Child:
    made = supervisor.Supervisor(cluster, [component], lambda *_: 0, lambda _: None)
    made._adopt()
    return made._children[0]


def test_what_was_started_but_not_recorded_is_adopted(
    cluster: Cluster, sleeper: tuple[Component, subprocess.Popen[bytes]]
) -> None:
    component, process = sleeper
    child = _adopt(cluster, component)
    assert (child.pid, child.adopted) == (process.pid, True)
    recorded = state.read_json(cluster.folder / "processes.json")["components"]["sleeper"]
    assert recorded == {"pid": process.pid, "started": state.start_time(process.pid)}


def test_nothing_else_is_adopted(
    cluster: Cluster, sleeper: tuple[Component, subprocess.Popen[bytes]]
) -> None:
    component = Component(
        "other", "sleep", ("sleep", f"63.{os.getpid()}"), cluster.folder / "log", outlives=True
    )
    assert _adopt(cluster, component).pid == 0


def test_a_suspended_supervisor_is_woken_and_asked(cluster: Cluster) -> None:
    argv = [sys.executable, "-c", _LISTENER, str(cluster.control_socket)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        own = {"pid": process.pid, "started": state.start_time(process.pid), "components": {}}
        state.write_json(cluster.folder / "processes.json", own)
        process.send_signal(signal.SIGSTOP)
        supervisor.end(cluster, grace_s=20)
        assert process.wait() in (5, -signal.SIGTERM)
    assert not supervisor.is_alive(cluster)


def test_one_that_is_gone_is_not_waited_for(cluster: Cluster) -> None:
    supervisor.end(cluster, grace_s=20)
    state.write_json(cluster.folder / "processes.json", {"pid": 1, "started": -1, "components": {}})
    supervisor.end(cluster, grace_s=20)


class _Guarded(supervisor.Supervisor):
    """Counts the guards it would make."""

    made = 0

    def _replace_guard(self, new_guard: object) -> None:
        self.made += 1


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ({}, 1),
        ({"dismissed": True}, 0),
        ({"pid": 1}, 0),  # somebody else guards already
    ],
    ids=["killed", "dismissed", "replaced"],
)
def test_a_guard_that_ends(cluster: Cluster, change: dict[str, object], made: int) -> None:
    with subprocess.Popen(["sleep", "63"]) as guard:
        record = {"pid": guard.pid, "started": state.start_time(guard.pid)}
        state.write_json(cluster.folder / "guard.json", record)
        watching = _Guarded(cluster, [], lambda *_: 0, lambda _: None)
        watching._watch_guard(lambda _: 0)
        watching._selector.select(0)
        assert watching.made == 0
        state.write_json(cluster.folder / "guard.json", {**record, **change})
        guard.kill()
        for key, _ in watching._selector.select(20):
            key.data()
    assert watching.made == made


@pytest.mark.parametrize(("dismissed", "made"), [(False, 1), (True, 0)])
def test_a_guard_that_ended_before_it_was_watched(cluster: Cluster, dismissed: bool, made: int) -> None:
    record = {"pid": 2**22 + 1, "started": 5, "dismissed": dismissed}
    state.write_json(cluster.folder / "guard.json", record)
    watching = _Guarded(cluster, [], lambda *_: 0, lambda _: None)
    watching._watch_guard(lambda _: 0)
    assert watching.made == made
