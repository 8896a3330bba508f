"""What ``down`` finds to unmount and to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl import down
from tiphys.ctl.down import _groups, _members, _of_node, _Proc, mounts_below
from tiphys.ctl.layout import Cluster

MOUNTINFO = """\
22 1 8:1 / / rw - ext4 /dev/sda rw
30 22 0:30 / /x/default/a rw - tmpfs tmpfs rw
31 30 0:31 / /x/default/a/b\\040c rw - overlay overlay rw
32 22 0:32 / /x/default2 rw - tmpfs tmpfs rw
33 22 0:33 / /x/default rw - tmpfs tmpfs rw
"""


def test_mounts_of_the_cluster_only_latest_first() -> None:
    assert mounts_below(Path("/x/default"), MOUNTINFO) == ["/x/default", "/x/default/a/b c", "/x/default/a"]


def test_processes_of_a_node() -> None:
    node = Cluster("default", 0, Path("/x")).node(1)
    socket = str(node.containerd_socket)
    rows = [
        _Proc(1, 1, 0, ["/sbin/init"]),
        _Proc(10, 1, 1, ["containerd", "--config", str(node.folder / "containerd.toml")]),
        _Proc(11, 1, 1, ["/usr/bin/containerd-shim-runc-v2", "-address", socket, "-id", "a"]),
        _Proc(12, 1, 11, ["/pause"]),
        _Proc(13, 1, 12, ["sh"]),
        _Proc(20, 1, 1, ["/usr/bin/containerd-shim-runc-v2", "-address", "/run/containerd/containerd.sock"]),
        _Proc(21, 1, 20, ["/pause"]),
        _Proc(30, 1, 1, ["vim", socket]),
    ]
    assert sorted(item.pid for item in _of_node({row.pid: row for row in rows}, node)) == [10, 11, 12, 13]


def test_processes_in_control_groups(tmp_path: Path) -> None:
    pod, empty = tmp_path / "pod1", tmp_path / "pod2"
    pod.mkdir()
    (pod / "cgroup.procs").write_text("12\n7\n")
    assert _members({tmp_path, pod, empty}) == {7, 12}


def test_control_groups_of_the_cluster_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(down, "_CGROUPS", tmp_path)
    cluster = Cluster("default", 3, Path("/x"))
    mine = [tmp_path / base / cluster.cgroup.lstrip("/") / "node-1" for base in ("", "cpu", "memory")]
    other = tmp_path / "cpu" / Cluster("other", 31, Path("/y")).cgroup.lstrip("/")
    for folder in (*mine, other):
        folder.mkdir(parents=True)
    assert _groups(cluster) == {*mine, *(folder.parent for folder in mine)}
