# ruff: noqa: E501
"""A real supervisor over small processes: restarts, adoption, stop. No root needed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.ctl import state
from tiphys.ctl.layout import Cluster
from tiphys.ctl.supervisor import ask, dismiss_guard, is_alive

pytestmark = pytest.mark.slow

SCRIPT = """
import sys, time
from pathlib import Path
from tiphys.ctl.components import Component, Probe
from tiphys.ctl.layout import Cluster
from tiphys.ctl.liveness import Pace
from tiphys.ctl.supervisor import Supervisor, daemonize
cluster = Cluster("t", 63, Path(sys.argv[1]))
probe = Probe("127.0.0.1", int(sys.argv[4]), b"?") if len(sys.argv) > 4 else None
rows = [
    Component("python", "python", ("--x",), cluster.folder / "python.log", probe=probe),
    Component("sleeper", "sleep", ("sleep", "600"), cluster.folder / "sleep.log", external=True, outlives=True),
    Component("broken", "broken", (), cluster.folder / "broken.log"),
]
def run(command, argv):
    print(command, *argv, flush=True)
    if command == "broken":
        raise RuntimeError("no")
    while True:
        time.sleep(600)
def preload(names):
    if len(sys.argv) > 2:
        time.sleep(float(sys.argv[2]))
pace = Pace(0.05, 0.1, failures=3, first_failures=3, stopped_s=float(sys.argv[3]))
daemonize(cluster, lambda: Supervisor(cluster, rows, run, preload, pace=pace))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster("t", 63, tmp_path)
    try:
        yield made
    finally:
        dismiss_guard(made)
        ask(made, "stop")
        record = state.read_json(tmp_path / "processes.json") or {}
        state.stop_process(record.get("pid", 0), record.get("started", 0), grace_s=5)
        for entry in (state.read_json(tmp_path / "processes.json") or {}).get("components", {}).values():
            state.stop_process(entry["pid"], entry["started"], grace_s=0)


def start(cluster: Cluster, preload_s: float = 0.0, stopped_s: float = 600.0, *more: object) -> None:
    argv = [
        sys.executable,
        "-c",
        SCRIPT,
        str(cluster.folder),
        str(preload_s),
        str(stopped_s),
        *map(str, more),
    ]
    subprocess.run(argv, check=True, timeout=60)


def wait(check: Callable[[], Any]) -> Any:
    """Poll for at most ten seconds; return what is true at last."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("did not come about")


def pids(cluster: Cluster) -> dict[str, int]:
    rows = (ask(cluster, "status") or {}).get("components", [])
    return {row["name"]: row["pid"] for row in rows if row["pid"]}


def running(cluster: Cluster) -> dict[str, int] | None:
    found = pids(cluster)
    return found if {"python", "sleeper"} <= set(found) else None


def test_restart_stop_and_adoption(cluster: Cluster) -> None:
    start(cluster)
    first = wait(lambda: running(cluster))
    assert "python --x" in wait((cluster.folder / "python.log").read_text)

    os.kill(first["python"], signal.SIGKILL)
    os.kill(first["sleeper"], signal.SIGKILL)
    second = wait(lambda: (found := running(cluster)) and found["python"] != first["python"] and found)
    second = wait(lambda: (found := running(cluster)) and found["sleeper"] != first["sleeper"] and found)

    # The supervisor itself dies: its Python children go with it, the sleeper is found by the one that follows.
    own = state.read_json(cluster.folder / "processes.json")
    os.kill(own["pid"], signal.SIGKILL)
    wait(lambda: not state.alive(own["pid"], own["started"]))
    wait(lambda: state.start_time(second["python"]) is None)
    third = wait(lambda: (found := running(cluster)) and found["python"] != second["python"] and found)
    assert third["sleeper"] == second["sleeper"]
    assert third["python"] != second["python"]

    # An adopted process is watched like a child.
    os.kill(third["sleeper"], signal.SIGKILL)
    wait(lambda: (found := running(cluster)) and found["sleeper"] != third["sleeper"])

    fourth = wait(lambda: running(cluster))
    ask(cluster, "stop")
    wait(lambda: ask(cluster, "status") is None)
    wait(lambda: state.start_time(fourth["python"]) is None)
    assert state.start_time(fourth["sleeper"]) is not None
    rows = state.read_json(cluster.folder / "processes.json")["components"]
    assert list(rows) == ["sleeper"]


def test_what_fails_is_tried_again_ever_slower(cluster: Cluster) -> None:
    start(cluster)

    def restarts() -> int:
        rows = (ask(cluster, "status") or {}).get("components", [])
        return next((row["restarts"] for row in rows if row["name"] == "broken"), 0)

    wait(lambda: restarts() >= 3)
    assert "RuntimeError: no" in (cluster.folder / "broken.log").read_text()


def test_one_that_is_busy_with_imports_is_alive_and_answers_later(cluster: Cluster) -> None:
    assert not is_alive(cluster)
    start(cluster, preload_s=1.5)
    wait(cluster.control_socket.exists)
    assert ask(cluster, "status", timeout_s=0.05) is None
    assert is_alive(cluster)
    assert ask(cluster, "status") is not None
    dismiss_guard(cluster)
    assert is_alive(cluster)
    ask(cluster, "stop")
    wait(lambda: not is_alive(cluster))


@pytest.mark.parametrize("name", ["python", "sleeper", "guard"])
def test_one_that_is_suspended_for_good_is_replaced(cluster: Cluster, name: str) -> None:
    start(cluster, stopped_s=0.2)
    first = wait(lambda: running(cluster) and {**pids(cluster), "guard": guard(cluster)["pid"]})
    os.kill(first[name], signal.SIGSTOP)
    second = wait(
        lambda: (
            (found := running(cluster))
            and (found := {**found, "guard": guard(cluster)["pid"]})[name] not in (0, first[name])
            and found
        )
    )
    others = {"python", "sleeper", "guard"} - {name}
    assert {one: second[one] for one in others} == {one: first[one] for one in others}


def test_one_that_answers_no_more_is_replaced(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and that is all
        start(cluster, 0.0, 600.0, deaf.getsockname()[1])
        first = wait(lambda: running(cluster))
        second = wait(lambda: (found := running(cluster)) and found["python"] != first["python"] and found)
    assert second["sleeper"] == first["sleeper"]
    assert "no answer 3 times in a row" in (cluster.logs / "supervisor.log").read_text()


def guard(cluster: Cluster) -> dict[str, int]:
    return state.read_json(cluster.folder / "guard.json") or {"pid": 0, "started": 0}


def test_a_killed_guard_is_replaced_and_the_new_one_guards(cluster: Cluster) -> None:
    start(cluster)
    first = wait(lambda: running(cluster))
    supervisor = state.read_json(cluster.folder / "processes.json")["pid"]
    old = guard(cluster)
    os.kill(old["pid"], signal.SIGKILL)
    new = wait(lambda: (found := guard(cluster))["pid"] not in (0, old["pid"]) and found)
    assert pids(cluster)["python"] == first["python"]

    os.kill(supervisor, signal.SIGKILL)
    second = wait(lambda: (found := running(cluster)) and found["python"] != first["python"] and found)
    assert second["sleeper"] == first["sleeper"]

    dismiss_guard(cluster)
    ask(cluster, "stop")
    wait(lambda: not is_alive(cluster))
    assert state.start_time(new["pid"]) is None


def test_a_dismissed_guard_is_not_replaced_and_a_stop_ends_it(cluster: Cluster) -> None:
    start(cluster)
    wait(lambda: running(cluster))
    dismiss_guard(cluster)
    wait(lambda: running(cluster))
    assert guard(cluster)["pid"] == 0
    ask(cluster, "stop")
    wait(lambda: not is_alive(cluster))


def test_a_new_guard_ends_with_a_supervisor_that_was_stopped(cluster: Cluster) -> None:
    start(cluster)
    wait(lambda: running(cluster))
    old = guard(cluster)
    os.kill(old["pid"], signal.SIGKILL)
    new = wait(lambda: (found := guard(cluster))["pid"] not in (0, old["pid"]) and found)
    ask(cluster, "stop")
    wait(lambda: ask(cluster, "status") is None)
    wait(lambda: not state.alive(new["pid"], new["started"]))
