"""A cluster in virtual time: what it is made of, what always holds in it, and what is done to it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVR, Object, get_condition
from tiphys.client.informer import Informer
from tiphys.client.kinds import (
    PODS,
    REPLICA_SETS,
)
from tiphys.testing import Cluster, Simulation
from tiphys.testing.faults import Faults, FaultyTransport

LATE = Faults(latency_s=(0.001, 0.2), streams_last_s=90)
LOSSY = Faults(latency_s=(0.001, 0.2), requests_lost=0.02, answers_lost=0.02, streams_last_s=90)
FEW = [1]
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12)]
seeds = pytest.mark.parametrize("seed", [*FEW, *MANY])


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
        return [pod for pod in self.pods.list() if app_of(pod) == app and stays(pod)]

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
        options={"metric_resolution_s": 15.0},  # as a server of its own: tests of autoscaling want it sooner
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


def app_of(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("app", ""))


def stays(pod: Object) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Object) -> bool:
    condition = get_condition(pod, "Ready")
    return stays(pod) and condition is not None and condition["status"] == "True"


def wanted(obj: Object) -> int:
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
            if stays(pod) and pod["spec"].get("nodeName"):
                used[pod["spec"]["nodeName"]] += sum(
                    int(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
                    for container in pod["spec"]["containers"]
                )
        return "".join(f"{node} has {cpu} CPUs of {cpus} in use" for node, cpu in used.items() if cpu > cpus)

    return rule


def service(name: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": {"app": name}}
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def job(name: str, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job_spec(**spec)}


def is_true(obj: Object, type_: str) -> bool:
    condition = get_condition(obj, type_)
    return condition is not None and condition["status"] == "True"


def cron_job(name: str, schedule: str) -> Object:
    spec = {"schedule": schedule, "jobTemplate": {"spec": job_spec()}, "concurrencyPolicy": "Forbid"}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec}
