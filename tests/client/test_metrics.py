"""What a component's process counts: its queues while they work, its API calls, its leases, its gates."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.families import Registry
from tiphys.apimachinery.featuregates import DEFAULTS, resolve
from tiphys.client import call_counts, metrics
from tiphys.client.counting import Counts
from tiphys.client.workqueue import WorkQueue


def value(name: str, /, **labels: str) -> Any:
    return metrics.REGISTRY.sample_value(name, labels)


async def test_work_that_takes_long_is_seen_while_it_lasts() -> None:
    clock = FakeClock()
    queue = WorkQueue("long", clock=clock)
    for key in ("a", "b", "c"):
        queue.add(key)
    await queue.get()
    clock.advance(5)
    await queue.get()
    clock.advance(2)
    assert value("workqueue_depth", name="long") == 1
    assert value("workqueue_adds_total", name="long") == 3
    assert value("workqueue_unfinished_work_seconds", name="long") == 9
    assert value("workqueue_longest_running_processor_seconds", name="long") == 7
    queue.done("a")
    queue.done("b")
    assert value("workqueue_unfinished_work_seconds", name="long") == 0
    assert value("workqueue_work_duration_seconds_sum", name="long") == 9


FAMILIES = [
    ("workqueue_queue_duration_seconds", "1e-08 1e-07 1e-06 1e-05 0.0001 0.001 0.01 0.1 1 10"),
    ("workqueue_work_duration_seconds", "1e-08 1e-07 1e-06 1e-05 0.0001 0.001 0.01 0.1 1 10"),
    ("informer_processing_latency_seconds", "0.001 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10"),
    ("rest_client_dns_resolution_duration_seconds", "0.005 0.025 0.1 0.25 0.5 1 2 4 8 15 30"),
    ("rest_client_request_duration_seconds", "0.005 0.025 0.1 0.25 0.5 1 2 4 8 15 30 60"),
    (
        "rest_client_request_size_bytes",
        "64 256 512 1024 4096 16384 65536 262144 1.048576e+06 4.194304e+06 1.6777216e+07",
    ),
]


@pytest.mark.parametrize(("name", "bounds"), FAMILIES)
def test_buckets(name: str, bounds: str) -> None:
    metrics.QueueCounts("buckets")
    call_counts.calls_to("h").answered("GET", "200", 1, 1, 1)
    call_counts.resolved("h", 1)
    metrics.INFORMED_SECONDS.labels("h", "", "v1", "pods").observe(1)
    family = next(one for one in metrics.REGISTRY.collect() if one.name == name)
    labels = family.samples[0].labels
    first = {key: text for key, text in labels.items() if key != "le"}
    found = [
        sample.labels["le"]
        for sample in family.samples
        if sample.name.endswith("_bucket") and {**first, "le": sample.labels["le"]} == sample.labels
    ]
    assert found == [*bounds.split(), "+Inf"]


def test_gates() -> None:
    try:
        metrics.show_features(resolve({"HPAScaleToZero": True}))
        assert value("kubernetes_feature_enabled", name="HPAScaleToZero", stage="ALPHA") == 1
        assert value("kubernetes_feature_enabled", name="AllBeta", stage="BETA") == 0
    finally:
        metrics.show_features(DEFAULTS)
    assert value("kubernetes_feature_enabled", name="HPAScaleToZero", stage="ALPHA") == 0


def test_components_of_one_process_show_their_own_families() -> None:
    """As they are forked from one that knows all of them."""
    for name in ("one-component", "another-component"):
        Counts(f"of_{name.partition('-')[0]}", "a", (), metrics.registry_of(name))
    more = Registry()
    Counts("of_this_server", "a", (), more)
    text = metrics.render("one-component", more).decode()
    assert [line for line in text.splitlines() if line.startswith("of_")] == [
        "of_one_total 0", "of_this_server_total 0"
    ]  # fmt: skip
    assert "kubernetes_build_info{" in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert names == sorted(names)


@pytest.mark.parametrize("component", ["kube-scheduler", "kube-controller-manager", "kube-proxy", "kubelet"])
def test_whose_families_a_component_shows(component: str) -> None:
    from tiphys.controllers import metrics as _controllers  # noqa: F401
    from tiphys.proxy import metrics as _proxy  # noqa: F401
    from tiphys.scheduler import metrics as _scheduler  # noqa: F401

    beginnings = {
        "kube-scheduler": "scheduler_",
        "kube-controller-manager": "ttl_after_finished_controller_",
        "kube-proxy": "kubeproxy_",
    }
    text = metrics.render(component).decode()
    found = {name for name, start in beginnings.items() if f"# TYPE {start}" in text}
    assert found == {component} & beginnings.keys()


def test_plugins_of_kubeconfigs_that_there_are_not() -> None:
    text = metrics.render("any").decode()
    assert "rest_client_exec_plugin_ttl_seconds +Inf\n" in text
    assert "rest_client_exec_plugin_certificate_rotation_age_count 0\n" in text
    assert 'rest_client_exec_plugin_certificate_rotation_age_bucket{le="2.592e+06"} 0\n' in text


def test_work_that_waits_in_no_queue() -> None:
    clock = FakeClock()
    work = metrics.KeyWork("no-queue", clock)
    with work.working("a"):
        clock.advance(3)
        with work.working("b"):
            clock.advance(1)
            assert value("workqueue_unfinished_work_seconds", name="no-queue") == 5
            assert value("workqueue_longest_running_processor_seconds", name="no-queue") == 4
    with pytest.raises(ValueError), work.working("a"):
        raise ValueError
    work.again()
    assert value("workqueue_adds_total", name="no-queue") == 3
    assert value("workqueue_retries_total", name="no-queue") == 1
    assert value("workqueue_depth", name="no-queue") == 0
    assert value("workqueue_unfinished_work_seconds", name="no-queue") == 0
    assert value("workqueue_work_duration_seconds_sum", name="no-queue") == 5
    assert value("workqueue_queue_duration_seconds_count", name="no-queue") == 3
