"""Steps of upstream's tests of sets of pods: scales, statuses, patches, collections; through protobuf."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Refused, Typed, condition, eventually

pytestmark = pytest.mark.slow
REPLICAS = {"ReplicaSet": "replicasets", "Deployment": "deployments", "StatefulSet": "statefulsets"}
PLURALS = {**REPLICAS, "DaemonSet": "daemonsets", "ReplicationController": "replicationcontrollers"}


def _client(api: Any, kind: str, namespace: str) -> Typed:
    version = "v1" if kind == "ReplicationController" else "apps/v1"
    return Typed(api, version, PLURALS[kind], namespace)


def _set(kind: str, name: str, labels: Object, replicas: int = 1, image: str = "e2e/httpd") -> Object:
    """A set as upstream makes it; its pods and itself wear the same labels."""
    container = {"name": "httpd", "image": image, "ports": [{"containerPort": 9376}]}
    pods = {"containers": [container], "terminationGracePeriodSeconds": 0}
    spec: Object = {"template": {"metadata": {"labels": labels}, "spec": pods}}
    if kind != "ReplicationController":
        spec["selector"] = {"matchLabels": labels}
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = "test"
    version = "v1" if kind == "ReplicationController" else "apps/v1"
    meta = {"name": name, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def _labels(namespace: str) -> Object:
    return {"name": "sample-pod", "pod": "httpd", "e2e": namespace}


def _is_ready(count: int) -> Any:
    def holds(live: Object) -> bool:
        status = live.get("status", {})
        ready = status.get("readyReplicas", status.get("numberReady", 0))
        return bool(ready == count and status["observedGeneration"] == live["metadata"]["generation"])

    return holds


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "Deployment", "ReplicationController"])
def test_scales(api: Any, namespace: str, kind: str) -> None:
    """Replaced without a version, patched by a whole Scale with all its zeros; the set follows each."""
    client = _client(api, kind, namespace)
    client.create(_set(kind, "test", _labels(namespace)))
    client.until("test", _is_ready(1))
    scale = client.get("test", "scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 1, 1)
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    assert client.update(scale, "scale")["spec"]["replicas"] == 2
    assert client.get("test")["spec"]["replicas"] == 2
    client.until("test", lambda live: live["status"].get("replicas") == 2)
    whole = {"metadata": {"creationTimestamp": None}, "spec": {"replicas": 4}, "status": {"replicas": 0}}
    client.patch("test", whole, STRATEGIC, "scale")
    assert client.get("test")["spec"]["replicas"] == 4


@pytest.mark.parametrize("kind", ["ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"])
def test_statuses(api: Any, namespace: str, kind: str) -> None:
    """A condition by an update, one by a patch; a watch that began before all of it sees both."""
    client, labels = _client(api, kind, namespace), _labels(namespace)
    selector = f"e2e={namespace}"
    start = client.within("").list(labelSelector=selector)["metadata"]["resourceVersion"]
    made = client.create(_set(kind, "test", labels))
    client.until("test", _is_ready(3 if kind == "DaemonSet" else 1))
    read = client.as_json().get("test", "status")
    assert (read["kind"], read["metadata"]["uid"]) == (kind, made["metadata"]["uid"])
    told = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def append(live: Object) -> None:
        live["status"].setdefault("conditions", []).append(dict(told))

    updated = condition(client.changed("test", append, "status"), "StatusUpdate")
    assert told.items() <= updated.items()

    def seen(wanted: str) -> Object:
        with client.watch(start, labelSelector=selector) as events:
            return next(found for _, found in events if condition(found, wanted))

    assert told.items() <= condition(seen("StatusUpdate"), "StatusUpdate").items()
    patch: Object = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    if kind == "DaemonSet":
        patch = {**DAEMON_ZEROS, "status": {**DAEMON_ZEROS["status"], **patch["status"]}}
    patched = client.patch("test", patch, MERGE, "status")
    assert [one["type"] for one in patched["status"]["conditions"]] == ["StatusPatched"]
    found = seen("StatusPatched")
    assert (found["metadata"]["labels"], found["spec"]["template"]) == (labels, made["spec"]["template"])


DAEMON_ZEROS: Object = {
    "metadata": {"creationTimestamp": None},
    "spec": {
        "selector": None, "updateStrategy": {},
        "template": {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}},
    },
    "status": {
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
    },
}  # fmt: skip
"""What Go writes of a DaemonSet whose fields are all empty."""


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "DaemonSet"])
def test_collections(api: Any, namespace: str, kind: str) -> None:
    """Found everywhere by its label; gone as soon as the deletion is answered, with its seconds of grace."""
    client, selector = _client(api, kind, namespace), f"e2e={namespace}"
    client.create(_set(kind, "test", _labels(namespace), 3))
    client.until("test", _is_ready(3))
    assert len(client.within("").list(labelSelector=selector)["items"]) == 1
    client.delete_collection(grace_s=1, labelSelector=selector)
    assert client.within("").list(labelSelector=selector)["items"] == []
    pods = Typed(api, "v1", "pods", namespace)
    eventually(lambda: pods.list(labelSelector=selector)["items"] == [])


@pytest.mark.parametrize(("kind", "grace"), [
    ("ReplicaSet", "terminationGracePeriodSeconds"), ("StatefulSet", "TerminationGracePeriodSeconds"),
])  # fmt: skip
def test_a_set_that_gets_another_container(api: Any, namespace: str, kind: str, grace: str) -> None:
    """The patch names a container that was not there: it comes first. A field of Go's name is passed over.

    The watch is of a label that the set has only since the patch.
    """
    client, pods = _client(api, kind, namespace), Typed(api, "v1", "pods", namespace)
    label = f"test-set={namespace}"
    start = client.within("").list(labelSelector=label)["metadata"]["resourceVersion"]
    client.create(_set(kind, "test", _labels(namespace)))
    client.until("test", _is_ready(1))
    client.changed("test", lambda live: live["spec"].update(replicas=2))
    change = {grace: 1, "containers": [{"name": "test", "image": "e2e/pause"}]}
    patch = {
        "metadata": {"labels": {"test-set": namespace}},
        "spec": {"replicas": 3, "template": {"spec": change}},
    }
    client.patch("test", patch, STRATEGIC)
    live = client.get("test")
    assert live["spec"]["replicas"] == 3
    template = live["spec"]["template"]["spec"]
    assert [one["image"] for one in template["containers"]] == ["e2e/pause", "e2e/httpd"]
    assert template["terminationGracePeriodSeconds"] == (1 if grace[0] == "t" else 0)
    with client.watch(start, labelSelector=label) as events:
        first = next(events)
        assert (first[0], first[1]["metadata"]["name"]) == ("ADDED", "test")
        if not _is_ready(3)(first[1]):
            assert any(
                _is_ready(3)(found) and found["status"]["availableReplicas"] == 3 for _, found in events
            )
    assert len(client.within("").list(labelSelector=label)["items"]) == 1
    client.delete_collection(grace_s=1, labelSelector=label)
    assert client.within("").list(labelSelector=label)["items"] == []
    eventually(lambda: pods.list()["items"] == [])


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_an_orphan_is_taken_and_a_stranger_let_go(api: Any, namespace: str, kind: str) -> None:
    """The orphan keeps its UID; all labels of the released one are replaced at once."""
    client, pods = _client(api, kind, namespace), Typed(api, "v1", "pods", namespace)
    name = "pod-adoption-release"
    labels = {"name": name}
    spec = {"containers": [{"name": name, "image": "e2e/httpd"}]}
    made = pods.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
    )
    pods.until(name, lambda live: live["status"].get("phase") == "Running")
    uid = client.create(_set(kind, name, labels))["metadata"]["uid"]

    def owned(live: Object) -> bool:
        owners = live["metadata"].get("ownerReferences") or []
        return any(one.get("controller") and one["uid"] == uid for one in owners)

    assert pods.until(name, owned)["metadata"]["uid"] == made["metadata"]["uid"]
    (mine,) = pods.list(labelSelector=f"name={name}")["items"]
    stranger = {"labels": {"name": "not-matching-name"}}
    pods.changed(mine["metadata"]["name"], lambda live: live["metadata"].update(stranger))
    pods.until(mine["metadata"]["name"], lambda live: not owned(live))
    client.until(name, _is_ready(1))
    eventually(lambda: len(pods.list(labelSelector=f"name={name}")["items"]) == 1)


def test_a_replication_controllers_life(api: Any, namespace: str) -> None:
    """One watch from before its creation to its deletion, and every subresource on the way."""
    client = _client(api, "ReplicationController", namespace)
    label = f"test-rc-static={namespace}"
    start = client.list(labelSelector=label)["metadata"]["resourceVersion"]
    with client.watch(start, labelSelector=label) as events:

        def follows(holds: Any = bool, *kinds: str) -> Object:
            return next(found for kind, found in events if (not kinds or kind in kinds) and holds(found))

        def has(count: int, field: str = "replicas") -> Any:
            return lambda found: found.get("status", {}).get(field, 0) == count

        client.create(_set("ReplicationController", "rc-test", {"test-rc-static": namespace}))
        follows(bool, "ADDED")
        follows(lambda found: has(1)(found) and has(1, "readyReplicas")(found))
        patch = {"metadata": {"creationTimestamp": None, "labels": {"test-rc": "patched"}}}
        empty = {"spec": {}, "status": {"replicas": 0}}
        patched = client.patch("rc-test", {**patch, **empty}, STRATEGIC)
        assert patched["metadata"]["labels"]["test-rc"] == "patched"
        follows(bool, "MODIFIED")
        zeros = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        told = client.patch("rc-test", zeros, STRATEGIC, "status")
        assert told["status"].get("readyReplicas", 0) == 0
        follows(bool, "MODIFIED")
        follows(has(1))
        assert client.as_json().get("rc-test", "status")["status"]["replicas"] == 1
        whole = {"metadata": {"creationTimestamp": None}, "spec": {"replicas": 2}, "status": {"replicas": 0}}
        client.patch("rc-test", whole, STRATEGIC, "scale")
        follows(bool, "MODIFIED")
        follows(lambda found: has(2)(found) and has(2, "readyReplicas")(found))
        live = client.get("rc-test")
        assert live["metadata"]["labels"]["test-rc"] == "patched"
        live["status"].update(availableReplicas=1, readyReplicas=1)
        client.update(live, "status")
        follows(bool, "MODIFIED")
        (found,) = client.within("").list(labelSelector=label)["items"]
        assert found["metadata"]["labels"] == {"test-rc-static": namespace, "test-rc": "patched"}
        client.delete_collection(labelSelector=label)
        follows(bool, "DELETED")


def test_a_deployments_life(api: Any, namespace: str) -> None:
    """A patch of its status changes no label; an update without a version takes all that came between."""
    client, label = _client(api, "Deployment", namespace), f"test-deployment-static={namespace}"
    dynamic = client.as_json()
    static = {"test-deployment-static": namespace}
    start = client.within("").list(labelSelector=label)["metadata"]["resourceVersion"]
    body = _set("Deployment", "test-deployment", static, 2)
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "test-deployment"

    def seen(since: str, holds: Any, *kinds: str) -> Object:
        with client.watch(since, labelSelector=label) as events:
            return next(found for kind, found in events if (not kinds or kind in kinds) and holds(found))

    def runs(count: int, image: str) -> Any:
        return lambda found: found["status"].get("readyReplicas", 0) == count and _image(found) == image

    client.create(body)
    seen(start, bool, "ADDED")
    seen(start, runs(2, "e2e/httpd"))
    container = {"name": "test-deployment", "image": "e2e/pause", "command": ["/bin/sleep", "100000"]}
    pods = {"TerminationGracePeriodSeconds": 0, "containers": [container]}
    patch = {
        "metadata": {"labels": {"test-deployment": "patched"}},
        "spec": {"replicas": 1, "template": {"spec": pods}},
    }
    client.patch("test-deployment", patch, STRATEGIC)
    seen(start, bool, "MODIFIED")
    seen(start, runs(1, "e2e/pause"))
    listed = client.within("").list(labelSelector=label)
    assert [one["metadata"]["namespace"] for one in listed["items"]] == [namespace]
    start = listed["metadata"]["resourceVersion"]
    body["metadata"]["labels"] = {**static, "test-deployment": "updated"}
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "e2e/agnhost"
    dynamic.update(body)
    seen(start, bool, "MODIFIED")
    for written in ({}, {"readyReplicas": 0}, {"readyReplicas": 0, "availableReplicas": 0}):
        told = {"metadata": {"labels": {"test-deployment": "patched-status"}}, "status": written}
        if len(written) == 1:  # fewer ready than available: the client does not care for the answer
            with pytest.raises(Refused, match="cannot be greater than readyReplicas"):
                dynamic.patch("test-deployment", told, STRATEGIC, "status")
        else:
            dynamic.patch("test-deployment", told, STRATEGIC, "status")
        read = dynamic.get("test-deployment", "status")
        assert (_image(read), read["metadata"]["labels"]["test-deployment"]) == ("e2e/agnhost", "updated")
        seen(start, runs(2, "e2e/agnhost"))
    client.delete_collection(grace_s=0, labelSelector=label)
    seen(start, bool, "DELETED")


def _image(found: Object) -> str:
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_a_deployment_with_no_history_takes_a_set_over(api: Any, namespace: str) -> None:
    """The set is given another selector and makes no pod for it; then it goes, for no history is kept."""
    sets, pods = _client(api, "ReplicaSet", namespace), Typed(api, "v1", "pods", namespace)
    sets.create(_set("ReplicaSet", "test-cleanup-controller", {"name": "cleanup-pod", "pod": "httpd"}))
    sets.until("test-cleanup-controller", _is_ready(1))
    start = pods.list()["metadata"]["resourceVersion"]
    body = _set("Deployment", "test-cleanup-deployment", {"name": "cleanup-pod"}, image="e2e/agnhost")
    body["spec"]["revisionHistoryLimit"] = 0
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "agnhost"
    _client(api, "Deployment", namespace).create(body)
    eventually(lambda: sets.gone("test-cleanup-controller"))
    end = pods.create({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "end"},
        "spec": {"containers": [{"name": "end", "image": "e2e/pause"}]},
    })  # fmt: skip
    made = []
    with pods.watch(start) as events:
        for kind, found in events:
            if found["metadata"]["uid"] == end["metadata"]["uid"]:
                break
            if kind == "ADDED":
                made.append(found["spec"]["containers"][0]["name"])
    assert made == ["agnhost"]
