"""What upstream's tests of Deployments, Jobs, system settings and events do, step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Refused, Typed, eventually

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
            made.update(involvedObject=about, message="This is a test event", reason="Test")
        else:
            made.update(regarding=about, note="This is a test event", action="Do", **source)
            made["eventTime"] = "2026-01-01T00:00:00.123456Z"
        events.create(made)
    assert len(events.list(labelSelector="testevent-set=true")["items"]) == 3
    events.delete_collection(labelSelector="testevent-set=true")
    assert events.list(labelSelector="testevent-set=true")["items"] == []
