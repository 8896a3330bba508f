"""Jobs on the fake API, with a stand-in that ends their pods."""

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import JOBS, PODS
from tiphys.controllers.job.controller import JobController


def job(**spec):
    labels = {"job": "x"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x", "namespace": "d"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            **spec,
        },
    }


def status(world):
    return world.api.get(JOBS, "x", "d")["status"]


def told(world):
    return {item["type"]: item["reason"] for item in status(world).get("conditions", ())}


def active(world):
    done = ("Succeeded", "Failed")
    return [
        pod
        for pod in world.api.all(PODS)
        if (pod.get("status") or {}).get("phase") not in done and not pod["metadata"].get("deletionTimestamp")
    ]


async def end(world, phase="Succeeded", count=1, code=None):
    for pod in active(world)[:count]:
        body = {"phase": phase}
        if code is not None:
            state = {"terminated": {"exitCode": code}}
            body["containerStatuses"] = [{"name": "c", "state": state}]
        world.api.put(PODS, {**pod, "status": body})
    await world.settle()


async def test_containers_that_fail_and_restart_in_place(world):
    made = job(parallelism=2, completions=4)
    made["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    world.api.put(JOBS, made)
    async with world.running(JobController):
        for _ in range(2):
            first, second = active(world)
            for pod in (first, second):
                restarted = {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 1}]}
                world.api.put(PODS, {**pod, "status": restarted})
            await world.settle()
            assert "failed" not in status(world)
            await end(world, count=2)
        assert status(world)["succeeded"] == 4
        assert "failed" not in status(world)
        assert told(world)["Complete"] == "CompletionsReached"
        assert len(world.api.all(PODS)) == 4, "no pod was made anew"


async def test_to_completion_two_at_a_time(world):
    world.api.put(JOBS, job(parallelism=2, completions=3))
    async with world.running(JobController):
        assert len(active(world)) == 2
        assert status(world)["active"] == 2
        await end(world)
        assert (len(active(world)), status(world)["succeeded"]) == (2, 1)
        await end(world, count=2)
        found = status(world)
        assert (found["succeeded"], found.get("active")) == (3, None)
        assert told(world) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
        assert found["completionTime"]
        assert all(not pod["metadata"].get("finalizers") for pod in world.api.all(PODS))
        assert ("Completed", "Job completed") in world.events()


async def test_failures_back_off_and_then_fail_the_job(world):
    world.api.put(JOBS, job(backoffLimit=1))
    async with world.running(JobController):
        await end(world, "Failed")
        assert (active(world), status(world)["failed"]) == ([], 1)
        await world.advance(11)
        assert len(active(world)) == 1
        await end(world, "Failed")
        assert told(world)["Failed"] == "BackoffLimitExceeded"
        assert status(world)["failed"] == 2
        await world.advance(1000)
        assert active(world) == []


async def test_indexes_are_worked_through(world):
    world.api.put(JOBS, job(completionMode="Indexed", parallelism=2, completions=3))
    async with world.running(JobController):
        found = [
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            for pod in active(world)
        ]
        assert sorted(found) == ["0", "1"]
        assert active(world)[0]["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
        await end(world, count=2)
        assert status(world)["completedIndexes"] == "0,1"
        await end(world)
        assert status(world)["completedIndexes"] == "0-2"
        assert told(world)["Complete"] == "CompletionsReached"


async def test_the_deadline_stops_what_runs(world):
    world.api.put(JOBS, job(activeDeadlineSeconds=30))
    async with world.running(JobController):
        await world.advance(31)
        assert told(world)["Failed"] == "DeadlineExceeded"
        assert active(world) == []
        assert status(world)["failed"] == 1


async def test_suspend_and_resume(world):
    world.api.put(JOBS, job(suspend=True))
    async with world.running(JobController):
        assert active(world) == []
        assert told(world) == {"Suspended": "JobSuspended"}
        assert "startTime" not in status(world)
        current = world.api.get(JOBS, "x", "d")
        world.api.put(JOBS, {**current, "spec": {**current["spec"], "suspend": False}})
        await world.settle()
        assert len(active(world)) == 1
        assert told(world) == {"Suspended": "JobResumed"}


@pytest.mark.parametrize(
    ("action", "failed", "reason"),
    [("FailJob", 1, "PodFailurePolicy"), ("Ignore", 0, None), ("Count", 1, None)],
)
async def test_the_failure_policy(world, action, failed, reason):
    rule = {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}
    world.api.put(JOBS, job(podFailurePolicy={"rules": [rule]}))
    async with world.running(JobController):
        await end(world, "Failed", code=42)
        assert status(world).get("failed", 0) == failed
        assert told(world).get("Failed") == reason


async def test_a_work_queue_ends_with_the_first_success_and_the_last_pod(world):
    spec = job(parallelism=2)
    del spec["spec"]["completions"]
    world.api.put(JOBS, spec)
    async with world.running(JobController):
        await end(world)
        assert (len(active(world)), told(world)) == (1, {})
        await end(world)
        assert status(world)["succeeded"] == 2
        assert "Complete" in told(world)


async def test_pods_of_a_deleted_job_are_let_go(world):
    world.api.put(JOBS, job())
    async with world.running(JobController):
        world.api.remove(JOBS, "x", "d")
        await world.settle()
        (pod,) = world.api.all(PODS)
        assert pod["metadata"]["finalizers"] == []


async def test_pods_that_a_deleted_job_leaves_behind_are_let_go(world):
    """They lose their owner first: that they were its own is not seen any more when it goes."""
    world.api.put(JOBS, job(parallelism=2, completions=2))
    async with world.running(JobController):
        left = active(world)
        spared = {**left[1]["metadata"], "name": "another's", "uid": "u"}
        spared["ownerReferences"] = [{**left[1]["metadata"]["ownerReferences"][0], "kind": "Other"}]
        world.api.put(PODS, {**left[1], "metadata": spared})
        world.api.remove(JOBS, "x", "d")
        for pod in left:
            world.api.put(PODS, {**pod, "metadata": {**pod["metadata"], "ownerReferences": []}})
        await world.settle()
        finalizers = {pod["metadata"]["name"]: pod["metadata"]["finalizers"] for pod in world.api.all(PODS)}
        assert [finalizers[pod["metadata"]["name"]] for pod in left] == [[], []]
        assert finalizers["another's"] == ["batch.kubernetes.io/job-tracking"]


async def test_pods_that_a_job_loses_are_let_go(world):
    world.api.put(JOBS, job())
    async with world.running(JobController):
        (pod,) = active(world)
        world.api.put(PODS, {**pod, "metadata": {**pod["metadata"], "labels": {"job": "other"}}})
        await world.settle()
        lost = world.api.get(PODS, pod["metadata"]["name"], "d")["metadata"]
        assert (lost.get("ownerReferences"), lost["finalizers"]) == ([], [])


async def test_pods_that_are_refused_are_not_active(world):
    def refuse(request):
        if request.method == "POST" and request.path.endswith("/pods") and len(world.api.all(PODS)) == 2:
            return Forbidden("exceeded quota")
        return None

    world.api.reactors.append(refuse)
    world.api.put(JOBS, job(parallelism=5, completions=5))
    async with world.running(JobController):
        assert (len(active(world)), status(world)["active"]) == (2, 2)
