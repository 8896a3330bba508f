"""Indexes with retries of their own, success by policy, replacement, and jobs that others manage."""

import pytest

from tiphys.client.kinds import JOBS, PODS
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.job.count import TRACKING
from tiphys.controllers.job.indexes import ANNOTATION
from tiphys.controllers.job.retries import FAILURES

LABELS = {"job": "x"}


def job(completions=2, parallelism=2, **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x", "namespace": "d"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
            "completionMode": "Indexed",
            "parallelism": parallelism,
            "completions": completions,
            "backoffLimit": 2**31 - 1,
            **spec,
        },
    }


def status(world):
    return world.api.get(JOBS, "x", "d")["status"]


def told(world):
    return {item["type"]: item["reason"] for item in status(world).get("conditions", ())}


def active(world):
    return {
        int(pod["metadata"]["annotations"][ANNOTATION]): pod
        for pod in world.api.all(PODS)
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and not pod["metadata"].get("deletionTimestamp")
    }


async def end(world, index, phase="Succeeded", code=1):
    pod = active(world)[index]
    state = {"terminated": {"exitCode": code if phase == "Failed" else 0}}
    body = {"phase": phase, "containerStatuses": [{"name": "c", "state": state}]}
    world.api.put(PODS, {**pod, "status": body})
    await world.settle()


async def test_every_index_runs_despite_some_that_fail(world):
    world.api.put(JOBS, job(backoffLimitPerIndex=1))
    async with world.running(JobController):
        assert {pod["metadata"]["annotations"][FAILURES] for pod in active(world).values()} == {"0"}
        await end(world, 0, "Failed")
        assert set(active(world)) == {1}
        await end(world, 1)
        await world.advance(10)
        assert active(world)[0]["metadata"]["annotations"][FAILURES] == "1"
        assert told(world) == {}
        await end(world, 0, "Failed")
        assert told(world) == {"FailureTarget": "FailedIndexes", "Failed": "FailedIndexes"}
        found = status(world)
        assert (found["failedIndexes"], found["completedIndexes"]) == ("0", "1")
        assert (found["failed"], found["succeeded"]) == (2, 1)


async def test_too_many_failed_indexes_end_the_job(world):
    world.api.put(JOBS, job(4, 4, backoffLimitPerIndex=0, maxFailedIndexes=1))
    async with world.running(JobController):
        await end(world, 0, "Failed")
        assert len(active(world)) == 3
        await end(world, 2, "Failed")
        assert active(world) == {}
        assert told(world)["FailureTarget"] == "MaxFailedIndexesExceeded"


async def test_a_rule_fails_an_index_at_once(world):
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    world.api.put(JOBS, job(backoffLimitPerIndex=3, podFailurePolicy={"rules": [rule]}))
    async with world.running(JobController):
        await end(world, 0, "Failed", code=42)
        assert status(world)["failedIndexes"] == "0"
        await end(world, 1)
        assert told(world)["Failed"] == "FailedIndexes"


@pytest.mark.parametrize("rule", [{"succeededCount": 1}, {"succeededIndexes": "0"}], ids=["count", "indexes"])
async def test_success_while_some_indexes_are_pending(world, rule):
    world.api.put(JOBS, job(3, 3, successPolicy={"rules": [rule]}))
    async with world.running(JobController):
        await end(world, 0)
        assert active(world) == {}
        assert told(world) == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
        assert (status(world)["succeeded"], status(world)["completedIndexes"]) == (1, "0")
        assert status(world).get("failed", 0) == 0


async def test_success_policy_when_all_indexes_succeed(world):
    world.api.put(JOBS, job(2, 2, successPolicy={"rules": [{"succeededCount": 2}]}))
    async with world.running(JobController):
        await end(world, 0)
        assert told(world) == {}
        await end(world, 1)
        assert told(world)["Complete"] == "SuccessPolicy"


async def test_suspended_pods_are_no_failures(world):
    world.api.put(JOBS, job())
    async with world.running(JobController):
        current = world.api.get(JOBS, "x", "d")
        world.api.put(JOBS, {**current, "spec": {**current["spec"], "suspend": True}})
        await world.settle()
        assert active(world) == {}
        assert world.api.all(PODS) == []
        assert status(world).get("failed", 0) == 0
        assert told(world) == {"Suspended": "JobSuspended"}


@pytest.mark.parametrize(("policy", "count"), [("Failed", 0), ("TerminatingOrFailed", 1)])
async def test_when_a_pod_on_its_way_out_is_replaced(world, policy, count):
    world.api.put(JOBS, job(1, 1, podReplacementPolicy=policy))
    async with world.running(JobController):
        pod = active(world)[0]
        meta = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        world.api.put(PODS, {**pod, "metadata": {**meta, "finalizers": [*meta["finalizers"], "other/hold"]}})
        await world.settle()
        await world.advance(20)
        assert len(active(world)) == count
        assert status(world)["terminating"] == 1


async def test_jobs_of_another_manager_are_left_alone(world):
    world.api.put(JOBS, job(managedBy="boats.example/controller"))
    async with world.running(JobController):
        assert world.api.all(PODS) == []
        assert world.api.writes() == []


async def test_a_disrupted_pod_is_no_failure(world):
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    world.api.put(JOBS, job(1, 1, backoffLimit=0, podFailurePolicy={"rules": [rule]}))
    async with world.running(JobController):
        pod = active(world)[0]
        told_off = [{"type": "DisruptionTarget", "status": "True"}]
        world.api.put(PODS, {**pod, "status": {"phase": "Failed", "conditions": told_off}})
        await world.settle()
        assert active(world) == {}, "it is not counted, but waited for as after any failure"
        await world.advance(10)
        assert set(active(world)) == {0}
        assert (status(world).get("failed", 0), told(world)) == (0, {})


async def test_pods_are_adopted_and_released(world):
    world.api.put(JOBS, job(1, 1))
    async with world.running(JobController):
        pod = active(world)[0]
        orphan = {**pod["metadata"], "ownerReferences": [], "finalizers": []}
        world.api.put(PODS, {**pod, "metadata": orphan})
        await world.settle()
        name = pod["metadata"]["name"]
        adopted = world.api.get(PODS, name, "d")
        assert adopted["metadata"]["ownerReferences"][0]["kind"] == "Job"
        assert adopted["metadata"]["finalizers"] == [TRACKING]
        stray = {**adopted["metadata"], "labels": {}}
        world.api.put(PODS, {**adopted, "metadata": stray})
        await world.settle()
        released = world.api.get(PODS, name, "d")["metadata"]
        assert (released["ownerReferences"], released["finalizers"]) == ([], [])
        assert len(world.api.all(PODS)) == 2


async def test_an_adopted_pod_counts(world):
    """It was another Job's, which was deleted alone and whose finalizer went with it."""
    world.api.put(JOBS, job(1, 1))
    async with world.running(JobController):
        pod = active(world)[0]
        orphan = {**pod["metadata"], "ownerReferences": [], "finalizers": []}
        world.api.put(PODS, {**pod, "metadata": orphan})
        await world.settle()
        adopted = world.api.get(PODS, pod["metadata"]["name"], "d")
        world.api.put(PODS, {**adopted, "status": {"phase": "Succeeded"}})
        await world.settle()
        assert status(world)["succeeded"] == 1
        assert len(world.api.all(PODS)) == 1
