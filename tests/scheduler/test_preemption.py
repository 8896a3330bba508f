"""Who must go, and where: each rule of choosing victims and nodes, and the words when nobody will do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scheduler_builders import anti, columns, info, node

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import decide
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.preemption import Budget, Preemption, plan_preemption, read_budget
from tiphys.scheduler.profile import default_profile


def running(name: str, priority: int = 0, *, started: str = "", **more: Any) -> PodInfo:
    made = info(name, priority=priority, **more)
    made.pod["status"] = {"startTime": started} if started else {}
    return made


def place(cluster: Columns, **pods: list[PodInfo]) -> None:
    for name, infos in pods.items():
        for one in infos:
            cluster.add_pod(one, name)


def plan(cluster: Columns, pod: PodInfo, *budgets: Budget, turn: int = 0) -> Preemption:
    profile = default_profile()
    decision = decide(pod, cluster, profile)
    assert not decision.node
    before = (cluster.used.copy(), {uid: where for uid, (_, where) in cluster.placed.items()})
    planned = plan_preemption(pod, cluster, profile, decision, budgets, turn=turn)
    assert np.array_equal(before[0], cluster.used)
    assert before[1] == {uid: where for uid, (_, where) in cluster.placed.items()}
    return planned


def names(planned: Preemption) -> list[str]:
    return [one.pod["metadata"]["name"] for one in planned.victims]


def budget(app: str, allowed: int) -> Budget:
    pdb = {
        "metadata": {"name": app, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed},
    }
    made = read_budget(pdb)
    assert made is not None
    return made


def test_only_lower_priority_and_no_more_than_needed() -> None:
    cluster = columns(node("a", cpu="4"))
    ranks = {"equal": 5, "mid": 3, "low": 1, "lowest": 0}
    place(cluster, a=[running(name, priority, cpu="1") for name, priority in ranks.items()])
    assert names(plan(cluster, info(priority=5, cpu="2"))) == ["low", "lowest"]


def test_the_longest_running_of_equals_stays() -> None:
    cluster = columns(node("a", cpu="2"))
    old = running("old", cpu="1", started="2026-01-01T00:00:00Z")
    new = running("new", cpu="1", started="2026-01-02T00:00:00Z")
    place(cluster, a=[old, new])
    assert names(plan(cluster, info(priority=1, cpu="1"))) == ["new"]


NODES: dict[str, tuple[dict[str, list[PodInfo]], list[Budget], str]] = {
    "fewest broken budgets": (
        {"a": [running("a1", 1, cpu="4", labels={"app": "db"})], "b": [running("b1", 4, cpu="4")]},
        [budget("db", 0)],
        "b",
    ),
    "budget not yet used up": (
        {"a": [running("a1", 1, cpu="4", labels={"app": "db"})], "b": [running("b1", 4, cpu="4")]},
        [budget("db", 1)],
        "a",
    ),
    "lowest top priority": (
        {"a": [running("a1", 3, cpu="4")], "b": [running("b1", 2, cpu="4")]},
        [],
        "b",
    ),
    "lowest sum": (
        {
            "a": [running("a1", 2, cpu="2"), running("a2", 2, cpu="2")],
            "b": [running("b1", 2, cpu="2"), running("b2", 1, cpu="2")],
        },
        [],
        "b",
    ),
    "fewest victims, though of negative priority": (
        {
            "a": [running("a1", -2, cpu="2"), running("a2", -2, cpu="2")],
            "b": [running("b1", -2, cpu="4")],
        },
        [],
        "b",
    ),
    "latest start": (
        {
            "a": [running("a1", 1, cpu="4", started="2026-01-01T00:00:00Z")],
            "b": [running("b1", 1, cpu="4", started="2026-01-05T00:00:00Z")],
        },
        [],
        "b",
    ),
}


@pytest.mark.parametrize("case", NODES.values(), ids=NODES.keys())
@pytest.mark.parametrize("turn", [0, 1])
def test_chooses_the_node_where_it_costs_least(
    case: tuple[dict[str, list[PodInfo]], list[Budget], str], turn: int
) -> None:
    pods, budgets, expected = case
    cluster = columns(node("a", cpu="4"), node("b", cpu="4"))
    place(cluster, **pods)
    assert plan(cluster, info(priority=10, cpu="4"), *budgets, turn=turn).node == expected


def test_pods_whose_loss_breaks_a_budget_stay_if_they_can() -> None:
    cluster = columns(node("a", cpu="2"))
    guarded = running("guarded", 0, cpu="1", labels={"app": "db"})
    place(cluster, a=[running("important", 5, cpu="1"), guarded])
    assert names(plan(cluster, info(priority=10, cpu="1"), budget("db", 0))) == ["important"]
    assert names(plan(cluster, info(priority=10, cpu="1"), budget("db", 1))) == ["guarded"]


MESSAGES: dict[str, tuple[list[dict[str, Any]], dict[str, list[PodInfo]], dict[str, Any], str]] = {
    "no lower ones, and a taint": (
        [node("a", cpu="1"), node("b", taints=[{"key": "k", "effect": "NoSchedule"}])],
        {"a": [running("same", 3, cpu="1")]},
        {"priority": 3, "cpu": "1"},
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling.",
    ),
    "larger than the node": (
        [node("a", cpu="1")],
        {"a": [running("low", cpu="1")]},
        {"priority": 3, "cpu": "2"},
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    ),
    "still too little": (
        [node("a", cpu="2")],
        {"a": [running("low", cpu="1"), running("high", 9, cpu="1")]},
        {"priority": 3, "cpu": "2"},
        "preemption: 0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "never": (
        [node("a", cpu="1")],
        {"a": [running("low", cpu="1")]},
        {"priority": 3, "cpu": "1", "preemptionPolicy": "Never"},
        "preemption: not eligible due to preemptionPolicy=Never.",
    ),
}


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES.keys())
def test_says_why_not(
    case: tuple[list[dict[str, Any]], dict[str, list[PodInfo]], dict[str, Any], str],
) -> None:
    nodes, pods, pod, message = case
    cluster = columns(*nodes)
    place(cluster, **pods)
    planned = plan(cluster, info(**pod))
    assert (planned.node, planned.victims) == ("", ())
    assert planned.message == message


def test_waits_for_victims_that_still_terminate() -> None:
    cluster = columns(node("a", cpu="1"))
    victim = running("victim", cpu="1")
    place(cluster, a=[victim])
    pod = info(priority=5, cpu="1")
    pod.nominated = "a"
    assert plan(cluster, pod).node == "a"
    victim.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    reason = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    victim.pod["status"]["conditions"] = [reason]
    planned = plan(cluster, pod)
    assert planned.message == "preemption: not eligible due to a terminating pod on the nominated node."
    assert planned.keeps_nomination


def test_a_pod_that_others_keep_away_from_is_a_victim_only_where_it_stands() -> None:
    cluster = columns(node("a"), node("b"))
    lonely = running("lonely", labels={"app": "x"}, affinity=anti("web"))
    place(cluster, a=[lonely], b=[running("safe", 9, labels={"app": "x"}, affinity=anti("web"))])
    planned = plan(cluster, info("web", priority=5, labels={"app": "web"}))
    assert (planned.node, names(planned)) == ("a", ["lonely"])


def test_promised_nodes_count_for_lower_and_equal_priority() -> None:
    cluster, profile = columns(node("a", cpu="1")), default_profile()
    promised = info("promised", priority=5, cpu="1")
    cluster.nominate(promised, "a")
    for priority, fits in ((4, False), (5, False), (6, True)):
        decision = decide(info(priority=priority, cpu="1"), cluster, profile)
        assert bool(decision.node) is fits
        if not fits:
            assert decision.message() == "0/1 nodes are available: 1 Insufficient cpu."
    promised.nominated = "a"
    assert decide(promised, cluster, profile).node == "a"
    assert not cluster.placed


def test_a_promise_is_taken_first_though_another_node_is_emptier() -> None:
    cluster = columns(node("a"), node("b"))
    place(cluster, a=[running("busy", cpu="3")])
    pod = info("p", cpu="1")
    pod.nominated = "a"
    assert decide(pod, cluster, default_profile()).node == "a"
