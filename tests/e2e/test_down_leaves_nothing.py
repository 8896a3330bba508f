"""After ``tiphys down`` the machine is as it was: processes, mounts, links, routes, tables, groups."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX, busybox_image
from leftovers import machine, processes

pytestmark = pytest.mark.e2e

_BUSY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "busy"},
    "spec": {
        "containers": [
            {
                "name": "a",
                "image": BUSYBOX,
                "command": ["sh", "-c", "(sleep 1000 &); sleep 1000"],
                "volumeMounts": [{"name": "memory", "mountPath": "/memory"}],
                "ports": [{"containerPort": 80, "hostPort": 18080}],
            }
        ],
        "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
    },
}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of short name: sockets below it have a limit."""
    with tempfile.TemporaryDirectory(prefix="tiphys-e2e-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("crashed", [False, True], ids=["running", "supervisor killed"])
def test_down_leaves_nothing(home: Path, crashed: bool) -> None:
    made = RunningCluster(home, name="gone")
    try:
        made.tiphys("up", "--nodes", "2", "--name", "gone", "--no-install")
        index = made.index
        (home / "busybox.tar").write_bytes(busybox_image())
        made.tiphys("images", "import", str(home / "busybox.tar"), "--name", "gone")
        made.apply(_BUSY)
        made.ready("busy")
        seen = machine(home, index)
        kinds = {entry.split(":")[0] for entry in seen}
        assert kinds >= {"interface", "route", "netns", "mount", "cgroup", "process", "file"}
        if crashed:
            made.kill("supervisor")
    finally:
        made.tiphys("down", "--name", "gone")
    eventually(lambda: not processes(home, index), 10)
    assert machine(home, index) == set()
