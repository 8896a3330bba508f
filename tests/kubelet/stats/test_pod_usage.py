"""What a pod uses, from its cgroup and its folders, and how it is shown."""

from types import SimpleNamespace

import pytest
from pods import UID, container, have, pod, running

from tiphys.apimachinery.clock import FakeClock
from tiphys.kubelet.runtime import ContainerStats
from tiphys.kubelet.stats import cadvisor, pod_usage
from tiphys.kubelet.stats.cgroup_counters import Counters, Interface
from tiphys.kubelet.stats.pod_usage import (
    PodUsage,
    VolumeUse,
    network_summary,
    tree_entries,
    volume_summaries,
)
from tiphys.kubelet.stats.summary import Stats

ETH0 = Interface("eth0", 100, 10, 1, 2, 200, 20, 3, 4)
NET1 = Interface("net1", 5, 1, 0, 0, 6, 1, 0, 0)


def test_network():
    shown = network_summary([NET1, ETH0], "now")
    assert (shown["name"], shown["rxBytes"], shown["txErrors"]) == ("eth0", 100, 3)
    assert [item["name"] for item in shown["interfaces"]] == ["net1", "eth0"]
    assert network_summary([NET1], "now")["name"] == "net1"
    assert network_summary([], "now") is None


def test_volumes():
    disk = {
        "availableBytes": 5,
        "capacityBytes": 9,
        "usedBytes": 4,
        "inodes": 3,
        "inodesFree": 1,
        "inodesUsed": 2,
    }
    (data, scratch) = volume_summaries(
        [VolumeUse("data", 7, 2, False, disk, "claim"), VolumeUse("scratch", 8, 3, True, disk)], "ns", "now"
    )
    assert data["pvcRef"] == {"name": "claim", "namespace": "ns"}
    assert (scratch["usedBytes"], scratch["inodesUsed"], scratch["capacityBytes"]) == (8, 3, 9)
    assert "pvcRef" not in scratch


@pytest.fixture
def node(tmp_path, monkeypatch):
    """As much of a node as is read."""
    monkeypatch.setattr(
        pod_usage, "read_counters", lambda path: Counters(memory_usage=len(path), processes=2, page_faults=6)
    )
    monkeypatch.setattr(pod_usage, "first_process", lambda path: 7 if path.endswith("/sb") else None)
    monkeypatch.setattr(pod_usage, "read_network", lambda pid: [ETH0] if pid == 7 else [])

    async def container_stats():
        return [ContainerStats("c0", "c", UID, 2_000_000_000, 1_000_000_000, 10, 20, 5, 4096)]

    volumes = SimpleNamespace(root=tmp_path, path_of=lambda uid, kind, name: tmp_path / uid / kind / name)
    return SimpleNamespace(
        name="n1", clock=FakeClock(), volumes=volumes,
        runtime=SimpleNamespace(container_stats=container_stats),
        cgroups=SimpleNamespace(root="/none/of/this", find=lambda uid: f"/kubepods/pod{uid}"),
        settings=SimpleNamespace(usage_cgroup="", node_memory_bytes=1 << 40, logs_dir=str(tmp_path / "logs")),
        cache=SimpleNamespace(all=lambda: [have(running())]),
    )  # fmt: skip


THE_POD = pod(
    container(),
    volumes=[
        {"name": "scratch", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": "/"}},
        {"name": "gone", "configMap": {"name": "x"}},
    ],
)


def fill(tmp_path):
    for name in ("scratch", "shm"):
        folder = tmp_path / UID / "emptyDir" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 8192)
    logs = tmp_path / "logs" / f"ns_p_{UID}" / "c"
    logs.mkdir(parents=True)
    (logs / "0.log").write_bytes(b"y" * 4096)


def test_what_is_read(node, tmp_path):
    fill(tmp_path)
    found = pod_usage.pod_usage(node, have(running()), THE_POD)
    assert found.cgroup == f"/kubepods/pod{UID}"
    assert found.interfaces == (ETH0,)
    assert [(item.name, item.local) for item in found.volumes] == [("scratch", True), ("shm", False)]
    assert found.containers["c0"][0] == f"/kubepods/pod{UID}/c0"
    assert tree_entries(tmp_path / UID / "emptyDir" / "shm") == 2
    bare = pod_usage.pod_usage(node, have(running()), None)
    assert (bare.volumes, bare.log_bytes) == ((), {})


async def test_the_summary_of_a_pod(node, tmp_path):
    fill(tmp_path)
    (said,) = (await Stats(node, lambda: [THE_POD]).summary())["pods"]
    assert said["network"]["rxBytes"] == 100
    assert [item["name"] for item in said["volume"]] == ["scratch", "shm"]
    assert said["process_stats"] == {"process_count": 2}
    (one,) = said["containers"]
    assert one["memory"]["pageFaults"] == 6
    assert one["rootfs"]["usedBytes"] == 4096
    assert one["rootfs"]["capacityBytes"] == said["ephemeral-storage"]["capacityBytes"]
    local = said["volume"][0]["usedBytes"]
    assert said["ephemeral-storage"]["usedBytes"] == 4096 + one["logs"]["usedBytes"] + local


def samples(body, family):
    return {
        line.split(" ")[0]: line.split(" ")[1]
        for line in body.decode().splitlines()
        if line.startswith(family)
    }


def test_cadvisor_of_a_pod():
    counters = Counters(
        cpu_user=1_000_000_000, cpu_system=500_000_000, cfs_throttled=2_000_000_000, memory_usage=50,
        memory_inactive_file=20, page_faults=6, cpu_quota=-1, processes=3, memory_limit=0,
    )  # fmt: skip
    used = PodUsage("/kubepods/podu", counters, (ETH0,), {"c0": ("/kubepods/podu/c0", counters)})
    stats = [ContainerStats("c0", "c", UID, 2_000_000_000, 1_000_000_000, 10)]
    body = cadvisor.render([(have(running()), stats)], {UID: used}, cadvisor.Machine(2, 4))
    of_pod = 'container="",id="/kubepods/podu",image="",interface="eth0",name="",namespace="ns",pod="p"'
    family = "container_network_receive_bytes_total"
    assert samples(body, family) == {f"{family}{{{of_pod}}}": "100"}
    dropped = samples(body, "container_network_transmit_packets_dropped_total")
    assert list(dropped.values()) == ["4"]
    working = samples(body, "container_memory_working_set_bytes")
    assert sorted(working.values()) == ["10", "30"]
    assert set(samples(body, "container_cpu_cfs_throttled_seconds_total").values()) == {"2"}
    assert set(samples(body, "container_cpu_usage_seconds_total").values()) == {"1", "1.5"}
    assert samples(body, "container_spec_cpu_quota") == {}
    assert set(samples(body, "container_spec_memory_limit_bytes").values()) == {"0"}
    faults = samples(body, "container_memory_failures_total")
    assert all('failure_type="pgfault"' in name for name in faults)
    assert 'image="img"' in next(name for name in faults if 'container="c"' in name)
