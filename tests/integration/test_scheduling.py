"""Where pods may go and who makes room: resources, selectors, host ports, priorities; several schedulers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.meta import Object, controller_of, get_condition
from tiphys.apimachinery.quantity import parse
from tiphys.client.kinds import EVENTS, NODES, PODS, PRIORITY_CLASSES, REPLICA_SETS
from tiphys.scheduler.config import Configuration, ProfileSettings, Switches
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing import Cluster, Simulation, simulate

pytestmark = pytest.mark.slow

GOODS = "boats.example/goods"
NO_CLAIMS = "no new claims to deallocate"


def pod(name: str, namespace: str = "default", *, goods: int = 0, **spec: Any) -> Object:
    ports = spec.pop("ports", [])
    amounts = {GOODS: str(goods)} if goods else {}
    container = {
        "name": "c", "image": "i", "ports": ports, "resources": {"requests": amounts, "limits": amounts},
    }  # fmt: skip
    metadata = {"name": name, "namespace": namespace, "labels": {"name": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **spec},
    }


def running(item: Object | None) -> bool:
    return bool(item) and item["status"].get("phase") == "Running"


def unschedulable(item: Object | None) -> bool:
    return ((item and get_condition(item, "PodScheduled")) or {}).get("reason") == "Unschedulable"


def gone(item: Object | None) -> bool:
    return item is None


async def offer(cluster: Cluster, name: str, amount: int) -> None:
    """Let a node offer goods, as a device plugin would."""
    goods = {GOODS: str(amount)}
    status = {"capacity": goods, "allocatable": goods}
    await cluster.client.patch(NODES, name, "", {"status": status}, subresource="status")


async def run_pod(cluster: Cluster, made: Object) -> Object:
    await cluster.client.create(PODS, made)
    meta = made["metadata"]
    found = await cluster.wait_for(PODS, meta["name"], meta["namespace"], running)
    assert found is not None
    return found


async def refused(cluster: Cluster, made: Object) -> str:
    """Create a pod that finds no place, and return why."""
    await cluster.client.create(PODS, made)
    name = made["metadata"]["name"]
    found = await cluster.wait_for(PODS, name, "default", unschedulable)
    assert found is not None
    message = str((get_condition(found, "PodScheduled") or {})["message"])
    event = await told(cluster, name, "FailedScheduling")
    assert (event["type"], event["message"]) == ("Warning", message)
    return message


async def told(cluster: Cluster, name: str, reason: str) -> Object:
    """Wait for an event about a pod."""
    async with asyncio.timeout(10), cluster.client.watch(EVENTS, "default") as events:
        async for event in events:
            found = event.object
            if found.get("reason") == reason and found["involvedObject"]["name"] == name:
                return found
    raise AssertionError("the watch ended")


async def priorities(cluster: Cluster, **values: int) -> None:
    for name, value in values.items():
        await cluster.client.create(
            PRIORITY_CLASSES,
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
            },
        )


def on(node: str) -> Object:
    """Return an affinity to one node by its name."""
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    term = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}


def on_label(node: str) -> Object:
    """Return an affinity to the node that is labelled with its own name."""
    expressions = [{"key": "node", "operator": "In", "values": [node]}]
    term = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}


async def test_what_is_full_takes_no_more() -> None:
    """Seven tenths of each node's processors are taken, half of the largest is asked for."""

    def asking(name: str, milli: int, **spec: Any) -> Object:
        made = pod(name, **spec)
        amounts = {"cpu": f"{milli}m"}
        made["spec"]["containers"][0]["resources"] = {"limits": amounts, "requests": amounts}
        return made

    async with Cluster(nodes=2) as cluster:
        free = {}
        for node in (await cluster.client.list(NODES))["items"]:
            name = node["metadata"]["name"]
            free[name] = parse(node["status"]["allocatable"]["cpu"]).milli()
            await cluster.client.patch(NODES, name, "", {"metadata": {"labels": {"node": name}}})
        for name, milli in free.items():
            filler = asking(f"filler-{name}", milli * 7 // 10, affinity=on_label(name))
            assert (await run_pod(cluster, filler))["spec"]["nodeName"] == name
        full = await refused(cluster, asking("additional-pod", max(free.values()) // 2))
        start = f"0/2 nodes are available: 2 Insufficient cpu. {NO_CLAIMS}"
        assert full.startswith(f"{start}, preemption: 0/2 nodes")
        pods = (await cluster.client.list(PODS, "default"))["items"]
        assert [one["metadata"]["name"] for one in pods if not one["spec"].get("nodeName")] == [
            "additional-pod"
        ]
        await cluster.client.delete(PODS, "filler-node-1", "default")
        await cluster.wait_for(PODS, "additional-pod", "default", running)


async def test_a_node_selector_is_respected() -> None:
    async with Cluster(nodes=2) as cluster:
        labels = {"kubernetes.io/e2e-1": "42"}
        none = await refused(cluster, pod("restricted", nodeSelector=labels))
        assert none == (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. "
            f"{NO_CLAIMS}, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        )
        await cluster.client.patch(NODES, "node-2", "", {"metadata": {"labels": labels}})
        found = await cluster.wait_for(PODS, "restricted", "default", running)
        assert found is not None
        assert found["spec"]["nodeName"] == "node-2"
        placed = await run_pod(cluster, pod("with-labels", nodeSelector=labels))
        assert placed["spec"]["nodeName"] == "node-2"


async def test_a_port_of_every_address_clashes_with_one_of_some() -> None:
    async with Cluster(nodes=1) as cluster:
        port = {"containerPort": 80, "hostPort": 54322, "protocol": "TCP"}
        await run_pod(cluster, pod("pod4", ports=[{**port, "hostIP": "0.0.0.0"}]))
        taken = await refused(cluster, pod("pod5", ports=[{**port, "hostIP": "172.28.0.1"}]))
        assert taken.startswith(
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. "
        )
        udp = {**port, "protocol": "UDP", "hostIP": "172.28.0.1"}
        await run_pod(cluster, pod("other-protocol", ports=[udp]))


@pytest.mark.parametrize(
    ("namespace", "name", "priority"),
    [("default", "preemptor", "high"), ("kube-system", "critical", "system-cluster-critical")],
)
async def test_the_least_important_pod_makes_room(namespace: str, name: str, priority: str) -> None:
    async with Cluster(nodes=2) as cluster:
        await priorities(cluster, low=1, medium=100, high=1000)
        for node, own in (("node-1", "low"), ("node-2", "medium")):
            await offer(cluster, node, 3)
            await run_pod(cluster, pod(own, goods=2, priorityClassName=own, affinity=on(node)))
        placed = await run_pod(cluster, pod(name, namespace, goods=2, priorityClassName=priority))
        assert placed["spec"]["nodeName"] == "node-1"
        await cluster.wait_for(PODS, "low", "default", gone)
        stays = await cluster.client.get(PODS, "medium", "default")
        assert "deletionTimestamp" not in stays["metadata"]


def test_replica_sets_are_preempted_no_more_than_needed() -> None:
    """Two of them make room, once each; seconds later no more pods have been made."""

    async def story(simulation: Simulation) -> None:
        async with Cluster(nodes=1, clock=simulation.clock) as cluster:
            await offer(cluster, "node-1", 1000)
            await priorities(cluster, p1=1, p2=2, p3=3, p4=4)
            for name, goods, priority in (("pod1", 200, "p1"), ("pod2", 300, "p2"), ("pod3", 450, "p3")):
                await _replica_set(cluster, name, goods, priority)
            here = {"kubernetes.io/hostname": "node-1"}
            await cluster.client.create(
                PODS, pod("pod4", goods=500, priorityClassName="p4", nodeSelector=here)
            )
            await cluster.wait_for(PODS, "pod4", "default", lambda item: bool(item["spec"].get("nodeName")))
            await _count_pods(cluster, [2, 2, 1])
            await asyncio.sleep(5)
            seen = await _count_pods(cluster, [2, 2, 1])
            assert [len(uids) for uids in seen.values()] == [2, 2, 1]
            pods = (await cluster.client.list(PODS, "default"))["items"]
            waiting = [one for one in pods if not running(one)]
            assert {(controller_of(one) or {})["name"] for one in waiting} == {"rs-pod1", "rs-pod2"}

    simulate(story, seed=1)


async def _replica_set(cluster: Cluster, name: str, goods: int, priority: str) -> None:
    template = pod(name, goods=goods, priorityClassName=priority)
    labels = {"name": name}
    made = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": f"rs-{name}", "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }
    await cluster.client.create(REPLICA_SETS, made)
    await cluster.wait_for(
        REPLICA_SETS,
        f"rs-{name}",
        "default",
        lambda item: bool(item) and item["status"].get("availableReplicas") == 1,
    )


async def _count_pods(cluster: Cluster, least: list[int]) -> dict[str, set[str]]:
    """Return the UIDs of all pods that sets ever made, once there are at least so many of each."""
    seen: dict[str, set[str]] = {"pod1": set(), "pod2": set(), "pod3": set()}
    pods = (await cluster.client.list(PODS, "default"))["items"]
    end = max(int(one["metadata"]["resourceVersion"]) for one in pods)
    async with (
        asyncio.timeout(20),
        cluster.client.watch(PODS, "default", resource_version="1") as events,
    ):
        async for event in events:
            meta = event.object["metadata"]
            if (name := (meta.get("labels") or {}).get("name")) in seen:
                seen[name].add(meta["uid"])
            enough = all(len(uids) >= count for uids, count in zip(seen.values(), least, strict=True))
            if enough and int(meta["resourceVersion"]) >= end:
                break
    return seen


async def test_each_profile_places_its_own_and_speaks_for_itself() -> None:
    # A cordoned node gets a taint of that name, too.
    off = frozenset({"NodeUnschedulable", "TaintToleration"})
    spoilt = ProfileSettings("spoilt", {"filter": Switches(disabled=off)})
    options = SchedulerOptions(configuration=Configuration((ProfileSettings("strict"), spoilt)))
    async with Cluster(nodes=1, scheduler=False) as cluster:
        await _with_scheduler(cluster, options)


async def _with_scheduler(cluster: Cluster, options: SchedulerOptions) -> None:
    scheduler = Scheduler(cluster.client_for("system:kube-scheduler"), options)
    task = asyncio.create_task(scheduler.run())
    try:
        await cluster.client.patch(NODES, "node-1", "", {"spec": {"unschedulable": True}})
        await run_pod(cluster, pod("lucky", schedulerName="spoilt"))
        cordoned = await refused(cluster, pod("unlucky", schedulerName="strict"))
        assert cordoned.startswith("0/1 nodes are available: 1 node(s) were unschedulable. ")
        placed, failed = (
            await told(cluster, "lucky", "Scheduled"),
            await told(cluster, "unlucky", "FailedScheduling"),
        )
        assert [one["reportingComponent"] for one in (placed, failed)] == ["spoilt", "strict"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
