"""What a cluster has to get through: partitions, lost history, a crowd at a quota, deletion in parts."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from simulated_world import LATE, LOSSY, World, is_settled, is_true, job, room, seeds, stays, workload, world

from tiphys.apimachinery.errors import Forbidden, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from tiphys.client.leaderelection import LeaderElector, LeadershipLost
from tiphys.client.rest import Client
from tiphys.storage.base import Compacted
from tiphys.testing import Cluster, Simulation, simulate
from tiphys.testing.faults import FaultyTransport


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Broken connections are what these stories are about; each of them is logged."""
    caplog.set_level(logging.CRITICAL)


class Candidates:
    """Three who compete for one lease, and how many act as its holder."""

    def __init__(self, cluster: Cluster, simulation: Simulation) -> None:
        self._simulation = simulation
        self._cluster = cluster
        self.acting = self.most = 0
        self.changes = 0
        self.idle_s = 0.0
        self._since = 0.0

    async def compete(self, identity: str) -> None:
        """Compete, act, lose; over and over. Its network is cut in two ways, by chance."""
        chance, clock = self._simulation.chance, self._simulation.clock
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        wire = FaultyTransport(
            InProcessTransport(self._cluster.server.handler, headers=headers), LATE, chance
        )
        client = Client(wire, clock=clock)
        async with asyncio.TaskGroup() as group:
            cutting = group.create_task(self._cut(wire))
            while clock.monotonic() < 1_200:
                elector = LeaderElector(client, "lead", identity, clock=clock)
                try:
                    async with asyncio.timeout(chance.uniform(200, 600)):
                        await elector.run(self._act)
                except (LeadershipLost, TimeoutError):
                    await asyncio.sleep(chance.uniform(0, 20))
            cutting.cancel()
        await client.close()

    async def _cut(self, wire: FaultyTransport) -> None:
        chance = self._simulation.chance
        while True:
            await asyncio.sleep(chance.uniform(30, 300))
            wire.faults = replace(LATE, **chance.choice([{"silent": True}, {"requests_lost": 0.9}]))
            await asyncio.sleep(chance.uniform(1, 60))
            wire.faults = LATE

    async def _act(self) -> None:
        clock = self._simulation.clock
        self.idle_s += clock.monotonic() - self._since if not self.acting else 0.0
        self.acting += 1
        self.changes += 1
        self.most = max(self.most, self.acting)
        try:
            await asyncio.Event().wait()
        finally:
            self.acting -= 1
            self._since = clock.monotonic()


@seeds
def test_there_is_never_a_second_leader(seed: int) -> None:
    """Twenty minutes with networks that fail loudly and silently: one acts at a time, and mostly one does."""

    async def story(simulation: Simulation) -> None:
        async with Cluster(nodes=0, controllers=False, scheduler=False, clock=simulation.clock) as cluster:
            candidates = Candidates(cluster, simulation)
            async with asyncio.TaskGroup() as group:
                for identity in ("a", "b", "c"):
                    group.create_task(candidates.compete(identity))
            assert candidates.most == 1
            assert candidates.changes > 2
            assert candidates.idle_s < 400

    simulate(story, seed=seed)


@seeds
def test_history_that_is_gone_is_listed_anew(seed: int) -> None:
    """Everything old is compacted away while watches are broken: components start over and lose nothing."""

    async def forget(w: World) -> None:
        while True:
            await asyncio.sleep(w.chance.uniform(0.5, 3))
            with suppress(Compacted):  # nothing was written since
                await w.cluster.store.compact(w.cluster.store.revision)

    async def story(simulation: Simulation) -> None:
        async with world(simulation, replace(LOSSY, streams_last_s=4)) as w:
            async with asyncio.TaskGroup() as group:
                forgetting = group.create_task(forget(w))
                await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=3))
                await w.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=3, serviceName="db"))
                for replicas in (6, 1, 4):
                    await asyncio.sleep(w.chance.uniform(0, 6))
                    patch = {"spec": {"replicas": replicas}}
                    await w.client.patch(DEPLOYMENTS, "web", "default", patch)
                await w.until(DEPLOYMENTS, "web", is_settled)
                await w.until(STATEFUL_SETS, "db", is_settled)
                # On its way from six to one it had four, too, and the status tells of what was.
                await asyncio.sleep(60)
                forgetting.cancel()
            assert (len(w.of("web")), len(w.of("db"))) == (4, 3)

    simulate(story, seed=seed)


@seeds
def test_a_crowd_at_a_quota(seed: int) -> None:
    """However many ask at once, no more is admitted than the quota has; what is freed can be had again."""

    async def ask(w: World, name: str) -> None:
        pod = {"metadata": {"name": name, "namespace": "default", "labels": {"app": "crowd"}}, "spec": _pod()}
        for _ in range(4):
            await asyncio.sleep(w.chance.uniform(0, 2))
            try:
                await w.client.create(PODS, pod)
                return
            except Forbidden as error:
                if "exceeded quota" not in error.message:
                    raise

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE) as w:
            meta = {"name": "few", "namespace": "default"}
            await w.create(RESOURCE_QUOTAS, {"metadata": meta, "spec": {"hard": {"pods": "3"}}})
            await w.until(RESOURCE_QUOTAS, "few", lambda quota: "used" in (quota.get("status") or {}))
            w.always.append(lambda: "over the quota" if len(w.pods.list()) > 3 else "")
            for _ in range(3):
                async with asyncio.TaskGroup() as group:
                    group.create_task(w.disturb(2, every_s=1))
                    for index in range(8):
                        group.create_task(ask(w, f"crowd-{index}"))
                await w.until(RESOURCE_QUOTAS, "few", lambda quota: quota["status"]["used"]["pods"] == "3")
                await w.client.delete_collection(PODS, "default")
                await w.until(RESOURCE_QUOTAS, "few", lambda quota: quota["status"]["used"]["pods"] == "0")

    simulate(story, seed=seed)


def _pod(**more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    return {"containers": [container], "terminationGracePeriodSeconds": 0, **more}


@seeds
def test_the_important_displace_the_rest(seed: int) -> None:
    """A full cluster makes room for pods of a higher priority, never beyond what there is; others wait."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE, nodes=2) as w:
            w.always.append(room(w))
            await w.create(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
            await w.create(DEPLOYMENTS, workload("Deployment", "low", replicas=16))
            await w.until(DEPLOYMENTS, "low", is_settled)
            high = workload("Deployment", "high", replicas=5)
            high["spec"]["template"]["spec"]["priorityClassName"] = "high"
            await w.create(DEPLOYMENTS, high)
            await w.disturb(2, every_s=3)
            await w.until(DEPLOYMENTS, "high", is_settled)
            await asyncio.sleep(60)
            assert len([pod for pod in w.of("low") if pod["spec"].get("nodeName")]) == 11
            await w.client.delete(DEPLOYMENTS, "high", "default")
            await w.until(DEPLOYMENTS, "low", is_settled)

    simulate(story, seed=seed)


async def _gone(w: World) -> bool:
    sets = (await w.client.list(REPLICA_SETS, "default"))["items"]
    return not sets and not w.pods.list()


@seeds
@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
def test_deletion_by_policy(propagation: str, seed: int) -> None:
    """Dependents go after their owner, before it, or stay; whatever is lost on the way."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LOSSY) as w:
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=3))
            await w.until(DEPLOYMENTS, "web", is_settled)
            if propagation == "Foreground":
                w.always.append(
                    lambda: "an owner went before its pods" if w.pods.list() and not w.sets.list() else ""
                )
            await w.client.delete(DEPLOYMENTS, "web", "default", propagation=propagation)
            await w.disturb(2, every_s=5)
            await asyncio.sleep(120)
            with pytest.raises(NotFound):
                await w.client.get(DEPLOYMENTS, "web", "default")
            if propagation == "Orphan":
                assert [rs["metadata"].get("ownerReferences") for rs in w.sets.list()] == [None]
                assert len(w.of("web")) == 3
            else:
                assert await _gone(w)

    simulate(story, seed=seed)


@seeds
def test_a_namespace_goes_with_all_that_is_in_it(seed: int) -> None:
    """Nothing is left and nothing new gets in; another one of that name starts empty."""
    # One pass asks about sixty kinds, and all must be known to be gone in the same pass.
    faults = replace(LOSSY, requests_lost=0.003, answers_lost=0.003)

    async def story(simulation: Simulation) -> None:
        async with world(simulation, faults) as w:
            await w.create(NAMESPACES, {"metadata": {"name": "brief"}})
            for kind, gvr in (("Deployment", DEPLOYMENTS), ("StatefulSet", STATEFUL_SETS)):
                obj = workload(kind, "web", replicas=3)
                obj["metadata"]["namespace"] = "brief"
                await w.create(gvr, obj)
            await asyncio.sleep(w.chance.uniform(0, 5))
            await w.client.delete(NAMESPACES, "brief")
            with pytest.raises(Forbidden, match="because it is being terminated"):
                await w.create(CONFIG_MAPS, {"metadata": {"name": "late", "namespace": "brief"}})
            await w.disturb(2, every_s=5)
            await w.cluster.wait_for(NAMESPACES, "brief", condition=lambda obj: obj is None, timeout_s=600)
            await w.create(NAMESPACES, {"metadata": {"name": "brief"}})
            for gvr in (PODS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS):
                assert (await w.client.list(gvr, "brief"))["items"] == []

    simulate(story, seed=seed)


@seeds
def test_a_job_that_fails_now_and_then(seed: int) -> None:
    """Pods that fail are tried again until the limit; what succeeded is counted once."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LOSSY) as w:
            hopeless = job("once", completions=2, backoffLimit=3)
            hopeless["spec"]["template"]["metadata"]["annotations"]["tiphys.dev/exit-code"] = "1"
            await w.create(JOBS, hopeless)
            await w.disturb(3, every_s=20)
            await w.until(JOBS, "once", lambda obj: is_true(obj, "Failed"))
            status = (await w.client.get(JOBS, "once", "default"))["status"]
            # One more, where a creation of which no answer came was done again before its pod was seen.
            assert status["failed"] in (4, 5)
            reasons = [one["reason"] for one in status["conditions"] if one["type"] == "Failed"]
            assert reasons == ["BackoffLimitExceeded"]
            await asyncio.sleep(600)
            assert not [pod for pod in w.pods.list() if stays(pod)]

    simulate(story, seed=seed)


@seeds
def test_an_ordered_set_is_updated_one_by_one(seed: int) -> None:
    """From the last to the first, and never more than one away at a time."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE) as w:
            await w.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=4, serviceName="db"))
            await w.until(STATEFUL_SETS, "db", is_settled)
            w.always.append(lambda: "two are away" if len(w.of("db")) < 3 else "")
            renewed: list[str] = []

            def note(old: Object | None, new: Object | None) -> None:
                if old is None and new is not None:
                    renewed.append(new["metadata"]["name"])

            w.pods.add_handler(note)
            renewed.clear()
            image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}}
            await w.client.patch(STATEFUL_SETS, "db", "default", image, type="strategic")
            await w.disturb(3, every_s=2)
            await w.until(STATEFUL_SETS, "db", is_settled)
            assert renewed == ["db-3", "db-2", "db-1", "db-0"]

    simulate(story, seed=seed)
