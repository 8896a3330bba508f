"""Columns stay equal to a count from scratch, whatever happens to nodes and pods."""

from __future__ import annotations

import random

import pytest
from scheduler_builders import anti, columns, info, node

from tiphys.scheduler.columns import PODS_COLUMN
from tiphys.scheduler.podinfo import pod_requests


@pytest.mark.parametrize("seed", range(20))
def test_incremental_equals_recount(seed: int) -> None:
    chance = random.Random(seed)
    cluster = columns(*(node(f"n{index}") for index in range(20)))
    pods = [
        info(f"p{i}", cpu=f"{i % 7}00m", labels={"app": f"a{i % 3}"}, affinity=anti("a1")) for i in range(40)
    ]
    term = pods[0].anti_affinity[0]
    cluster.matched(term)
    where: dict[str, str] = {}
    for _ in range(300):
        step, pod, name = chance.random(), chance.choice(pods), f"n{chance.randrange(40)}"
        if step < 0.6:
            cluster.add_pod(pod, name)
            where[pod.uid] = name
        elif step < 0.8:
            cluster.remove_pod(pod.uid)
            where.pop(pod.uid, None)
        elif step < 0.85 and pod.uid in where:
            cluster.relabel_pod({**pod.pod, "metadata": {**pod.pod["metadata"], "labels": {"app": name[:1]}}})
            labels = {"app": f"a{chance.randrange(3)}"}
            cluster.relabel_pod({**pod.pod, "metadata": {**pod.pod["metadata"], "labels": labels}})
            pods[pods.index(pod)] = cluster.placed[pod.uid][0]
            assert cluster.placed[pod.uid][0].labels == labels
        elif step < 0.9:
            cluster.remove_node(name)
        else:
            cluster.set_node(node(name))
        near = cluster.near(cluster.counts.matched(term))
        assert near.tolist() == (cluster.in_domain(cluster.counts.matched(term)) > 0).tolist()
    for name, row in cluster.rows.items():
        here = [pod for pod in pods if where.get(pod.uid) == name]
        assert cluster.used[PODS_COLUMN, row] == len(here)
        assert cluster.used[0, row] == sum(pod.requests.get("cpu", 0) for pod in here)
        assert cluster.matched(term)[row] == sum(pod.labels["app"] == "a1" for pod in here)
        assert cluster.held("anti")[0].by_row[row] == len(here)
    assert int(cluster.alive.sum()) == len(cluster.rows)


def test_a_heartbeat_changes_nothing_static() -> None:
    cluster = columns(node("a"))
    before = cluster.static_generation
    cluster.set_node(node("a", cpu="8"))
    assert cluster.static_generation == before
    cluster.set_node(node("a", labels={"x": "y"}))
    assert cluster.static_generation == before + 1


def test_counts_sum_over_a_domain_and_follow_relabelled_nodes() -> None:
    cluster = columns(*(node(f"n{i}", labels={"zone": "ab"[i % 2]}) for i in range(4)), node("bare"))
    term = info(affinity=anti("web", "zone")).anti_affinity[0]
    for name, amount in {"n0": 1, "n1": 2, "n2": 3, "n3": 4, "bare": 5}.items():
        for index in range(amount):
            cluster.add_pod(info(f"{name}-{index}", labels={"app": "web"}), name)

    def sums() -> list[int]:
        found = cluster.in_domain(cluster.counts.matched(term))
        return [int(found[cluster.rows[name]]) for name in ("n0", "n1", "n2", "n3", "bare")]

    assert sums() == [4, 6, 4, 6, 0]
    cluster.add_pod(info("one-more", labels={"app": "web"}), "n0")
    assert sums() == [5, 6, 5, 6, 0]
    cluster.set_node(node("n0", labels={"zone": "b"}))
    assert sums() == [8, 8, 3, 8, 0]


def requests(cpu: str) -> dict[str, object]:
    return {"resources": {"requests": {"cpu": cpu}}}


REQUESTS: dict[str, tuple[dict[str, object], int]] = {
    "sum of containers": ({"containers": [requests("1"), requests("500m")]}, 1500),
    "largest init": ({"containers": [requests("1")], "initContainers": [requests("3"), requests("2")]}, 3000),
    "sidecar runs on": (
        {"containers": [requests("1")], "initContainers": [{**requests("1"), "restartPolicy": "Always"}]},
        2000,
    ),
    "init beside a sidecar": (
        {
            "containers": [requests("1")],
            "initContainers": [{**requests("1"), "restartPolicy": "Always"}, requests("3")],
        },
        4000,
    ),
    "overhead": ({"containers": [requests("1")], "overhead": {"cpu": "250m"}}, 1250),
    "pod level": ({"containers": [requests("1")], "resources": {"requests": {"cpu": "5"}}}, 5000),
}


@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS.keys())
def test_pod_requests(case: tuple[dict[str, object], int]) -> None:
    spec, milli = case
    assert pod_requests(spec)["cpu"] == milli
