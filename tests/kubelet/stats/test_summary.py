"""Usage as the kubelet's endpoints show it."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock, parse_time
from tiphys.apiserver.usage.samples import parse
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.probes import counts
from tiphys.kubelet.runtime import Container, ContainerState, ContainerStats, RuntimePod
from tiphys.kubelet.server.server import KubeletServer
from tiphys.kubelet.stats import summary
from tiphys.kubelet.stats.cgroup_usage import CgroupUsage
from tiphys.kubelet.stats.summary import Stats, cadvisor, cpu_and_memory, render_metrics
from tiphys.wire.message import Request

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
POD = RuntimePod(
    "u", "web", "default",
    containers=(Container("c1", "app", "u", "s", 0, ContainerState.RUNNING, BEGAN, started_at=BEGAN),),
)  # fmt: skip
USED = ContainerStats("c1", "app", "u", 5_000_000_000, 1_500_000_000, 2048, 4096, 1024, 512)
COLLECTED = [(POD, [USED])]


MACHINE = cadvisor.Machine(4, 1 << 30)


def lines(body):
    samples = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 2)[:2] for line in samples)


def test_cadvisors_names():
    found = lines(cadvisor.render(COLLECTED, {}, MACHINE))
    labels = 'container="app",id="/c1",image="",name="c1",namespace="default",pod="web"'
    with_cpu = labels.replace(",id", ',cpu="total",id')
    assert found[f"container_cpu_usage_seconds_total{{{with_cpu}}}"] == "1.5"
    assert found[f"container_memory_working_set_bytes{{{labels}}}"] == "2048"
    assert found[f"container_memory_usage_bytes{{{labels}}}"] == "4096"
    assert found[f"container_memory_rss{{{labels}}}"] == "1024"
    on_disk = labels.replace(",id", ',device="",id')
    assert found[f"container_fs_usage_bytes{{{on_disk}}}"] == "512"
    text = cadvisor.render(COLLECTED, {}, MACHINE).decode()
    assert f"container_start_time_seconds{{{labels}}} 1.7672256e+09\n" in text
    assert "machine_cpu_cores 4\nmachine_memory_bytes" not in text
    assert "machine_cpu_cores 4\n" in text


def test_what_the_runtime_does_not_say_is_left_out():
    bare = [(POD, [ContainerStats("c1", "app", "u", 5)])]
    text = cadvisor.render(bare, {}, MACHINE).decode()
    assert "container_cpu_usage_seconds_total" not in text
    assert 'container_last_seen{container="app"' in text


def test_resource_metrics_are_what_the_metrics_api_reads():
    body = render_metrics(COLLECTED, FakeClock(), (3_000_000_000, 8192)).decode()
    sample = parse(body, 0.0)
    assert (sample.node.cpu_s, sample.node.memory_bytes) == (3.0, 8192)
    point = sample.containers["default", "web", "app"]
    assert (point.cpu_s, point.memory_bytes, point.at_s) == (1.5, 2048, 5.0)
    where = 'container="app",namespace="default",pod="web"'
    assert f"container_start_time_seconds{{{where}}} 1.7672256e+09" in body
    assert 'pod_cpu_usage_seconds_total{namespace="default",pod="web"} 1.5' in body
    assert "resource_scrape_error 0" in body


def node():
    """As much of a node as the endpoint's metrics need."""

    async def container_stats():
        return [USED]

    return SimpleNamespace(
        name="n1", client=None, clock=FakeClock(),
        cgroups=SimpleNamespace(root="/none/of/this", find=lambda uid: ""),
        settings=SimpleNamespace(node_memory_bytes=1 << 40, usage_cgroup=""),
        cache=SimpleNamespace(all=lambda: [POD]),
        runtime=SimpleNamespace(container_stats=container_stats),
    )  # fmt: skip


async def test_the_summary_of_a_node(tmp_path):
    """Where the node's files lie is measured; the machine's start is a time of this age."""
    one = node()
    one.volumes = SimpleNamespace(root=tmp_path)
    one.settings.logs_dir = str(tmp_path)
    said = (await Stats(one).summary())["node"]
    assert said["nodeName"] == "n1"
    assert parse_time(said["startTime"]) > BEGAN.replace(year=2000)
    disk = {key: value for key, value in said["fs"].items() if key != "time"}
    assert disk["capacityBytes"] == shutil.disk_usage(tmp_path).total
    assert disk["inodes"] == disk["inodesFree"] + disk["inodesUsed"]
    for place in ("imageFs", "containerFs"):
        assert said["runtime"][place]["capacityBytes"] == disk["capacityBytes"]
    assert 0 < said["rlimit"]["curproc"] <= said["rlimit"]["maxpid"]
    assert said["memory"]["workingSetBytes"] > 0


def test_a_node_of_its_own_machine_counts_all_of_it(monkeypatch):
    """Wherever its pods' cgroups lie; of several on one machine each counts its part."""
    monkeypatch.setattr(summary.cgroup_usage, "read", lambda path: CgroupUsage(7, 11))
    one = node()
    cpu_ns, memory = Stats(one).node_usage()
    assert (cpu_ns > 7, memory > 11) == (True, True)
    one.settings.usage_cgroup = "/mine"
    assert Stats(one).node_usage() == (7, 11)


async def test_of_containers_that_are_gone_nothing_is_kept(tmp_path):
    one = node()
    one.volumes = SimpleNamespace(root=tmp_path)
    one.settings.logs_dir = str(tmp_path)
    stats = Stats(one)

    def ran(number):
        async def container_stats():
            return [replace(USED, id=f"c{number}", timestamp_ns=number)]

        return container_stats

    for number in range(1, 4):
        one.runtime.container_stats = ran(number)
        await stats.summary()
    assert set(stats._samples) == {"node", "c3"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/metrics", b"process_start_time_seconds"),
        ("/metrics/resource", b"node_cpu_usage_seconds_total"),
        ("/metrics/cadvisor", b'container_memory_rss{container="app"'),
        ("/metrics/probes", b"prober_probe"),
    ],
)
async def test_paths(path, text):
    server = KubeletServer(node(), ServerOptions(), list, access=SimpleNamespace())
    probed = {"metadata": {"name": "p", "namespace": "ns", "uid": "u-paths"}}
    counts.count(probed, "c", "liveness", ok=True)
    answer = await server.handle_read_only(Request("GET", path))
    counts.forget(probed, "c", "liveness")
    assert answer.status == 200
    assert text in answer.body


def test_processors_and_memory_alone():
    used = {"cpu": {"usageNanoCores": 1}, "memory": {"usageBytes": 2}}
    summary = {
        "node": {"nodeName": "n1", "startTime": "t", **used, "fs": {}, "runtime": {}, "rlimit": {}},
        "pods": [
            {"podRef": {"name": "p"}, "startTime": "t", **used, "network": {}, "volume": [],
             "ephemeral-storage": {}, "process_stats": {},
             "containers": [{"name": "c", "startTime": "t", **used, "rootfs": {}, "logs": {}}]},
        ],
    }  # fmt: skip
    pod = {
        "podRef": {"name": "p"}, "startTime": "t", **used,
        "containers": [{"name": "c", "startTime": "t", **used}],
    }  # fmt: skip
    node = {"nodeName": "n1", "startTime": "t", **used}
    assert cpu_and_memory(summary) == {"node": node, "pods": [pod]}


@pytest.mark.parametrize(
    ("query", "all_of_it"),
    [("", True), ("only_cpu_and_memory=true", False), ("only_cpu_and_memory=1", True),
     ("only_cpu_and_memory=true&only_cpu_and_memory=true", True)],
)  # fmt: skip
async def test_how_much_of_the_summary(tmp_path, query, all_of_it):
    one = node()
    one.volumes = SimpleNamespace(root=tmp_path)
    one.settings.logs_dir = str(tmp_path)
    server = KubeletServer(one, ServerOptions(), list, access=SimpleNamespace())
    answer = await server.handle_read_only(Request("GET", "/stats/summary", query))
    assert ("fs" in orjson.loads(answer.body)["node"]) is all_of_it


async def test_the_summary_is_written_for_people(tmp_path):
    one = node()
    one.volumes = SimpleNamespace(root=tmp_path)
    one.settings.logs_dir = str(tmp_path)
    server = KubeletServer(one, ServerOptions(), list, access=SimpleNamespace())
    answer = await server.handle_read_only(Request("GET", "/stats/summary"))
    assert answer.body.startswith(b'{\n "node": {\n  "nodeName": "n1",\n')
    assert answer.headers["Content-Type"] == "application/json"
