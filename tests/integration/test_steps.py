"""Steps that upstream's tests take with one kind and no other: limits, accounts, classes of priority."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Refused, Typed, eventually


def _amounts(cpu: str, memory: str, disk: str) -> Object:
    found = {"cpu": cpu, "memory": memory, "ephemeral-storage": disk}
    return {key: value for key, value in found.items() if value}


MIN, MAX = _amounts("50m", "100Mi", "100Gi"), _amounts("500m", "500Mi", "500Gi")
REQUEST, NEW_MIN = _amounts("100m", "200Mi", "200Gi"), _amounts("9m", "49Mi", "49Gi")


def _limit_range(name: str, **labels: str) -> Object:
    item = {"type": "Container", "min": MIN, "max": MAX, "default": MAX, "defaultRequest": REQUEST}
    return {
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name, "labels": labels},
        "spec": {"limits": [item]},
    }  # fmt: skip


def _pod(name: str, requests: Object, limits: Object) -> Object:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    container = {"name": "pause", "image": "e2e/pause", "resources": resources}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]},
    }  # fmt: skip


def test_limits_of_a_namespace(api: Any, namespace: str) -> None:
    ranges, pods = Typed(api, "v1", "limitranges", namespace), Typed(api, "v1", "pods", namespace)
    start = ranges.list(labelSelector="time=now")
    assert start["items"] == []
    with ranges.watch(start["metadata"]["resourceVersion"], labelSelector="time=now") as events:
        ranges.create(_limit_range("limit-range", time="now"))
        assert next(events)[0] == "ADDED"
    live = ranges.get("limit-range")
    (item,) = live["spec"]["limits"]
    assert (item["default"], item["defaultRequest"]) == (MAX, REQUEST)
    pods.create(_pod("none", {}, {}))
    pods.create(_pod("partial", _amounts("", "150Mi", "150Gi"), _amounts("300m", "", "")))
    wanted = {
        "none": (REQUEST, MAX),
        "partial": (_amounts("300m", "150Mi", "150Gi"), _amounts("300m", "500Mi", "500Gi")),
    }
    for name, (requests, limits) in wanted.items():
        found = pods.get(name)["spec"]["containers"][0]["resources"]
        assert (found["requests"], found["limits"]) == (requests, limits), name

    def refused(requests: Object, reason: str) -> None:
        with pytest.raises(Refused) as told:
            pods.create(_pod("pfpod", requests, {}))
        assert told.value.reason == reason

    small, large = _amounts("10m", "50Mi", "50Gi"), _amounts("600m", "600Mi", "600Gi")
    refused(small, "Forbidden")
    refused(large, "Invalid")
    item["min"] = NEW_MIN
    ranges.update(live)
    assert ranges.get("limit-range")["spec"]["limits"][0]["min"] == NEW_MIN
    pods.create(_pod("pfpod", small, {}))
    refused(large, "Invalid")
    ranges.delete("limit-range", gracePeriodSeconds=30)
    eventually(lambda: ranges.list()["items"] == [])
    pods.create(_pod("pfpod2", large, {}))


def test_limits_go_by_their_label(api: Any, namespace: str) -> None:
    """The patch says the whole of what it read, with the time of creation."""
    other = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "it-"}}).json["metadata"]["name"]
    ranges = Typed(api, "v1", "limitranges", namespace)
    name, everywhere = "e2e-limitrange", ranges.within("")
    made = ranges.create(_limit_range(name, **{"e2e-test": namespace, name: "created"}))
    ranges.within(other).create(_limit_range(name, **{"e2e-test": namespace, name: "created"}))
    assert len(everywhere.list(labelSelector=f"e2e-test={namespace}")["items"]) == 2
    spec = made["spec"]
    spec["limits"][0]["min"] = NEW_MIN
    when = made["metadata"]["creationTimestamp"]
    patch = {"metadata": {"creationTimestamp": when, "labels": {name: "patched"}}, "spec": spec}
    patched = ranges.patch(name, patch, STRATEGIC)
    assert patched["metadata"]["labels"] == {"e2e-test": namespace, name: "patched"}
    assert [one["min"] for one in patched["spec"]["limits"]] == [NEW_MIN]
    ranges.delete_collection(labelSelector=f"{name}=patched")
    assert ranges.list(labelSelector=f"{name}=patched")["items"] == []
    (left,) = everywhere.list(labelSelector=f"e2e-test={namespace}")["items"]
    assert left["metadata"]["namespace"] == other
    api("DELETE", f"/api/v1/namespaces/{other}")


def test_an_accounts_life(api: Any, namespace: str) -> None:
    """The watch begins after the creation and shows it; all accounts of the namespace are deleted."""
    accounts = Typed(api, "v1", "serviceaccounts", namespace)
    label = "test-serviceaccount-static=true"
    meta = {"name": "testserviceaccount", "labels": {"test-serviceaccount-static": "true"}}
    made = accounts.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    assert accounts.get("testserviceaccount")["metadata"]["uid"] == made["metadata"]["uid"]
    with accounts.watch("", labelSelector=label, timeoutSeconds="180") as events:
        assert next(events)[0] == "ADDED"
        patch = {"metadata": {"creationTimestamp": None}, "automountServiceAccountToken": False}
        accounts.patch("testserviceaccount", patch, STRATEGIC)
        assert next(events)[0] == "MODIFIED"
        (found,) = accounts.within("").list(labelSelector=label)["items"]
        assert found["automountServiceAccountToken"] is False
        accounts.delete_collection()
        assert next(events)[0] == "DELETED"


def test_an_accounts_token_is_reviewed(api: Any, namespace: str) -> None:
    accounts = Typed(api, "v1", "serviceaccounts", namespace)
    made = accounts.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "e2e"}})
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    token = accounts.create(body, "e2e", "token")["status"]["token"]
    reviews = Typed(api, "authentication.k8s.io/v1", "tokenreviews")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = reviews.create(review)["status"]
    assert (status.get("authenticated"), status.get("error")) == (True, None)
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{namespace}:e2e"
    assert user["uid"] == made["metadata"]["uid"]


def test_the_authority_is_in_every_namespace(api: Any, namespace: str) -> None:
    """It comes by itself, comes again when it was deleted, and is what it was after an update."""
    maps = Typed(api, "v1", "configmaps", namespace)
    name = "kube-root-ca.crt"
    eventually(lambda: not maps.gone(name))
    maps.delete(name, gracePeriodSeconds=0)
    eventually(lambda: not maps.gone(name))
    maps.update({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"ca.crt": ""}})
    eventually(lambda: maps.get(name)["data"].get("ca.crt"))


def test_a_reviews_word_is_true(api: Any, namespace: str) -> None:
    """A review of an account tells what happens to who acts as it, also where it names no account."""
    accounts = Typed(api, "v1", "serviceaccounts", namespace)
    made = accounts.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "e2e"}})
    user = f"system:serviceaccount:{namespace}:e2e"
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    asked = {"verb": "list", "resource": "configmaps", "namespace": namespace, "version": "v1"}

    def review(kind: str, who: str, where: Typed) -> bool:
        spec = {"resourceAttributes": asked, "user": who, "groups": groups, "uid": made["metadata"]["uid"]}
        body: Object = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        body["metadata"] = {"namespace": where.namespace} if where.namespace else {}
        return bool(where.create(body)["status"].get("allowed"))

    plain = Typed(api, "authorization.k8s.io/v1", "subjectaccessreviews")
    local = Typed(api, "authorization.k8s.io/v1", "localsubjectaccessreviews", namespace)
    connection = api.connect()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    connection.putrequest("GET", path)
    for key, value in (
        ("Authorization", f"Bearer {api.token}"), ("Impersonate-User", user),
        ("Impersonate-Uid", made["metadata"]["uid"]), *(("Impersonate-Group", one) for one in groups),
    ):  # fmt: skip
        connection.putheader(key, value)
    connection.endheaders()
    allowed = connection.getresponse().status == 200
    connection.close()
    assert review("SubjectAccessReview", user, plain) is allowed
    assert review("LocalSubjectAccessReview", "e2e", local) is allowed


def test_classes_of_priority_by_every_method(api: Any) -> None:
    """A value stays; a description changes by update and by patch, and not the value with it."""
    classes = Typed(api, "scheduling.k8s.io/v1", "priorityclasses")
    made = []
    for name, value in (("p1", 1), ("p2", 2)):
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        made.append(classes.create({**body, "value": value}))
    for one in made:
        name = one["metadata"]["name"]
        patch = {"value": one["value"] * 10}
        with pytest.raises(Refused) as told:
            classes.patch(name, patch, STRATEGIC)
        assert told.value.reason == "Invalid"
        with pytest.raises(Refused) as told:
            classes.update({**one, "value": one["value"] * 10})
        assert told.value.reason == "Invalid"
        classes.patch(name, {"description": "updated description"}, STRATEGIC)
        live = classes.get(name)
        assert (live["value"], live["description"]) == (one["value"], "updated description")
        live["description"] = "again"
        assert classes.update(live)["description"] == "again"
        classes.delete(name)
        assert classes.gone(name)


DEPLOYMENT = """{"apiVersion": "apps/v1", "kind": "Deployment",
 "metadata": {"name": "my-dep", %s "labels": {"app": "nginx"}},
 "spec": {%s "selector": {"matchLabels": {"app": "nginx"}},
  "template": {"metadata": {"labels": {"app": "nginx"}},
   "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]}}}}"""


@pytest.mark.parametrize(
    ("meta", "spec", "told"),
    [
        (
            "", '"unknownField": "foo", "replicas": 2, "replicas": 3,',
            'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"',
        ),
        ('"unknownMeta": "foo",', "", 'strict decoding error: unknown field "metadata.unknownMeta"'),
    ],
)  # fmt: skip
def test_fields_of_bytes_that_say_no_type(api: Any, namespace: str, meta: str, spec: str, told: str) -> None:
    """A typed client that is given bytes sends them without a content type, and asks for protobuf."""
    body = (DEPLOYMENT % (meta, spec)).encode()
    connection = api.connect()
    connection.request(
        "POST",
        f"/apis/apps/v1/namespaces/{namespace}/deployments?fieldManager=mgr&fieldValidation=Strict",
        body,
        {
            "Authorization": f"Bearer {api.token}",
            "Accept": "application/vnd.kubernetes.protobuf,application/json",
        },
    )
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    assert (answer.status, told.encode() in raw) == (400, True), raw
