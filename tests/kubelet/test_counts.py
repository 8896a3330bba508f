"""What a kubelet counts: each family follows what was done."""

import pytest
from fake_node import Node
from pods import pod
from tests.samples import Since

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.kubelet import counts
from tiphys.kubelet.cri.client import operation_of
from tiphys.kubelet.pod_times import PodTimes
from tiphys.kubelet.runtime import RuntimeFailure


def value(name, **labels):
    return counts.REGISTRY.sample_value(f"kubelet_{name}", labels) or 0.0


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("Version", "version"), ("RunPodSandbox", "run_podsandbox"),
        ("PodSandboxStatus", "podsandbox_status"),
        ("ListPodSandbox", "list_podsandbox"), ("UpdateContainerResources", "update_container"),
        ("ReopenContainerLog", "reopen_container_log"), ("ListContainerStats", "list_container_stats"),
        ("ImageFsInfo", "image_fs_info"), ("ExecSync", "exec_sync"),
    ],
)  # fmt: skip
def test_names_of_operations(method, name):
    assert operation_of(method) == name


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize(
    ("counting", "name", "total"),
    [(counts.operation, "runtime_operations", 1), (counts.sandbox, "run_podsandbox", None)],
)
def test_calls_of_the_runtime(counting, name, total, good):
    label = {"operation_type" if total else "runtime_handler": "one"}
    clock, since = FakeClock(), Since(counts.REGISTRY, "kubelet_")
    try:
        with counting("one", clock):
            clock.advance(0.5)
            if not good:
                raise RuntimeFailure("UNKNOWN", "no")
    except RuntimeFailure:
        assert not good
    assert since(f"{name}_duration_seconds_sum", **label) == 0.5
    assert since(f"{name}_errors_total", **label) == (not good)
    if total:
        assert since(f"{name}_total", **label) == 1


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (0, "N/A"), (1, "0-10MB"), (10 * 2**20, "10MB-100MB"), (2**30 - 1, "500MB-1GB"),
        (2**30, "1GB-5GB"), (99 * 2**30, "60GB-100GB"), (100 * 2**30, "GT100GB"),
    ],
)  # fmt: skip
def test_sizes_of_images(size, name):
    assert counts.size_name(size) == name
    since = Since(counts.REGISTRY, "kubelet_")
    counts.pulled(size, 7.0)
    assert since("image_pull_duration_seconds_sum", image_size_in_bytes=name) == 7


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("OutOfcpu", "OutOfcpu"), ("OutOfexample.com/a", "OutOfExtendedResources"), ("NodePorts", "Other")],
)
def test_reasons_of_refusals(reason, shown):
    since = Since(counts.REGISTRY, "kubelet_")
    counts.rejected(reason)
    assert since("admission_rejections_total", reason=shown) == 1


def test_the_times_of_a_pod():
    clock, since = FakeClock(), Since(counts.REGISTRY, "kubelet_")
    made = pod()
    made["metadata"]["creationTimestamp"] = rfc3339(clock.now())
    clock.advance(1)
    times = PodTimes(made, clock)
    assert since("containers_per_pod_count_count") == 1
    clock.advance(1)

    def turn(seconds):
        with times.round():
            clock.advance(seconds)

    turn(0.25)
    times.told({"phase": "Pending"})
    turn(0.5)
    times.told({"phase": "Running"})
    times.seen({**made, "status": {"containerStatuses": [{"state": {"waiting": {}}}]}})
    turn(0.25)
    clock.advance(1)
    assert since("pod_start_total_duration_seconds_count") == 0
    for _ in range(2):
        times.seen({**made, "status": {"containerStatuses": [{"state": {"running": {}}}]}})
    times.told({"phase": "Running"})
    assert since("pod_worker_start_duration_seconds_sum") == 1
    found = [
        since("pod_worker_duration_seconds_sum", operation_type=name) for name in ("create", "sync", "update")
    ]
    assert found == [0.25, 0.5, 0.25]
    assert since("pod_start_duration_seconds_sum") == 1.75
    assert since("pod_start_total_duration_seconds_sum") == 4


@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_what_ran_before_is_no_start(phase):
    clock, since = FakeClock(), Since(counts.REGISTRY, "kubelet_")
    made = {**pod(), "status": {"phase": phase, "startTime": rfc3339(clock.now())}}
    made["metadata"]["creationTimestamp"] = rfc3339(clock.now())
    times = PodTimes(made, clock)
    times.told({"phase": phase})
    times.seen({**made, "status": {"containerStatuses": [{"state": {"running": {}}}]}})
    assert since("pod_start_duration_seconds_count") == 0
    assert since("pod_start_total_duration_seconds_count") == 0


@pytest.mark.usefixtures("no_cgroups")
async def test_what_a_kubelet_counts(tmp_path):
    node, since = Node(tmp_path, node_ips=("127.0.0.1",)), Since(counts.REGISTRY, "kubelet_")
    async with node.running():
        await node.create()
        await node.create(
            "q", [{"name": "c", "image": "none:1"}], initContainers=[{"name": "i", "image": "img:1"}]
        )
        await node.until(lambda: "running" in node.container().get("state", {}))
        failed = {"container_type": "init_container"}
        await node.until(lambda: since("started_containers_total", **failed) >= 1)
        await node.until(lambda: since("pleg_relist_interval_seconds_count") >= 1)
        await node.until(lambda: since("pod_status_sync_duration_seconds_count") >= 1)
    assert since("started_pods_total") == 2
    assert since("run_podsandbox_duration_seconds_count", runtime_handler="") == 2
    assert since("started_containers_total", container_type="container") >= 1
    assert since("pod_start_duration_seconds_count") >= 1
    assert since("pod_worker_duration_seconds_count", operation_type="create") == 2
    assert since("pleg_relist_duration_seconds_count") >= 2
    assert value("pleg_last_seen_seconds") > 0
    await node.client.close()


@pytest.mark.usefixtures("no_cgroups")
async def test_what_a_kubelet_counts_of_failures(tmp_path, monkeypatch):
    node, since = Node(tmp_path, node_ips=("127.0.0.1",)), Since(counts.REGISTRY, "kubelet_")
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "none:1", "imagePullPolicy": "Never"}])
        code = {"container_type": "container", "code": "ErrImageNeverPull"}
        await node.until(lambda: since("started_containers_errors_total", **code) >= 1)
        node.runtime.fail["run_sandbox"] = RuntimeFailure("UNKNOWN", "no")
        await node.create("q")
        await node.until(lambda: since("started_pods_errors_total") >= 1)
    assert since("run_podsandbox_errors_total", runtime_handler="") >= 1
    await node.client.close()
