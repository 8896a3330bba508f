"""``tiphys up`` and ``down`` as people use them: real processes, crashes, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]


class Tiphys:
    """The command with a home of its own and without a way outside."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "TIPHYS_HOME": str(home), "TIPHYS_OUTBOUND": "off"}

    def run(self, *args: str, check: bool = True) -> str:
        done = subprocess.run(
            [str(ROOT / "tiphys"), *args],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self, name: str = "default") -> dict[str, Any]:
        rows = json.loads(self.run("status", "-o", "json", "--name", name))
        return dict(rows[0])

    def pids(self) -> dict[str, int]:
        return {row["name"]: row["pid"] for row in self.status()["components"] if row["pid"]}


def wait(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("did not come about")


@pytest.fixture
def tiphys() -> Iterator[Tiphys]:
    # Sockets have short paths only: pytest's own folders are too deep.
    home = Path(tempfile.mkdtemp(prefix="tiphys-"))
    made = Tiphys(home)
    try:
        yield made
    finally:
        for folder in list(home.iterdir()):
            made.run("down", "--name", folder.name)
        shutil.rmtree(home)


def traces(bridge: str) -> list[str]:
    """Everything in the system that names a bridge: links, routes, tables, mounts, control groups."""
    found = []
    for command in (["ip", "link"], ["ip", "route"], ["ip", "netns"], ["nft", "list", "tables"], ["mount"]):
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found += [line for line in out.splitlines() if bridge in line]
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/tiphys/{bridge}")]


def test_two_nodes_from_nothing_to_nothing(tiphys: Tiphys) -> None:
    out = tiphys.run("up", "--nodes", "2", "--no-install")
    assert "2 nodes Ready" in out
    assert f"KUBECONFIG={tiphys.home}/default/kubeconfig" in out
    assert "already running; nothing changed" in tiphys.run("up")
    facts = tiphys.status()
    assert facts["nodes"] == {"node-1": "Ready", "node-2": "Ready"}
    bridge = "tiphys" + str(json.loads((tiphys.home / "default" / "cluster.json").read_text())["index"])
    assert traces(bridge)
    tiphys.run("down")
    assert not (tiphys.home / "default").exists()
    assert traces(bridge) == []
    assert "nothing to do" in tiphys.run("down")


def test_whatever_is_killed_comes_back(tiphys: Tiphys) -> None:
    tiphys.run("up")
    before = tiphys.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_new() -> bool:
        now = tiphys.pids()
        return set(now) == set(before) and not set(now.values()) & set(before.values())

    wait(all_new)
    wait(lambda: tiphys.status()["nodes"] == {"node-1": "Ready"})


def test_after_the_supervisor_is_killed_up_brings_the_same_cluster_back(tiphys: Tiphys) -> None:
    tiphys.run("up")
    containerd = tiphys.pids()["containerd-node-1"]
    ca = (tiphys.home / "default" / "pki" / "ca.crt").read_bytes()
    os.kill(json.loads((tiphys.home / "default" / "processes.json").read_text())["pid"], signal.SIGKILL)
    tiphys.run("up")
    assert tiphys.pids()["containerd-node-1"] == containerd
    assert (tiphys.home / "default" / "pki" / "ca.crt").read_bytes() == ca
    tiphys.run("down", "--keep-data")
    tiphys.run("up")
    assert (tiphys.home / "default" / "pki" / "ca.crt").read_bytes() == ca


def test_clusters_side_by_side(tiphys: Tiphys) -> None:
    tiphys.run("up", "--name", "one")
    tiphys.run("up", "--name", "two")
    assert tiphys.status("one")["nodes"] == {"one-node-1": "Ready"}
    assert tiphys.status("two")["nodes"] == {"two-node-1": "Ready"}
    tiphys.run("down", "--name", "one")
    assert tiphys.status("two")["nodes"] == {"two-node-1": "Ready"}


def test_second_up_at_the_same_time_is_told(tiphys: Tiphys) -> None:
    first = subprocess.Popen(
        [str(ROOT / "tiphys"), "up"], env=tiphys.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    folder = tiphys.home / "default" / "cluster.json"
    wait(folder.exists)
    second = tiphys.run("up", check=False)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert "another 'tiphys up'" in second or "already running" in second
