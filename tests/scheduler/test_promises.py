"""Nodes that are promised to pods (``status.nominatedNodeName``), by preemption and by others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scheduler_builders import node, pod

from tiphys.apimachinery.meta import GVR, Object, get_condition
from tiphys.client.kinds import NODES, PODS, PRIORITY_CLASSES
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing.cluster import Cluster


class Stage:
    """An API server and a scheduler that is told when to begin."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def node(self, name: str, cpu: str = "4", **more: Any) -> None:
        await self.cluster.client.create(
            NODES, {"apiVersion": "v1", "kind": "Node", **node(name, cpu=cpu, **more)}
        )
        await self.cluster.client.patch(NODES, name, "", {"spec": {"taints": None}})

    async def pod(
        self,
        name: str,
        cpu: str,
        *,
        on: str = "",
        promised: str = "",
        rank: int = 1,
        lingers: bool = False,
        **spec: Any,
    ) -> None:
        made = pod(name, cpu=cpu, terminationGracePeriodSeconds=0, **spec)
        del made["metadata"]["uid"]
        made["spec"]["priorityClassName"] = await self._rank(rank)
        if lingers:
            made["metadata"]["finalizers"] = ["test.example/linger"]
        if on:
            made["spec"]["nodeName"] = on
        await self.cluster.client.create(PODS, made)
        if promised:
            body = {"status": {"nominatedNodeName": promised}}
            await self.cluster.client.patch(PODS, name, "default", body, subresource="status")

    async def _rank(self, value: int) -> str:
        name = f"rank-{value}"
        found = await self.cluster.client.list(PRIORITY_CLASSES)
        if name not in {item["metadata"]["name"] for item in found["items"]}:
            body = {"kind": "PriorityClass", "metadata": {"name": name}, "value": value}
            await self.cluster.client.create(PRIORITY_CLASSES, {"apiVersion": "scheduling.k8s.io/v1", **body})
        return name

    async def wait(self, name: str, test: Callable[[Object], bool]) -> Object:
        found = await self.cluster.wait_for(
            PODS, name, "default", lambda one: bool(one and test(one)), timeout_s=10
        )
        assert found is not None
        return found

    async def bound(self, name: str, where: str) -> None:
        found = await self.wait(name, lambda one: bool(one["spec"].get("nodeName")))
        assert found["spec"]["nodeName"] == where
        assert "nominatedNodeName" not in found["status"], "the Binding clears it"

    async def refused(self, name: str, promised: str = "") -> None:
        await self.wait(
            name,
            lambda one: (
                (get_condition(one, "PodScheduled") or {}).get("reason") == "Unschedulable"
                and one["status"].get("nominatedNodeName", "") == promised
            ),
        )

    @asynccontextmanager
    async def scheduling(self) -> AsyncIterator[None]:
        client = self.cluster.client_for("system:kube-scheduler")
        async with running(Scheduler(client, SchedulerOptions(binders=4))):
            yield


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    task = asyncio.create_task(scheduler.run())
    try:
        yield
        if task.done():
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Cluster(nodes=0, controllers=False, scheduler=False) as made:
        await made.wait_for(GVR("", "v1", "namespaces"), "default")
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await made.client.create(GVR("", "v1", "serviceaccounts"), account)
        yield Stage(made)


async def test_preemption_promises_and_the_binding_clears(stage: Stage) -> None:
    await stage.node("a")
    await stage.pod("victim", "4", on="a")
    async with stage.scheduling():
        await stage.pod("urgent", "2", rank=100)
        await stage.bound("urgent", "a")


async def test_a_promise_of_others_gives_way_to_where_it_costs_least(stage: Stage) -> None:
    for name in ("a", "b"):
        await stage.node(name)
    for name in ("one", "two"):
        await stage.pod(name, "2", on="a")
    await stage.pod("three", "3", on="b")
    await stage.pod("urgent", "4", promised="a", rank=100)
    async with stage.scheduling():
        await stage.bound("urgent", "b")
        assert (await stage.cluster.client.get(PODS, "one", "default"))["spec"]["nodeName"] == "a"


async def test_a_promise_that_cannot_be_kept_holds_nobody_up(stage: Stage) -> None:
    await stage.node("a")
    await stage.pod("huge", "5", promised="a")
    await stage.pod("fits", "3")
    async with stage.scheduling():
        await stage.refused("huge")
        await stage.bound("fits", "a")


async def test_a_promise_does_not_bind_those_of_higher_priority(stage: Stage) -> None:
    await stage.node("a")
    await stage.pod("low", "4", promised="a")
    await stage.pod("high", "4", rank=100)
    async with stage.scheduling():
        await stage.bound("high", "a")
        await stage.refused("low")


async def test_a_promise_is_kept_and_cleared_by_the_binding(stage: Stage) -> None:
    for name in ("a", "b"):
        await stage.node(name)
    await stage.pod("expected", "1", promised="b")
    async with stage.scheduling():
        await stage.bound("expected", "b")


@pytest.mark.parametrize("how", ["its pod is deleted", "it is withdrawn"])
async def test_what_was_promised_is_free_when_the_promise_ends(stage: Stage, how: str) -> None:
    """A pod that had to leave the room to a promise is tried again when the promise ends."""
    await stage.node("a", cpu="32")
    await stage.pod("victim", "20", on="a", lingers=True)
    async with stage.scheduling():
        await stage.pod("promised", "25", rank=200)
        await stage.refused("promised", "a")
        client = stage.cluster.client
        # It is tried once more: the other one's turn comes first when both may try again.
        await client.patch(PODS, "promised", "default", {"metadata": {"labels": {"new": "label"}}})
        await stage.pod("waits", "10", rank=200)
        await stage.refused("waits")
        if how == "its pod is deleted":
            await client.delete(PODS, "promised", "default", grace_period_s=0)
        else:
            withdrawn = {"status": {"nominatedNodeName": None}}
            await client.patch(PODS, "promised", "default", withdrawn, subresource="status")
        await stage.bound("waits", "a")


async def test_a_vanished_node_may_even_out_how_pods_are_spread(stage: Stage) -> None:
    """The domain with the fewest pods goes: what was too many elsewhere is not any more."""
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    spread |= {"labelSelector": {"matchLabels": {"app": "x"}}}
    await stage.node("a", labels={"zone": "one"})
    await stage.node("empty", cpu="0", labels={"zone": "two"})
    async with stage.scheduling():
        await stage.pod("first", "1", labels={"app": "x"}, topologySpreadConstraints=[spread])
        await stage.bound("first", "a")
        await stage.pod("second", "1", labels={"app": "x"}, topologySpreadConstraints=[spread])
        await stage.refused("second")
        await stage.cluster.client.delete(NODES, "empty")
        await stage.bound("second", "a")
