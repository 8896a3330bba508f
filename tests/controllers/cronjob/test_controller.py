"""CronJobs start Jobs in time, heed their policy, and forget old ones; finished Jobs expire."""

import pytest

from tiphys.client.kinds import CRON_JOBS, JOBS
from tiphys.controllers.cronjob.controller import CronJobController
from tiphys.controllers.ttlafterfinished.controller import TtlAfterFinishedController


def cron(**spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "d"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {}}}}, **spec},
    }


def finish(world, name, type_="Complete"):
    job = world.api.get(JOBS, name, "d")
    now = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    done = {"type": type_, "status": "True", "lastTransitionTime": now}
    world.api.put(JOBS, {**job, "status": {"conditions": [done], "completionTime": now, "startTime": now}})


def names(world):
    return [job["metadata"]["name"] for job in world.api.all(JOBS)]


async def test_a_job_every_minute(world):
    world.api.put(CRON_JOBS, cron())
    async with world.running(CronJobController):
        assert names(world) == []
        await world.advance(60.2)
        (name,) = names(world)
        assert name == f"c-{int(world.clock.now().timestamp()) // 60}"
        status = world.api.get(CRON_JOBS, "c", "d")["status"]
        assert (status["lastScheduleTime"], len(status["active"])) == ("2026-01-01T00:01:00Z", 1)
        finish(world, name)
        await world.settle()
        status = world.api.get(CRON_JOBS, "c", "d")["status"]
        assert "active" not in status
        assert status["lastSuccessfulTime"] == "2026-01-01T00:01:00Z"


@pytest.mark.parametrize(("policy", "count"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
async def test_concurrency(world, policy, count):
    world.api.put(CRON_JOBS, cron(concurrencyPolicy=policy))
    async with world.running(CronJobController):
        await world.advance(60.2)
        (first,) = names(world)
        await world.advance(60)
        assert len(names(world)) == count
        assert (first in names(world)) is (policy != "Replace")


async def test_history_is_limited(world):
    world.api.put(CRON_JOBS, cron(successfulJobsHistoryLimit=1))
    async with world.running(CronJobController):
        for _ in range(4):
            await world.advance(60.1)
            for name in names(world):
                finish(world, name)
            await world.settle()
        assert len(names(world)) == 1


async def test_suspended_and_nonsense_start_nothing(world):
    world.api.put(CRON_JOBS, cron(suspend=True))
    bad = cron(schedule="nonsense")
    bad["metadata"]["name"] = "bad"
    world.api.put(CRON_JOBS, bad)
    async with world.running(CronJobController):
        await world.advance(120)
        assert names(world) == []
        assert any(reason == "UnparseableSchedule" for reason, _ in world.events())


async def test_finished_jobs_expire(world):
    meta = {"name": "j", "namespace": "d"}
    spec = {"ttlSecondsAfterFinished": 30}
    world.api.put(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})
    async with world.running(TtlAfterFinishedController):
        finish(world, "j")
        await world.advance(29)
        assert names(world) == ["j"]
        await world.advance(2)
        assert all(job["metadata"].get("deletionTimestamp") for job in world.api.all(JOBS))
