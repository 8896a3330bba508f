"""Hours and days of a cluster in virtual time, with late, lost and repeated requests, by seed.

What must hold at every moment is judged at every event, as the store tells it; what must come to be, at the
end.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiphys.apimachinery.errors import NotFound, TooManyRequests
from tiphys.apimachinery.meta import GVR, Object, controller_of, get_condition
from tiphys.client.informer import Informer
from tiphys.client.kinds import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
)
from tiphys.testing import Cluster, Simulation, simulate
from tiphys.testing.faults import Faults, FaultyTransport

LATE = Faults(latency_s=(0.001, 0.2), streams_last_s=90)
LOSSY = Faults(latency_s=(0.001, 0.2), requests_lost=0.02, answers_lost=0.02, streams_last_s=90)
FEW = [1, 2]
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 23)]
seeds = pytest.mark.parametrize("seed", [*FEW, *MANY])


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Broken watches are what these stories are about; each of them is logged."""
    caplog.set_level(logging.ERROR)


class World:
    """A cluster, and its pods and replica sets as of each event."""

    def __init__(self, cluster: Cluster, simulation: Simulation) -> None:
        self.cluster = cluster
        self.client = cluster.client
        self.chance: random.Random = simulation.chance
        self.pods = Informer(cluster.client, PODS, namespace="default")
        self.sets = Informer(cluster.client, REPLICA_SETS, namespace="default")
        self.faults: list[str] = []
        self.always: list[Callable[[], str]] = []
        self._clock = simulation.clock
        self.pods.add_handler(self._judge)
        self.sets.add_handler(self._judge)

    def _judge(self, _old: Object | None, _new: Object | None) -> None:
        for rule in self.always:
            fault = rule()
            if fault:
                self.faults.append(f"after {self._clock.monotonic():.3f} s: {fault}")

    def of(self, app: str) -> list[Object]:
        """Return the pods that are there and meant to stay."""
        return [pod for pod in self.pods.list() if _app(pod) == app and _stays(pod)]

    async def create(self, gvr: GVR, obj: Object) -> Object:
        return await self.client.create(gvr, obj)

    async def until(self, gvr: GVR, name: str, holds: Callable[[Object], bool]) -> None:
        await self.cluster.wait_for(
            gvr, name, "default", lambda obj: obj is not None and holds(obj), timeout_s=3_600
        )

    async def disturb(self, times: int, every_s: float) -> None:
        """Restart components, now and then."""
        for _ in range(times):
            await asyncio.sleep(self.chance.uniform(0, 2 * every_s))
            await self.cluster.restart(self.chance.choice(["controller-manager", "scheduler"]))


@asynccontextmanager
async def world(simulation: Simulation, faults: Faults, nodes: int = 3) -> AsyncIterator[World]:
    """Yield a world, and judge what was seen of it at its end."""
    net = simulation.chance
    async with Cluster(
        nodes=nodes,
        clock=simulation.clock,
        network=lambda transport: FaultyTransport(transport, faults, net),
    ) as cluster:
        made = World(cluster, simulation)
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(seen.run()) for seen in (made.pods, made.sets)]
            await made.pods.wait_synced()
            await made.sets.wait_synced()
            yield made
            for task in watching:
                task.cancel()
        assert not made.faults, made.faults[:5]


def _app(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("app", ""))


def _stays(pod: Object) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def _is_ready(pod: Object) -> bool:
    condition = get_condition(pod, "Ready")
    return _stays(pod) and condition is not None and condition["status"] == "True"


def _wanted(obj: Object) -> int:
    return int(obj["spec"]["replicas"])


def workload(kind: str, name: str, image: str = "i:1", **spec: Any) -> Object:
    labels = {"app": name}
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": "1"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def job_spec(**spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
    meta = {"labels": {"app": "once"}, "annotations": {"tiphys.dev/exit-code": "0"}}
    return {"template": {"metadata": meta, "spec": pod}, **spec}


def new_image(number: int) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": f"i:{number}"}]}}}}


def is_settled(obj: Object) -> bool:
    """Say whether a workload's status is of its newest spec and all is as asked."""
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        return False
    return all(status.get(field, 0) == wanted for field in ("replicas", "updatedReplicas", "readyReplicas"))


def room(world: World, cpus: int = 8) -> Callable[[], str]:
    """No node is ever given more than it has."""

    def rule() -> str:
        used: Counter[str] = Counter()
        for pod in world.pods.list():
            if _stays(pod) and pod["spec"].get("nodeName"):
                used[pod["spec"]["nodeName"]] += sum(
                    int(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
                    for container in pod["spec"]["containers"]
                )
        return "".join(f"{node} has {cpu} CPUs of {cpus} in use" for node, cpu in used.items() if cpu > cpus)

    return rule


@seeds
def test_a_rollout_keeps_its_bounds(seed: int) -> None:
    """Its sets never want more than replicas + maxSurge; never are fewer ready than maxUnavailable allows."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE) as w:
            strategy = {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=6, strategy=strategy))
            await w.until(DEPLOYMENTS, "web", is_settled)
            w.always.append(
                lambda: "surge" if sum(rs["spec"]["replicas"] for rs in w.sets.list()) > 8 else ""
            )
            w.always.append(lambda: "too few" if sum(map(_is_ready, w.of("web"))) < 5 else "")
            w.always.append(room(w))
            async with asyncio.TaskGroup() as group:
                group.create_task(w.disturb(4, every_s=3))
                for number in range(2, 7):
                    await w.client.patch(DEPLOYMENTS, "web", "default", new_image(number), type="strategic")
                    await asyncio.sleep(w.chance.uniform(0, 8))
            await w.until(DEPLOYMENTS, "web", is_settled)
            assert {pod["spec"]["containers"][0]["image"] for pod in w.of("web")} == {"i:6"}

    simulate(story, seed=seed)


@seeds
def test_everything_comes_to_be_over_a_bad_network(seed: int) -> None:
    """With requests and answers lost, too: the right pods, endpoints and counts in the end, and no others."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LOSSY) as w:
            await w.create(SERVICES, _service("web"))
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=4))
            await w.create(DAEMON_SETS, workload("DaemonSet", "each"))
            await w.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=3, serviceName="db"))
            await w.create(JOBS, _job("once", completions=9, parallelism=4, completionMode="Indexed"))
            async with asyncio.TaskGroup() as group:
                group.create_task(w.disturb(3, every_s=5))
                for replicas in (7, 2, 5):
                    await asyncio.sleep(w.chance.uniform(0, 5))
                    patch = {"spec": {"replicas": replicas}}
                    await w.client.patch(DEPLOYMENTS, "web", "default", patch)
                    await w.client.patch(STATEFUL_SETS, "db", "default", patch)
            await w.until(DEPLOYMENTS, "web", is_settled)
            await w.until(STATEFUL_SETS, "db", is_settled)
            await w.until(JOBS, "once", lambda job: _is_true(job, "Complete"))
            await w.until(DAEMON_SETS, "each", lambda each: each["status"].get("numberReady") == 3)
            await asyncio.sleep(120)
            await _judge_the_end(w)

    simulate(story, seed=seed)


async def _judge_the_end(w: World) -> None:
    assert len(w.of("web")) == 5
    assert sorted(pod["metadata"]["name"] for pod in w.of("db")) == [f"db-{index}" for index in range(5)]
    assert Counter(pod["spec"]["nodeName"] for pod in w.of("each")) == Counter(
        {f"node-{index}": 1 for index in (1, 2, 3)}
    )
    job = await w.client.get(JOBS, "once", "default")
    assert (job["status"]["succeeded"], job["status"]["completedIndexes"]) == (9, "0-8")
    slices = (await w.client.list(ENDPOINT_SLICES, "default", label_selector="app=web"))["items"]
    found = [address for item in slices for end in item["endpoints"] for address in end["addresses"]]
    assert sorted(found) == sorted(pod["status"]["podIP"] for pod in w.of("web"))
    owners = {obj["metadata"]["uid"] for gvr in (REPLICA_SETS, DAEMON_SETS, STATEFUL_SETS, JOBS)
              for obj in (await w.client.list(gvr, "default"))["items"]}  # fmt: skip
    assert all((controller_of(pod) or {}).get("uid") in owners for pod in w.pods.list())


def _service(name: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": {"app": name}}
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def _job(name: str, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job_spec(**spec)}


def _is_true(obj: Object, type_: str) -> bool:
    condition = get_condition(obj, type_)
    return condition is not None and condition["status"] == "True"


@seeds
def test_a_node_dies_and_comes_back(seed: int) -> None:
    """Its pods are left alone for over five minutes, are then elsewhere; the old ones go as it returns."""

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE) as w:
            w.always.append(room(w))
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=6))
            await w.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=3, serviceName="db"))
            await w.until(DEPLOYMENTS, "web", is_settled)
            await w.until(STATEFUL_SETS, "db", is_settled)
            before = {pod["metadata"]["uid"] for pod in w.of("web")}
            w.cluster.nodes.stop("node-2")
            await asyncio.sleep(300)
            assert {pod["metadata"]["uid"] for pod in w.of("web")} == before, "moved before its time"
            node = await w.client.get(NODES, "node-2")
            assert (get_condition(node, "Ready") or {})["status"] == "Unknown"
            await asyncio.sleep(120)
            await w.until(DEPLOYMENTS, "web", is_settled)
            assert {pod["spec"]["nodeName"] for pod in w.of("web")} <= {"node-1", "node-3"}
            # Nobody knows that the old pods are dead, so none of the same name may be made.
            names = Counter(pod["metadata"]["name"] for pod in w.pods.list())
            assert max(names.values()) == 1
            await w.cluster.nodes.start("node-2")
            await asyncio.sleep(120)
            await w.until(STATEFUL_SETS, "db", is_settled)
            assert all(_stays(pod) for pod in w.pods.list())

    simulate(story, seed=seed)


@seeds
def test_a_budget_holds_against_impatient_drains(seed: int) -> None:
    """Two who evict at the same time never leave fewer ready than the budget says."""

    async def evict(w: World) -> None:
        for _ in range(40):
            await asyncio.sleep(w.chance.uniform(0, 1))
            pods = w.of("web")
            if not pods:
                continue
            name = w.chance.choice(pods)["metadata"]["name"]
            meta = {"name": name, "namespace": "default"}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
            try:
                await w.client.post(PODS, name, "default", "eviction", body)
            except (TooManyRequests, NotFound):
                continue

    async def story(simulation: Simulation) -> None:
        async with world(simulation, LATE) as w:
            budget = {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}}
            meta = {"name": "web", "namespace": "default"}
            await w.create(
                POD_DISRUPTION_BUDGETS,
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": budget},
            )
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=5))
            await w.until(DEPLOYMENTS, "web", is_settled)
            w.always.append(lambda: "below the budget" if sum(map(_is_ready, w.of("web"))) < 4 else "")
            before = {pod["metadata"]["uid"] for pod in w.of("web")}
            async with asyncio.TaskGroup() as group:
                group.create_task(evict(w))
                group.create_task(evict(w))
                group.create_task(w.disturb(2, every_s=5))
            await w.until(DEPLOYMENTS, "web", is_settled)
            assert before != {pod["metadata"]["uid"] for pod in w.of("web")}, "nothing was evicted"

    simulate(story, seed=seed)


@pytest.mark.parametrize(
    ("hours", "seed"), [(2, 1), pytest.param(24, 2, marks=pytest.mark.slow)], ids=["two-hours", "a-day"]
)
def test_a_cron_job_misses_nothing(hours: int, seed: int) -> None:
    """Every ten minutes its job ran once, although the manager was restarted now and then."""

    async def story(simulation: Simulation) -> None:
        faults = Faults(latency_s=(0.001, 0.2), streams_last_s=3_600)
        async with world(simulation, faults, nodes=1) as w:
            names: set[str] = set()
            jobs = Informer(w.client, JOBS, namespace="default")
            jobs.add_handler(lambda _old, new: names.add(new["metadata"]["name"]) if new else None)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(jobs.run())
                await w.create(CRON_JOBS, _cron_job("often", "*/10 * * * *"))
                group.create_task(w.disturb(5, every_s=hours * 600))
                await asyncio.sleep(hours * 3_600 + 60)
                watching.cancel()
            assert len(names) == hours * 6
            left = (await w.client.list(JOBS, "default"))["items"]
            assert len(left) == 3, "successfulJobsHistoryLimit"
            assert all(_is_true(job, "Complete") for job in left)

    simulate(story, seed=seed)


def _cron_job(name: str, schedule: str) -> Object:
    spec = {"schedule": schedule, "jobTemplate": {"spec": job_spec()}, "concurrencyPolicy": "Forbid"}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec}
