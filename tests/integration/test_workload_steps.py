"""What upstream's tests of Deployments, Jobs, CronJobs, system settings and events do, step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Refused, Typed, condition, eventually

REVISION = "deployment.kubernetes.io/revision"
LATE_REVISION = 3546343826724305832
LABELS = {"name": "sample-pod", "pod": "agnhost"}


def _template(image: str) -> Object:
    spec = {"containers": [{"name": "agnhost", "image": image}], "terminationGracePeriodSeconds": 0}
    return {"metadata": {"labels": LABELS}, "spec": spec}


def _deployment(name: str, strategy: str) -> Object:
    spec: Object = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": _template("e2e/agnhost")}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {**spec, "strategy": {"type": strategy}},
    }  # fmt: skip


def _complete(live: Object) -> bool:
    status, wanted = live.get("status", {}), live["spec"]["replicas"]
    counts = [status.get(name) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [wanted] * 3 and status["observedGeneration"] >= live["metadata"]["generation"]


@pytest.mark.slow
def test_a_deployment_takes_over_a_set_and_counts_on(api: Any, namespace: str) -> None:
    """The set's revision is beyond what a float can tell apart."""
    sets = Typed(api, "apps/v1", "replicasets", namespace)
    deployments = Typed(api, "apps/v1", "deployments", namespace)
    annotations = {REVISION: str(LATE_REVISION)}
    selector = {"matchLabels": LABELS}
    sets.create(
        {"apiVersion": "apps/v1", "kind": "ReplicaSet",
         "metadata": {"name": "test-rolling-update-controller", "annotations": annotations, "labels": LABELS},
         "spec": {"replicas": 1, "selector": selector, "template": _template("e2e/httpd")}}
    )  # fmt: skip
    sets.until("test-rolling-update-controller", lambda live: live["status"].get("readyReplicas") == 1)
    made = deployments.create(_deployment("test-rolling-update-deployment", "RollingUpdate"))
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    live = deployments.until(name, _complete)
    assert live["metadata"]["annotations"][REVISION] == str(LATE_REVISION + 1)
    owned = [one for one in sets.list()["items"] if one["metadata"]["ownerReferences"][0]["uid"] == uid]
    (old,) = [one for one in owned if one["metadata"]["name"] == "test-rolling-update-controller"]
    (new,) = [one for one in owned if one is not old]
    assert new["metadata"]["annotations"][REVISION] == str(LATE_REVISION + 1)
    assert (old["spec"].get("replicas", 0), new["spec"]["replicas"]) == (0, 1)


@pytest.mark.slow
def test_a_deployment_that_recreates_never_mixes(api: Any, namespace: str) -> None:
    deployments = Typed(api, "apps/v1", "deployments", namespace)
    deployments.create(_deployment("test-recreate-deployment", "Recreate"))
    name = "test-recreate-deployment"
    live = deployments.until(name, _complete)
    assert live["metadata"]["annotations"][REVISION] == "1"

    def change(live: Object) -> None:
        container = live["spec"]["template"]["spec"]["containers"][0]
        container.update(name="httpd", image="e2e/httpd")

    begin = deployments.changed(name, change)["metadata"]["resourceVersion"]
    with deployments.watch(begin) as events:
        for _, seen in events:
            status = seen["status"]
            updated = status.get("updatedReplicas", 0)
            assert not updated or updated == status.get("replicas")
            if _complete(seen) and seen["metadata"]["annotations"][REVISION] == "2":
                break


@pytest.mark.slow
def test_a_job_takes_orphans_and_lets_strangers_go(api: Any, namespace: str) -> None:
    jobs, pods = Typed(api, "batch/v1", "jobs", namespace), Typed(api, "v1", "pods", namespace)
    template = {
        "metadata": {"labels": {"job": "adopt-release"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "e2e/busybox"}]},
    }
    spec = {
        "parallelism": 2, "completions": 4, "backoffLimit": 6, "manualSelector": False, "template": template,
    }  # fmt: skip
    job = jobs.create(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "adopt-release"}, "spec": spec}
    )
    uid, selector = job["metadata"]["uid"], "job=adopt-release"

    def running() -> list[Object]:
        found = pods.list(labelSelector=selector)["items"]
        return found if [one["status"]["phase"] for one in found] == ["Running"] * 2 else []

    name = eventually(running)[0]["metadata"]["name"]

    def owners(live: Object) -> list[str]:
        return [one["uid"] for one in live["metadata"].get("ownerReferences") or () if one.get("controller")]

    pods.changed(name, lambda live: live["metadata"].update(ownerReferences=None))
    pods.until(name, lambda live: owners(live) == [uid])
    pods.changed(name, lambda live: live["metadata"].update(labels=None))
    pods.until(name, lambda live: owners(live) == [])


def test_settings_of_no_such_name_are_told_and_no_others(api: Any, namespace: str) -> None:
    settings = [
        {"name": "foo-", "value": "bar"}, {"name": "kernel.shmmax", "value": "100000000"},
        {"name": "safe-and-unsafe", "value": "100000000"}, {"name": "bar..", "value": "42"},
    ]  # fmt: skip
    container = {"name": "c", "image": "e2e/busybox"}
    spec = {"containers": [container], "securityContext": {"sysctls": settings}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sysctl"}, "spec": spec}
    with pytest.raises(Refused) as told:
        Typed(api, "v1", "pods", namespace).create(body)
    text = str(told.value)
    assert 'Invalid value: "foo-"' in text
    assert 'Invalid value: "bar.."' in text
    assert "safe-and-unsafe" not in text
    assert "kernel.shmmax" not in text


@pytest.mark.parametrize("version", ["v1", "events.k8s.io/v1"])
def test_events_of_a_label_go_together(api: Any, namespace: str, version: str) -> None:
    events = Typed(api, version, "events", namespace)
    about = {"kind": "Pod", "namespace": namespace, "name": "pod", "apiVersion": "v1"}
    source = {"reportingController": "test-controller", "reportingInstance": "test-node", "reason": "Test"}
    for number in range(3):
        meta = {"name": f"test-event-{number}", "labels": {"testevent-set": "true"}}
        made: Object = {"apiVersion": version, "kind": "Event", "metadata": meta, "type": "Normal"}
        if version == "v1":
            here = {"namespace": namespace}
            made.update(involvedObject=here, message=f"This is {number}", reason="Test", count=1)
        else:
            made.update(regarding=about, note="This is a test event", action="Do", **source)
            made["eventTime"] = "2026-01-01T00:00:00.123456Z"
        events.create(made)
    assert len(events.list(labelSelector="testevent-set=true")["items"]) == 3
    events.delete_collection(labelSelector="testevent-set=true")
    assert events.list(labelSelector="testevent-set=true")["items"] == []


def _job(name: str, labels: Object, **spec: Any) -> Object:
    container = {"name": "c", "image": "e2e/busybox"}
    template: Object = {
        "metadata": {"labels": {"job": name}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    if spec.pop("succeeds", False):
        template["metadata"]["annotations"] = {"tiphys.dev/exit-code": "0"}
    amounts = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "manualSelector": False}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels},
        "spec": {**amounts, "template": template, **spec},
    }  # fmt: skip


@pytest.mark.slow
def test_a_jobs_life(api: Any, namespace: str) -> None:
    """Suspended, patched, let go, complete, deleted with the collection of its label; watched each time."""
    jobs, pods = Typed(api, "batch/v1", "jobs", namespace), Typed(api, "v1", "pods", namespace)
    name = "e2e-job"
    selector = f"e2e-job-label={namespace}"

    def seen(since: Object, holds: Any, kind: str) -> Object:
        with jobs.watch(since["metadata"]["resourceVersion"], labelSelector=selector) as events:
            return next(found for told, found in events if told == kind and holds(found))

    start = jobs.list(labelSelector=selector)
    made = jobs.create(_job(name, {"e2e-job-label": namespace}, succeeds=True, suspend=True))
    patched = jobs.patch(name, {"metadata": {"labels": {name: "patched"}}}, STRATEGIC)
    versions = [int(one["metadata"]["resourceVersion"]) for one in (made, patched)]
    assert versions[0] < versions[1]
    assert seen(start, lambda found: found["metadata"]["labels"].get(name) == "patched", "MODIFIED")
    assert pods.list()["items"] == []

    def resume(live: Object) -> None:
        live["spec"]["suspend"] = False
        live["metadata"].setdefault("annotations", {})["updated"] = "true"

    updated = jobs.changed(name, resume)
    noted = seen(patched, lambda found: "updated" in found["metadata"].get("annotations", {}), "MODIFIED")
    assert noted["metadata"]["annotations"] == updated["metadata"]["annotations"]
    assert len(jobs.within("").list(labelSelector=selector)["items"]) == 1
    done = jobs.until(name, lambda live: condition(live, "Complete").get("status") == "True")
    assert condition(done, "Complete")["reason"] == "CompletionsReached"
    amounts = {"succeeded": 4, "ready": 0, "terminating": 0}
    assert {key: done["status"].get(key) for key in ("active", *amounts)} == {"active": None, **amounts}
    jobs.delete_collection(propagation="Background", labelSelector=selector)
    seen(updated, lambda found: found["metadata"]["name"] == name, "DELETED")
    assert jobs.within("").list(labelSelector=selector)["items"] == []
    eventually(lambda: pods.list()["items"] == [])


@pytest.mark.slow
def test_a_jobs_status(api: Any, namespace: str) -> None:
    """A condition of a client's own kind stays while the controller counts; its time is what was sent."""
    jobs = Typed(api, "batch/v1", "jobs", namespace)
    made = jobs.create(_job("job", {}))
    jobs.until("job", lambda live: live["status"].get("ready") == 2)
    own = {"type": "CustomConditionType", "status": "True", "lastProbeTime": None}
    times = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2)]
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"conditions": [{**own, "lastTransitionTime": times[0]}]},
    }
    patched = jobs.patch("job", patch, MERGE, "status")
    assert condition(patched, own["type"])["lastTransitionTime"] == times[0]
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"

    def later(live: Object) -> None:
        condition(live, own["type"])["lastTransitionTime"] = times[1]

    updated = jobs.changed("job", later, "status")
    assert condition(updated, own["type"])["lastTransitionTime"] == times[1]
    read = jobs.as_json().get("job", "status")
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert condition(read, own["type"]) == {**own, "lastTransitionTime": times[1]}


def test_cron_jobs_by_every_operation(api: Any, namespace: str) -> None:
    jobs, selector = Typed(api, "batch/v1", "cronjobs", namespace), f"special-label={namespace}"
    body = {
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "test-api", "labels": {"special-label": namespace}},
        "spec": {
            "schedule": "* */1 * * ?", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 0, "jobTemplate": {"spec": _job("", {})["spec"]}, "suspend": True,
        },
    }  # fmt: skip
    body["spec"]["jobTemplate"]["spec"].pop("manualSelector")
    made = jobs.create(body)
    uid = made["metadata"]["uid"]
    assert jobs.get("test-api")["metadata"]["uid"] == uid
    listed = jobs.list(labelSelector=selector)
    assert len(listed["items"]) == len(jobs.within("").list(labelSelector=selector)["items"]) == 1
    start = listed["metadata"]["resourceVersion"]
    with (
        jobs.watch(start, labelSelector=selector) as events,
        jobs.within("").watch(start, labelSelector=selector) as everywhere,
    ):
        patched = jobs.patch("test-api", {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        assert patched["metadata"]["annotations"] == {"patched": "true"}
        updated = jobs.changed(
            "test-api", lambda live: live["metadata"]["annotations"].update(updated="true")
        )
        assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
        for where in (events, everywhere):
            kind, found = next(where)
            assert (kind, found["metadata"]["annotations"]) == ("MODIFIED", {"patched": "true"})
    first, second = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    noted = {"metadata": {"annotations": {"patchedstatus": "true"}}}
    told = jobs.patch("test-api", {**noted, "status": {"lastScheduleTime": first}}, MERGE, "status")
    assert told["status"]["lastScheduleTime"] == first
    assert told["metadata"]["annotations"]["patchedstatus"] == "true"
    told = jobs.changed("test-api", lambda live: live["status"].update(lastScheduleTime=second), "status")
    assert told["status"]["lastScheduleTime"] == second
    assert jobs.as_json().get("test-api", "status")["metadata"]["uid"] == uid
    body["metadata"]["name"] = "for-removal"
    jobs.create(body)
    jobs.delete("for-removal")
    assert jobs.gone("for-removal")
    jobs.delete_collection(labelSelector=selector)
    assert jobs.list(labelSelector=selector)["items"] == []
