"""Quantities into the kernel's numbers, sums, and classes of service."""

import pytest
from pods import container, pod

from tiphys.kubelet.cm.qos import oom_score_adj, qos_class
from tiphys.kubelet.cm.resources import (
    cpu_quota,
    cpu_shares,
    linux_resources,
    pod_amount,
    pod_linux_resources,
    pod_requests,
    with_pod_limits,
)


def res(cpu=None, memory=None, limit_cpu=None, limit_memory=None):
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    limits = {k: v for k, v in (("cpu", limit_cpu), ("memory", limit_memory)) if v}
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


@pytest.mark.parametrize(("milli", "shares"), [(0, 2), (1, 2), (100, 102), (1000, 1024), (10**6, 262144)])
def test_shares(milli, shares):
    assert cpu_shares(milli) == shares


@pytest.mark.parametrize(("milli", "quota"), [(0, 0), (1, 1000), (500, 50000), (2000, 200000)])
def test_quota(milli, quota):
    assert cpu_quota(milli) == quota


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, {"cpu_shares": 2}),
        (res(cpu="1"), {"cpu_shares": 1024}),
        (res(limit_cpu="500m"), {"cpu_shares": 512, "cpu_period": 100000, "cpu_quota": 50000}),
        (res(cpu="0", limit_cpu="1"), {"cpu_shares": 2, "cpu_period": 100000, "cpu_quota": 100000}),
        (res(limit_memory="64Mi"), {"cpu_shares": 2, "memory_limit_in_bytes": 64 * 2**20}),
    ],
)
def test_linux_resources(resources, expected):
    assert linux_resources(resources) == expected


def test_limits_of_the_whole_pod_are_those_of_containers_without():
    the_pod = pod(resources=res(cpu="1", limit_cpu="2", limit_memory="128Mi"))
    own = res(cpu="100m", limit_memory="64Mi")
    found = with_pod_limits(the_pod, container(resources=own))
    assert found == {**own, "inherited": {"cpu": "2"}}
    assert linux_resources(found) == {
        "cpu_shares": 102, "cpu_period": 100000, "cpu_quota": 200000, "memory_limit_in_bytes": 64 * 2**20,
    }  # fmt: skip
    assert linux_resources(with_pod_limits(the_pod, container())) == {
        "cpu_shares": 2048, "cpu_period": 100000, "cpu_quota": 200000, "memory_limit_in_bytes": 128 * 2**20,
    }  # fmt: skip
    assert with_pod_limits(pod(), container(resources=own)) == own


@pytest.mark.parametrize(
    ("the_pod", "expected"),
    [
        (pod(), {}),
        (
            pod(
                container(resources=res(cpu="500m", memory="64Mi")),
                container("d", resources={"requests": {"cpu": "1", "memory": "1Gi", "example.com/x": "2"}}),
                init=[container("i", resources=res(cpu="100m", memory="2G"))],
            ),
            {"cpu": "1500m", "example.com/x": "2", "memory": "1953125Ki"},
        ),
        (
            pod(
                container(resources=res(cpu="500m", memory="64Mi")), resources=res(cpu="2"),
                overhead={"cpu": "250m", "memory": "1Mi"},
            ),
            {"cpu": "2", "memory": "64Mi"},
        ),
    ],
)  # fmt: skip
def test_all_that_a_pod_asks_for(the_pod, expected):
    assert pod_requests(the_pod) == expected


SIDECAR = container("s", restartPolicy="Always", resources=res(cpu="100m"))


@pytest.mark.parametrize(
    ("the_pod", "expected"),
    [
        (pod(container(resources=res(cpu="1")), container("d", resources=res(cpu="500m"))), 1500),
        (pod(container(resources=res(cpu="1")), init=[container("i", resources=res(cpu="3"))]), 3000),
        (pod(container(resources=res(cpu="1")), init=[SIDECAR]), 1100),
        (
            pod(
                container(resources=res(cpu="1")),
                init=[SIDECAR, container("i", resources=res(cpu="2"))],
                overhead={"cpu": "10m"},
            ),
            2110,
        ),
        (pod(container(resources=res(cpu="1")), resources=res(cpu="4")), 4000),
    ],
    ids=["sum", "init peak", "sidecar adds", "sidecar beside init, overhead", "pod level"],
)
def test_pod_amount(the_pod, expected):
    assert pod_amount(the_pod, "requests", "cpu") == expected


def test_pod_limits_need_every_container():
    limited = container(resources=res(limit_cpu="1", limit_memory="1Mi"))
    assert pod_linux_resources(pod(limited))["memory_limit_in_bytes"] == 2**20
    assert "memory_limit_in_bytes" not in pod_linux_resources(pod(limited, container("d")))


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([res(cpu="0")], "BestEffort"),
        ([res(cpu="1")], "Burstable"),
        ([res(limit_cpu="1", limit_memory="1Mi")], "Guaranteed"),
        ([res("1", "1Mi", "1", "1Mi")], "Guaranteed"),
        ([res("1000m", "1024Ki", "1", "1Mi")], "Guaranteed"),
        ([res("500m", "1Mi", "1", "1Mi")], "Burstable"),
        ([res(limit_cpu="1", limit_memory="1Mi"), {}], "Burstable"),
        ([res(limit_cpu="1")], "Burstable"),
    ],
)
def test_qos(resources, expected):
    assert (
        qos_class(pod(*(container(f"c{i}", resources=item) for i, item in enumerate(resources)))) == expected
    )


@pytest.mark.parametrize(
    ("resources", "priority", "score"),
    [
        ({}, 0, 1000),
        (res("1", "1Mi", "1", "1Mi"), 0, -997),
        ({}, 2_000_001_000, 1000),
        (res(memory="250"), 0, 750),
        (res(cpu="1"), 0, 999),
        (res(memory="999"), 0, 3),
    ],
    ids=["best effort", "guaranteed", "of high priority", "burstable", "no memory", "nearly all"],
)
def test_oom_scores(resources, priority, score):
    spec = container(resources=resources)
    assert oom_score_adj(pod(spec, priority=priority), spec, 1000) == score


def test_what_the_node_needs_survives():
    def score(**spec):
        return oom_score_adj(pod(container(), **spec), container(), 1000)

    assert score(priorityClassName="system-node-critical", priority=2_000_001_000) == -997
    assert score(priorityClassName="system-cluster-critical", priority=2_000_000_000) == 1000
    assert score(priorityClassName="system-node-critical") == 1000
    static = pod(container(), priorityClassName="system-node-critical")
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert oom_score_adj(static, container(), 1000) == -997


def test_sidecars_survive_as_long_as_the_first_to_die():
    small, big = (container(name, resources=res(memory=name)) for name in ("200", "500"))
    low, high = (
        container("s", restartPolicy="Always", resources=res(memory=memory)) for memory in ("1", "300")
    )
    assert oom_score_adj(pod(small, big, init=[low]), low, 1000) == 800
    assert oom_score_adj(pod(small, big, init=[high]), high, 1000) == 700
    assert oom_score_adj(pod(small, big, init=[low]), big, 1000) == 500
    once = container("s", resources=res(memory="1"))
    assert oom_score_adj(pod(small, big, init=[once]), once, 1000) == 999


def test_what_only_the_whole_pod_asks_for_is_everybodys():
    one, other = container("a", resources=res(memory="100")), container("b")
    shared = pod(one, other, resources=res(memory="300", limit_memory="600"))
    assert oom_score_adj(shared, one, 1000) == 800
    assert oom_score_adj(shared, other, 1000) == 900
