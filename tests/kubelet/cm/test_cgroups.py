"""Cgroups of pods, on folders that stand for the kernel's trees."""

import pytest
from pods import container, pod

from tiphys.kubelet.cm.cgroups import Cgroups, shares_to_weight

LIMITED = pod(container(resources={"limits": {"cpu": "500m", "memory": "1Mi"}}))


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_weights(shares, weight):
    assert shares_to_weight(shares) == weight


@pytest.fixture
def v1(tmp_path):
    for name in ("cpu", "memory", "cpuset"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    return tmp_path


def test_v1(v1):
    groups = Cgroups("/k", v1)
    assert (groups.version, groups.usable) == (1, True)
    assert groups.parent(LIMITED) == "/k/poduid-1"
    assert groups.parent(pod()) == "/k/besteffort/poduid-1"
    groups.apply(LIMITED)
    assert (v1 / "cpu/k/poduid-1/cpu.shares").read_text() == "512"
    assert (v1 / "cpu/k/poduid-1/cpu.cfs_quota_us").read_text() == "50000"
    assert (v1 / "memory/k/poduid-1/memory.limit_in_bytes").read_text() == str(2**20)
    assert groups.known_pods() == {"uid-1"}


def test_v2(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    groups = Cgroups("/k", tmp_path)
    assert groups.version == 2
    groups.apply(LIMITED)
    assert (tmp_path / "k/poduid-1/cpu.max").read_text() == "50000 100000"
    assert (tmp_path / "k/poduid-1/memory.max").read_text() == str(2**20)


def test_nowhere_to_make_them(tmp_path):
    groups = Cgroups("/k", tmp_path / "none")
    assert not groups.usable
    assert groups.parent(pod()) == ""
    groups.apply(pod())
    groups.remove("uid-1")


def test_removal(v1):
    groups = Cgroups("/k", v1)
    folder = v1 / "cpu/k/besteffort/poduid-1/child"
    folder.mkdir(parents=True)
    groups.remove("uid-1")
    assert groups.known_pods() == set()
