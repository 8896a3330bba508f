"""What upstream's serial scheduling tests ask beyond conformance, step by step, on nodes without kubelets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tiphys.apimachinery.errors import Invalid
from tiphys.apimachinery.meta import GVR, Object, get_condition
from tiphys.client.kinds import NODES, PODS, PRIORITY_CLASSES, REPLICA_SETS
from tiphys.testing import Cluster

GOODS = "example.com/fake"
ZONE = "kubernetes.io/e2e-pts"
RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses")
BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")


def pod(name: str, labels: dict[str, str] | None = None, *, finalizers: Any = (), **spec: Any) -> Object:
    amounts = {key: str(value) for key, value in spec.pop("amounts", {}).items()}
    container = {"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}
    meta = {"name": name, "namespace": "default", "labels": labels or {}, "finalizers": list(finalizers)}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec},
    }  # fmt: skip


def running(item: Object | None) -> bool:
    return bool(item and item["status"].get("phase") == "Running")


def stuck(item: Object | None) -> bool:
    return ((item and get_condition(item, "PodScheduled")) or {}).get("reason") == "Unschedulable"


async def run(cluster: Cluster, made: Object) -> str:
    """Create a pod, wait until it runs and return its node."""
    await cluster.client.create(PODS, made)
    found = await cluster.wait_for(PODS, made["metadata"]["name"], "default", running)
    assert found is not None
    return str(found["spec"]["nodeName"])


async def refused(cluster: Cluster, made: Object) -> str:
    await cluster.client.create(PODS, made)
    found = await cluster.wait_for(PODS, made["metadata"]["name"], "default", stuck)
    assert found is not None
    return str((get_condition(found, "PodScheduled") or {})["message"])


async def offer(cluster: Cluster, node: str, **amounts: str) -> None:
    amounts = {name.replace("__", "/").replace("_", "."): amount for name, amount in amounts.items()}
    status = {"capacity": amounts, "allocatable": amounts}
    await cluster.client.patch(NODES, node, "", {"status": status}, subresource="status")


async def goods(cluster: Cluster, *nodes: str, amount: int = 10) -> None:
    """Let nodes offer goods, each in a zone of its own."""
    for node in nodes:
        await offer(cluster, node, example_com__fake=str(amount))
        await cluster.client.patch(NODES, node, "", {"metadata": {"labels": {ZONE: node}}})


async def priorities(cluster: Cluster, **values: int) -> None:
    for name, value in values.items():
        meta = {"name": name}
        kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        await cluster.client.create(PRIORITY_CLASSES, {**kind, "metadata": meta, "value": value})


def spread(label: str, when: str = "DoNotSchedule") -> list[Object]:
    selector = {"matchExpressions": [{"key": label, "operator": "Exists"}]}
    return [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": when, "labelSelector": selector}]


def replicas(name: str, count: int, template: Object) -> Object:
    labels = template["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": count, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }  # fmt: skip


async def places(cluster: Cluster, name: str, count: int) -> Counter[str]:
    await cluster.wait_for(
        REPLICA_SETS, name, "default", lambda one: bool(one and one["status"].get("readyReplicas") == count)
    )
    found = (await cluster.client.list(PODS, "default"))["items"]
    return Counter(one["spec"]["nodeName"] for one in found)


async def test_local_storage_is_not_promised_twice() -> None:
    async with Cluster(nodes=2) as cluster:
        for index in range(4):
            await run(cluster, pod(f"fill-{index}", amounts={"ephemeral-storage": 50 * 1024**3}))
        message = await refused(cluster, pod("additional", amounts={"ephemeral-storage": 1}))
        assert message.startswith("0/2 nodes are available: 2 Insufficient ephemeral-storage. ")


async def test_overhead_counts() -> None:
    async with Cluster(nodes=1) as cluster:
        await goods(cluster, "node-1", amount=1000)
        made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"}}
        overhead = {"podFixed": {GOODS: "250"}}
        await cluster.client.create(RUNTIME_CLASSES, {**made, "handler": "heavy", "overhead": overhead})
        await run(cluster, pod("filler", amounts={GOODS: 700}))
        heavy = pod("additional", amounts={GOODS: 200}, runtimeClassName="heavy")
        assert (await refused(cluster, heavy)).startswith(
            f"0/1 nodes are available: 1 Insufficient {GOODS}. "
        )
        await run(cluster, pod("light", amounts={GOODS: 200}))


async def test_gates_hold_pods_until_all_are_gone() -> None:
    async with Cluster(nodes=1) as cluster:
        template = pod(
            "", {"app": "g"}, schedulingGates=[{"name": "example.com/foo"}, {"name": "example.com/bar"}]
        )
        await cluster.client.create(REPLICA_SETS, replicas("gated", 3, template))
        await cluster.wait_for(
            REPLICA_SETS, "gated", "default", lambda one: bool(one and one["status"].get("replicas") == 3)
        )
        names = [one["metadata"]["name"] for one in (await cluster.client.list(PODS, "default"))["items"]]
        for gates in ([{"name": "example.com/bar"}], []):
            for name in names:
                found = await cluster.client.get(PODS, name, "default")
                condition = get_condition(found, "PodScheduled") or {}
                assert (condition["reason"], found["spec"].get("nodeName")) == ("SchedulingGated", None)
                await cluster.client.update(
                    PODS, {**found, "spec": {**found["spec"], "schedulingGates": gates}}
                )
        for name in names:
            await cluster.wait_for(PODS, name, "default", running)


@pytest.mark.parametrize("when", ["DoNotSchedule", "ScheduleAnyway"])
async def test_pods_are_spread_evenly_whether_they_must_or_would(when: str) -> None:
    async with Cluster(nodes=2) as cluster:
        await goods(cluster, "node-1", "node-2")
        template = pod("", {"e2e-pts": ""}, topologySpreadConstraints=spread("e2e-pts", when))
        await cluster.client.create(REPLICA_SETS, replicas("even", 4, template))
        assert await places(cluster, "even", 4) == {"node-1": 2, "node-2": 2}


async def test_preemption_minds_how_pods_are_spread() -> None:
    async with Cluster(nodes=2) as cluster:
        await goods(cluster, "node-1", "node-2")
        await priorities(cluster, high=1000, medium=100, low=1)
        label = {"e2e-pts-preemption": ""}
        await run(cluster, pod("high", label, amounts={GOODS: 9}, priorityClassName="high"))
        for index in (1, 2, 3):
            await run(cluster, pod(f"low-{index}", label, amounts={GOODS: 3}, priorityClassName="low"))
        rule = spread("e2e-pts-preemption")
        medium = pod("medium", label, amounts={GOODS: 3}, priorityClassName="medium")
        medium["spec"]["topologySpreadConstraints"] = rule
        await run(cluster, medium)
        left = [one["metadata"]["name"] for one in (await cluster.client.list(PODS, "default"))["items"]]
        assert sorted(name.partition("-")[0] for name in left) == ["high", "low", "medium"]


async def test_a_budget_is_kept_where_another_node_has_room_to_make() -> None:
    async with Cluster(nodes=2) as cluster:
        await goods(cluster, "node-1", "node-2")
        await priorities(cluster, high=1000, low=1)
        where = {}
        for name in ("guarded", "free"):
            made = pod(name, {"app": name}, amounts={GOODS: 8}, priorityClassName="low")
            where[name] = await run(cluster, made)
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
        meta = {"name": "b", "namespace": "default"}
        await cluster.client.create(BUDGETS, {**budget, "metadata": meta, "spec": spec})
        await cluster.wait_for(
            BUDGETS,
            "b",
            "default",
            lambda one: bool(one and one.get("status", {}).get("currentHealthy") == 1),
        )
        assert await run(cluster, pod("high", amounts={GOODS: 8}, priorityClassName="high")) == where["free"]
        await cluster.wait_for(PODS, "free", "default", lambda one: one is None)
        assert running(await cluster.client.get(PODS, "guarded", "default"))


async def test_a_victim_that_may_not_go_yet_says_why_it_must() -> None:
    async with Cluster(nodes=1) as cluster:
        await goods(cluster, "node-1", amount=1)
        await priorities(cluster, high=1000, low=1)
        victim = pod("victim", amounts={GOODS: 1}, priorityClassName="low", finalizers=["example.com/f"])
        await run(cluster, victim)
        await cluster.client.create(PODS, pod("preemptor", amounts={GOODS: 1}, priorityClassName="high"))
        found = await cluster.wait_for(
            PODS, "victim", "default", lambda one: bool(one and one["metadata"].get("deletionTimestamp"))
        )
        assert found is not None
        condition = get_condition(found, "DisruptionTarget") or {}
        assert (condition["status"], condition["reason"], condition["message"]) == (
            "True",
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        )
        await cluster.client.patch(PODS, "victim", "default", {"metadata": {"finalizers": None}})
        await cluster.wait_for(PODS, "preemptor", "default", running)


async def test_the_node_is_preferred_whose_soft_taints_are_tolerated() -> None:
    async with Cluster(nodes=3) as cluster:
        taints = [
            {"key": f"kubernetes.io/e2e-{index}", "value": "v", "effect": "PreferNoSchedule"}
            for index in range(10)
        ]
        for node in ("node-1", "node-2", "node-3"):
            own = [{**taint, "value": node} for taint in taints]
            await cluster.client.patch(NODES, node, "", {"spec": {"taints": own}})
        tolerations = [{**taint, "value": "node-2", "operator": "Equal"} for taint in taints]
        assert await run(cluster, pod("with-tolerations", tolerations=tolerations)) == "node-2"


async def test_a_priority_keeps_its_value() -> None:
    async with Cluster(nodes=0, scheduler=False, controllers=False) as cluster:
        await priorities(cluster, p1=1)
        fixed = r"may not be changed in an update"
        with pytest.raises(Invalid, match=fixed):
            await cluster.client.patch(PRIORITY_CLASSES, "p1", "", {"value": 10})
        live = await cluster.client.get(PRIORITY_CLASSES, "p1")
        with pytest.raises(Invalid, match=fixed):
            await cluster.client.update(PRIORITY_CLASSES, {**live, "value": 10})
        described = await cluster.client.patch(PRIORITY_CLASSES, "p1", "", {"description": "updated"})
        assert (described["value"], described["description"]) == (1, "updated")
