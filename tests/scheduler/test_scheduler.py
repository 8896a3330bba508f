"""The scheduler against a real API server in memory: nodes are objects without kubelets."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
from scheduler_builders import node, pod

from tiphys.apimachinery.clock import Clock, FakeClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apimachinery.meta import GVR, Object, get_condition
from tiphys.client.kinds import (
    EVENTS,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_CLASSES,
    STORAGE_CLASSES,
)
from tiphys.client.rest import Client
from tiphys.scheduler.binder import SELECTED_NODE, Assumed
from tiphys.scheduler.config import Configuration
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing.cluster import Cluster

TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
TAIL = "no new claims to deallocate, preemption: 0/1 nodes are available: 1"
HELPLESS = f"{TAIL} Preemption is not helpful for scheduling."


class Refusing(Client):
    """A client whose first Bindings fail; with ``hold``, the answers come only when it is set."""

    refuse = 0
    hold: asyncio.Event | None = None
    started: asyncio.Semaphore

    async def post(self, gvr: GVR, name: str, namespace: str, subresource: str, body: Object) -> Object:
        self.started.release()
        if self.hold is not None:
            await self.hold.wait()
        if self.refuse:
            self.refuse -= 1
            raise InternalError("try again")
        return await super().post(gvr, name, namespace, subresource, body)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=0, controllers=False, scheduler=False) as made:
        await made.wait_for(GVR("", "v1", "namespaces"), "default")
        await made.client.create(GVR("", "v1", "serviceaccounts"), account())
        made.wait_for = partial(made.wait_for, timeout_s=10.0)  # type: ignore[method-assign]
        yield made


def account() -> Object:
    return {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"},
    }  # fmt: skip


def refusing(cluster: Cluster) -> Refusing:
    client = cluster.client_for("system:kube-scheduler")
    client.__class__ = Refusing
    assert isinstance(client, Refusing)
    client.started = asyncio.Semaphore(0)
    return client


@asynccontextmanager
async def scheduling(
    cluster: Cluster, client: Client | None = None, clock: Clock | None = None, **options: Any
) -> AsyncIterator[None]:
    client = client or cluster.client_for("system:kube-scheduler")
    scheduler = Scheduler(client, SchedulerOptions(binders=4, **options), clock)
    running = asyncio.create_task(scheduler.run())
    try:
        yield
        if running.done():
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def add_node(cluster: Cluster, name: str, **more: Any) -> None:
    made = {"apiVersion": "v1", "kind": "Node", **node(name, **more)}
    await cluster.client.create(NODES, made)
    # Every new node is tainted as not ready; there is no controller here to take that off.
    await cluster.client.patch(NODES, name, "", {"spec": {"taints": more.get("taints") or None}})


async def add_pod(cluster: Cluster, name: str, **spec: Any) -> Object:
    made = pod(name, **spec)
    del made["metadata"]["uid"]
    return await cluster.client.create(PODS, made)


def bound(name: str = "") -> Callable[[Object | None], bool]:
    def test(found: Object | None) -> bool:
        where = (found or {}).get("spec", {}).get("nodeName")
        return bool(where == name if name else where)

    return test


def unschedulable(found: Object | None) -> bool:
    condition = get_condition(found, "PodScheduled") if found else None
    return bool(condition and condition["status"] == "False" and condition["reason"] == "Unschedulable")


async def wait_message(cluster: Cluster, name: str) -> str:
    found = await cluster.wait_for(PODS, name, "default", unschedulable)
    assert found is not None
    condition = get_condition(found, "PodScheduled")
    assert condition is not None
    return str(condition["message"])


async def wait_event(cluster: Cluster, reason: str, pod_name: str) -> Object:
    fields = f"reason={reason},involvedObject.name={pod_name}"
    async with asyncio.timeout(10):
        while True:
            found = await cluster.client.list(EVENTS, "default", field_selector=fields)
            if found["items"]:
                return dict(found["items"][0])
            async with cluster.client.watch(
                EVENTS, "default", resource_version=found["metadata"]["resourceVersion"]
            ) as events:
                async for _ in events:
                    break


async def test_what_is_expected_is_taken_back_when_it_does_not_come(cluster: Cluster) -> None:
    await add_node(cluster, "a", labels={"disk": "yes"})
    late = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
        "provisioner": "example.com/disks", "volumeBindingMode": "WaitForFirstConsumer",
    }  # fmt: skip
    await cluster.client.create(STORAGE_CLASSES, late)
    await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("data", storageClassName="late"))
    seen: list[str] = []
    async with cluster.client.watch(PODS, "default") as events, scheduling(cluster):
        await add_pod(
            cluster, "web", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        )
        async for event in events:
            if event.type != "MODIFIED":
                continue
            seen.append((event.object["status"].get("nominatedNodeName")) or "")
            if len(seen) == 1:  # whoever makes volumes gives the node back
                patch = {"metadata": {"annotations": {SELECTED_NODE: None}}}
                await cluster.wait_for(
                    PERSISTENT_VOLUME_CLAIMS, "data", "default",
                    lambda one: SELECTED_NODE in ((one or {})["metadata"].get("annotations") or {}),
                )  # fmt: skip
                await cluster.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", "default", patch)
            if len(seen) == 2:
                break
    assert seen == ["a", ""]


async def test_binds_and_says_so(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    async with scheduling(cluster):
        await add_pod(cluster, "web")
        found = await cluster.wait_for(PODS, "web", "default", bound("a"))
        assert (get_condition(found or {}, "PodScheduled") or {})["status"] == "True"
        event = await wait_event(cluster, "Scheduled", "web")
        assert event["message"] == "Successfully assigned default/web to a"
        assert event["type"] == "Normal"


async def test_labels_that_a_binding_brings_count_at_once(cluster: Cluster) -> None:
    zone = "topology.kubernetes.io/zone"
    await add_node(cluster, "a", labels={zone: "z1"})
    term = {"labelSelector": {"matchLabels": {zone: "z1"}}, "topologyKey": zone}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    async with scheduling(cluster):
        await add_pod(cluster, "follower", affinity=affinity)
        assert "didn't match pod affinity rules" in await wait_message(cluster, "follower")
        await add_pod(cluster, "leader")  # gets the label of its node's zone with its node
        await cluster.wait_for(PODS, "follower", "default", bound("a"))


async def test_what_has_been_read_is_told_before_the_first_decision(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    await add_pod(cluster, "web")
    at: list[str] = []
    client = refusing(cluster)
    async with scheduling(
        cluster, client, synced=lambda: at.append("synced" if client.started.locked() else "late")
    ):
        await cluster.wait_for(PODS, "web", "default", bound("a"))
    assert at == ["synced"]


async def test_events_give_way_while_pods_wait_to_be_tried(cluster: Cluster) -> None:
    client = refusing(cluster)
    client.hold = asyncio.Event()
    await add_node(cluster, "a")
    for index in range(12):
        await add_pod(cluster, f"p{index}")
    async with scheduling(cluster, client):
        await client.started.acquire()
        recorder = client.events("default-scheduler")
        assert recorder.urgent(), "the crew of four is busy, the rest waits"
        client.hold.set()
        for index in range(12):
            await wait_event(cluster, "Scheduled", f"p{index}")
        assert not recorder.urgent()


async def test_unschedulable_until_a_node_comes(cluster: Cluster) -> None:
    await add_node(cluster, "small", cpu="1")
    async with scheduling(cluster):
        await add_pod(cluster, "web", cpu="2")
        message = await wait_message(cluster, "web")
        assert message == f"0/1 nodes are available: 1 Insufficient cpu. {HELPLESS}"
        assert (await wait_event(cluster, "FailedScheduling", "web"))["message"] == message
        await add_node(cluster, "large", cpu="4")
        await cluster.wait_for(PODS, "web", "default", bound("large"))


async def test_no_nodes_at_all(cluster: Cluster) -> None:
    async with scheduling(cluster):
        await add_pod(cluster, "web")
        assert await wait_message(cluster, "web") == "no nodes available to schedule pods"
        await add_node(cluster, "a")
        await cluster.wait_for(PODS, "web", "default", bound("a"))


async def test_a_deleted_pod_makes_room(cluster: Cluster) -> None:
    await add_node(cluster, "a", cpu="1")
    async with scheduling(cluster):
        await add_pod(cluster, "first", cpu="1")
        await cluster.wait_for(PODS, "first", "default", bound())
        await add_pod(cluster, "second", cpu="1")
        victimless = f"{TAIL} No preemption victims found for incoming pod."
        full = f"0/1 nodes are available: 1 Insufficient cpu. {victimless}"
        assert await wait_message(cluster, "second") == full
        await cluster.client.delete(PODS, "first", "default", grace_period_s=0)
        await cluster.wait_for(PODS, "second", "default", bound("a"))


async def test_a_removed_taint_lets_pods_in(cluster: Cluster) -> None:
    await add_node(cluster, "a", taints=[TAINT])
    async with scheduling(cluster):
        await add_pod(cluster, "web")
        assert "untolerated taint" in await wait_message(cluster, "web")
        await cluster.client.patch(NODES, "a", "", {"spec": {"taints": None}})
        await cluster.wait_for(PODS, "web", "default", bound("a"))


async def test_failed_bindings_are_tried_again(cluster: Cluster) -> None:
    await add_node(cluster, "a", cpu="1")
    client = refusing(cluster)
    client.refuse = 1
    clock = FakeClock()
    async with scheduling(cluster, client, clock):
        await add_pod(cluster, "web", cpu="1")
        await client.started.acquire()
        clock.advance(60)  # past the backoff; the other pod wakes the loop
        await add_pod(cluster, "other")
        await cluster.wait_for(PODS, "web", "default", bound("a"))
        await cluster.wait_for(PODS, "other", "default", bound("a"))


async def test_a_new_instance_takes_over_what_was_assumed(cluster: Cluster) -> None:
    await add_node(cluster, "a", cpu="2")
    client = refusing(cluster)
    client.hold = asyncio.Event()
    for name in ("pod-1", "pod-2", "pod-3"):
        await add_pod(cluster, name, cpu="1")
    async with scheduling(cluster, client):
        async with asyncio.timeout(10):
            for _ in range(2):
                await client.started.acquire()
    async with scheduling(cluster):
        for name in ("pod-1", "pod-2"):
            await cluster.wait_for(PODS, name, "default", bound("a"))
        assert "Insufficient cpu" in await wait_message(cluster, "pod-3")


async def test_every_scheduler_has_its_own_pods(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    async with scheduling(cluster, scheduler_name="mine"):
        await add_pod(cluster, "theirs")
        await add_pod(cluster, "ours", schedulerName="mine")
        await cluster.wait_for(PODS, "ours", "default", bound("a"))
        assert not bound()(await cluster.client.get(PODS, "theirs", "default"))
        async with scheduling(cluster):
            await cluster.wait_for(PODS, "theirs", "default", bound("a"))
        assert (await wait_event(cluster, "Scheduled", "ours"))["reportingComponent"] == "mine"


async def test_gates_hold_a_pod_until_they_are_gone(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    async with scheduling(cluster):
        gated = await add_pod(cluster, "gated", schedulingGates=[{"name": "example.com/wait"}])
        condition = get_condition(gated, "PodScheduled") or {}
        assert condition["reason"] == "SchedulingGated"
        assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"
        await add_pod(cluster, "free")
        await cluster.wait_for(PODS, "free", "default", bound("a"))
        assert not bound()(await cluster.client.get(PODS, "gated", "default"))
        await cluster.client.patch(PODS, "gated", "default", {"spec": {"schedulingGates": []}})
        await cluster.wait_for(PODS, "gated", "default", bound("a"))


async def test_leader_election_lets_one_work(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    async with scheduling(cluster, leader_elect=True), scheduling(cluster, leader_elect=True):
        await add_pod(cluster, "web")
        await cluster.wait_for(PODS, "web", "default", bound("a"))
        lease = await cluster.wait_for(LEASES, "kube-scheduler", "kube-system")
        assert lease is not None


@pytest.mark.parametrize("delayed", [False, True])
async def test_who_waits_to_lead_has_read_the_cluster(cluster: Cluster, delayed: bool) -> None:
    read = asyncio.Event()
    settings = Configuration(delay_cache_until_active=delayed)
    await add_pod(cluster, "web", resources={"requests": {"cpu": "1"}})
    async with scheduling(cluster, leader_elect=True):
        await cluster.wait_for(LEASES, "kube-scheduler", "kube-system")
        client = cluster.client_for("system:kube-scheduler")
        options = SchedulerOptions(leader_elect=True, synced=read.set, configuration=settings)
        second = Scheduler(client, options)
        assert second.checks("healthz") == {"ping": None}
        running = asyncio.create_task(second.run())
        with pytest.raises(TimeoutError) if delayed else nullcontext():
            await asyncio.wait_for(read.wait(), 0.3 if delayed else 30)
        checks = {kind: second.checks(kind) for kind in ("healthz", "livez", "readyz")}
        told = list(second.pod_resources())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    unread = "handlers are not fully synchronized" if delayed else None
    assert checks == {
        "healthz": {"leaderElection": None},
        "livez": {"ping": None},
        "readyz": {"leaderElection": None, "shutdown": None, "sched-handler-sync": unread},
    }
    assert told == []
    assert second.checks("readyz")["shutdown"] == "process is shutting down"


async def add_priority(cluster: Cluster, name: str, value: int, **more: Any) -> None:
    made = {
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name}, "value": value, **more,
    }  # fmt: skip
    await cluster.client.create(PRIORITY_CLASSES, made)


async def test_preemption_end_to_end(cluster: Cluster) -> None:
    await add_node(cluster, "a", cpu="1")
    await add_priority(cluster, "high", 1000)
    async with scheduling(cluster):
        await add_pod(cluster, "low", cpu="1")
        await cluster.wait_for(PODS, "low", "default", bound("a"))
        await add_pod(cluster, "urgent", cpu="1", priorityClassName="high")
        victim = await cluster.wait_for(
            PODS, "low", "default", lambda found: bool((found or {})["metadata"].get("deletionTimestamp"))
        )
        condition = get_condition(victim or {}, "DisruptionTarget") or {}
        assert (condition["status"], condition["reason"]) == ("True", "PreemptionByScheduler")
        assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
        urgent = await cluster.wait_for(
            PODS, "urgent", "default", lambda found: (found or {})["status"].get("nominatedNodeName") == "a"
        )
        event = await wait_event(cluster, "Preempted", "low")
        assert event["message"] == f"Preempted by pod {(urgent or {})['metadata']['uid']} on node a"
        # The place is promised: a pod of lower priority does not slip in when the victim goes.
        await add_pod(cluster, "sneaky", cpu="1")
        await wait_message(cluster, "sneaky")
        await cluster.client.delete(PODS, "low", "default", grace_period_s=0)
        await cluster.wait_for(PODS, "urgent", "default", bound("a"))
        assert not bound()(await cluster.client.get(PODS, "sneaky", "default"))


async def test_claims_hold_a_pod_until_they_are_bound(cluster: Cluster) -> None:
    await add_node(cluster, "a", labels={"disk": "no"})
    await add_node(cluster, "b", labels={"disk": "yes"})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    async with scheduling(cluster):
        await add_pod(cluster, "web", volumes=volumes)
        start = "0/2 nodes are available:"
        assert await wait_message(cluster, "web") == (
            f'{start} persistentvolumeclaim "data" not found. not found'
        )
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("data"))
        waits = f"{start} pod has unbound immediate PersistentVolumeClaims. not found"
        await cluster.wait_for(
            PODS,
            "web",
            "default",
            lambda found: (get_condition(found or {}, "PodScheduled") or {}).get("message") == waits,
        )
        await cluster.client.create(PERSISTENT_VOLUMES, volume("pv", "yes"))
        await bind_claim(cluster, "data", "pv")
        await cluster.wait_for(PODS, "web", "default", bound("b"))


@pytest.mark.parametrize("kept", [None, {"claimRef": {"namespace": "default", "name": "data"}}])
async def test_late_binding_gives_the_claim_its_volume_first(cluster: Cluster, kept: Object | None) -> None:
    """One that people keep for the claim is not marked as the controllers' own choice."""
    await add_node(cluster, "a", labels={"disk": "no"})
    await add_node(cluster, "b", labels={"disk": "yes"})
    late = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    }  # fmt: skip
    await cluster.client.create(STORAGE_CLASSES, late)
    await cluster.client.create(
        PERSISTENT_VOLUMES, volume("pv", "yes", storageClassName="late", **(kept or {}))
    )
    await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("data", storageClassName="late"))
    async with scheduling(cluster):
        await add_pod(
            cluster, "web", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        )
        found = await cluster.wait_for(
            PERSISTENT_VOLUMES,
            "pv",
            "",
            lambda found: bool(((found or {})["spec"].get("claimRef") or {}).get("uid")),
        )
        assert (found or {})["spec"]["claimRef"]["name"] == "data"
        marks = (found or {})["metadata"].get("annotations") or {}
        assert ("pv.kubernetes.io/bound-by-controller" in marks) == (kept is None)
        waiting = await cluster.client.get(PODS, "web", "default")
        assert not bound()(waiting)
        assert waiting["status"]["nominatedNodeName"] == "b", "others may know where it is about to go"
        await bind_claim(cluster, "data", "pv")
        there = await cluster.wait_for(PODS, "web", "default", bound("b"))
        assert "nominatedNodeName" not in (there or {})["status"]


def claim(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }  # fmt: skip


def volume(name: str, disk: str, **spec: Any) -> Object:
    where = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": [disk]}]}]
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}, "hostPath": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": where}}, **spec,
        },
    }  # fmt: skip


async def bind_claim(cluster: Cluster, name: str, volume_name: str) -> None:
    """Do what the volume controller does in the end."""
    patch = {
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume_name},
    }
    await cluster.client.patch(PERSISTENT_VOLUME_CLAIMS, name, "default", patch)


async def test_who_waits_for_work_keeps_no_pod(cluster: Cluster) -> None:
    await add_node(cluster, "a")
    async with scheduling(cluster):
        for name in ("one", "two"):
            await add_pod(cluster, name)
            await cluster.wait_for(PODS, name, "default", bound("a"))
        for _ in range(100):
            await asyncio.sleep(0)
        gc.collect()
        assert [one for one in gc.get_objects() if type(one) is Assumed] == []
