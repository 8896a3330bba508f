"""Hours and days of a cluster in virtual time, with late, lost and repeated requests, by seed.

What must hold at every moment is judged at every event, as the store tells it; what must come to be, at the
end.
"""

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime

import pytest
from simulated_world import (
    LATE,
    LOSSY,
    World,
    cron_job,
    is_ready,
    is_settled,
    is_true,
    job,
    new_image,
    room,
    seeds,
    service,
    stays,
    workload,
    world,
)

from tiphys.apimachinery.errors import NotFound, TooManyRequests
from tiphys.apimachinery.meta import Object, controller_of, get_condition
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
from tiphys.testing import Simulation, simulate
from tiphys.testing.faults import Faults


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Broken watches are what these stories are about; each of them is logged."""
    caplog.set_level(logging.ERROR)


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
            w.always.append(lambda: "too few" if sum(map(is_ready, w.of("web"))) < 5 else "")
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
            await w.create(SERVICES, service("web"))
            await w.create(DEPLOYMENTS, workload("Deployment", "web", replicas=4))
            await w.create(DAEMON_SETS, workload("DaemonSet", "each"))
            await w.create(STATEFUL_SETS, workload("StatefulSet", "db", replicas=3, serviceName="db"))
            await w.create(JOBS, job("once", completions=9, parallelism=4, completionMode="Indexed"))
            async with asyncio.TaskGroup() as group:
                group.create_task(w.disturb(3, every_s=5))
                for replicas in (7, 2, 5):
                    await asyncio.sleep(w.chance.uniform(0, 5))
                    patch = {"spec": {"replicas": replicas}}
                    await w.client.patch(DEPLOYMENTS, "web", "default", patch)
                    await w.client.patch(STATEFUL_SETS, "db", "default", patch)
            await w.until(DEPLOYMENTS, "web", is_settled)
            await w.until(STATEFUL_SETS, "db", is_settled)
            await w.until(JOBS, "once", lambda job: is_true(job, "Complete"))
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


def uid_of(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


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
            ordered = {uid_of(pod) for pod in w.of("db") if pod["spec"]["nodeName"] == "node-2"}
            assert ordered
            w.cluster.nodes.stop("node-2")
            await asyncio.sleep(300)
            assert {pod["metadata"]["uid"] for pod in w.of("web")} == before, "moved before its time"
            node = await w.client.get(NODES, "node-2")
            assert (get_condition(node, "Ready") or {})["status"] == "Unknown"
            await asyncio.sleep(120)
            await w.until(DEPLOYMENTS, "web", is_settled)
            assert {pod["spec"]["nodeName"] for pod in w.of("web")} <= {"node-1", "node-3"}
            # Nobody knows that the old ones are dead, so nothing may take their names.
            assert ordered <= {uid_of(pod) for pod in w.pods.list()}
            await w.cluster.nodes.start("node-2")
            await asyncio.sleep(120)
            await w.until(STATEFUL_SETS, "db", is_settled)
            assert all(stays(pod) for pod in w.pods.list())
            assert not ordered & {uid_of(pod) for pod in w.of("db")}

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
            w.always.append(lambda: "below the budget" if sum(map(is_ready, w.of("web"))) < 4 else "")
            before = {pod["metadata"]["uid"] for pod in w.of("web")}
            async with asyncio.TaskGroup() as group:
                group.create_task(evict(w))
                group.create_task(evict(w))
                group.create_task(w.disturb(2, every_s=5))
            await w.until(DEPLOYMENTS, "web", is_settled)
            assert before != {pod["metadata"]["uid"] for pod in w.of("web")}, "nothing was evicted"

    simulate(story, seed=seed)


@pytest.mark.parametrize(
    ("every_min", "times", "seed"),
    [(2, 6, 1), pytest.param(10, 24, 2, marks=pytest.mark.slow)],
    ids=["some-minutes", "a-night"],
)
def test_a_cron_job_misses_nothing(every_min: int, times: int, seed: int) -> None:
    """Each time its job ran once, although the manager was restarted now and then.

    A night is long enough for tokens, watches, events and what the store keeps of the past to run out.
    """

    async def story(simulation: Simulation) -> None:
        faults = Faults(latency_s=(0.001, 0.2), streams_last_s=3_600)
        async with world(simulation, faults, nodes=1) as w:
            names: set[str] = set()
            jobs = Informer(w.client, JOBS, namespace="default")
            jobs.add_handler(lambda _old, new: names.add(new["metadata"]["name"]) if new else None)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(jobs.run())
                await w.create(CRON_JOBS, cron_job("often", f"*/{every_min} * * * *"))
                group.create_task(w.disturb(5, every_s=every_min * times * 10))
                await asyncio.sleep(every_min * times * 60 + 60)
                watching.cancel()
            assert len(names) == times
            left = (await w.client.list(JOBS, "default"))["items"]
            assert len(left) == 3, "successfulJobsHistoryLimit"
            assert all(is_true(job, "Complete") for job in left)

    simulate(story, seed=seed, start=datetime(2026, 12, 31, 23, tzinfo=UTC))
