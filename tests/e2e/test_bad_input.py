"""What the command says to those who ask for what cannot be: short and clear, with nothing left behind."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import RunningCluster

pytestmark = pytest.mark.e2e


@pytest.fixture
def fresh() -> Iterator[RunningCluster]:
    """A folder without a cluster."""
    made = RunningCluster(Path(tempfile.mkdtemp(prefix="tiphys-e2e-")))
    try:
        yield made
    finally:
        made.tiphys("down")
        shutil.rmtree(made.home)


def _refused(it: RunningCluster, *args: str, env: dict[str, str] | None = None) -> str:
    result = it.tiphys(*args, check=False, env=env)
    assert result.code != 0
    assert "Traceback" not in result.all
    return result.all


def test_second_up(session_cluster: RunningCluster) -> None:
    again = session_cluster.tiphys("up", "--nodes", "3")
    assert "already running; nothing changed" in again.all
    assert session_cluster.kubectl("get", "nodes", "--no-headers").count("Ready") == 2


def test_bad_values(fresh: RunningCluster) -> None:
    assert "'--nodes'" in _refused(fresh, "up", "--nodes", "0")
    assert "is not usable" in _refused(fresh, "up", "--name", "Not_Usable")
    assert "No such option" in _refused(fresh, "up", "--whatever")
    assert "no cluster 'default'" in _refused(fresh, "images", "import", "/dev/null")
    assert "too deep" in _refused(fresh, "up", env={"TIPHYS_HOME": "/tmp/" + "x" * 90})
    Path("/tmp/" + "x" * 90).rmdir() if Path("/tmp/" + "x" * 90).exists() else None


def test_port_taken(fresh: RunningCluster) -> None:
    taken = []
    try:
        for port in range(6443, 6443 + 64):
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", port))
                holder.listen()
            except OSError:
                holder.close()
                continue
            taken.append(holder)
        said = _refused(fresh, "up", "--no-install")
    finally:
        for holder in taken:
            holder.close()
    assert "port" in said
    assert "in use" in said or "taken" in said
    assert "no clusters" in fresh.tiphys("status").all


def test_missing_containerd(fresh: RunningCluster, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = bare / tool.name
            if "containerd" not in tool.name and not link.is_symlink():
                link.symlink_to(tool)
    said = _refused(fresh, "up", "--no-install", env={"PATH": str(bare)})
    assert "missing packages: containerd (left alone because of --no-install)" in said
