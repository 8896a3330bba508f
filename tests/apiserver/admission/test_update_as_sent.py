"""Who may change an update sees it as it was sent; who may only refuse sees what is stored."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

GROUP = "/apis/admissionregistration.k8s.io/v1"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
NAMESPACES = "/api/v1/namespaces"
STARTED = "2020-01-01T00:00:00Z"


def deployment(**status: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, "replicas": 2},
        "status": status,
    }


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def watch_over(api: Any, webhook: Any, resources: str, group: str = "") -> None:
    """Have every update shown to a mutating and to a validating webhook."""
    for kind in ("mutating", "validating"):
        hook = {
            "name": "one.example.com", "clientConfig": webhook.url(f"/{kind}"), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["UPDATE"],
                       "resources": [resources]}],
        }  # fmt: skip
        await api.create(
            f"{GROUP}/{kind}webhookconfigurations", {"metadata": {"name": "c"}, "webhooks": [hook]}
        )
    await api.settle()


def shown(webhook: Any) -> tuple[Any, Any]:
    """Return the object as the mutating and as the validating webhook saw it last."""
    mutating, validating = webhook.asked[-2:]
    return mutating["object"], validating["object"]


class Sent(NamedTuple):
    name: str
    kind: str
    """PUT, or the kind of patch."""
    status: int = 200


SENT = (Sent("put", "PUT"), Sent("merge", "merge"), Sent("strategic", "strategic"), Sent("json", "json"),
        Sent("apply", "apply"))  # fmt: skip


async def send(api: Any, kind: str, path: str, body: Any) -> Any:
    if kind == "PUT":
        return await api("PUT", path, body)
    if kind == "json":
        body = [{"op": "add", "path": f"/{key}", "value": body[key]} for key in ("spec", "status")]
    if kind == "apply":
        path += "?fieldManager=m&force=true"
    return await api.patch(path, body, kind)


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name)
async def test_status_beside_an_update(api: Any, webhook: Any, case: Sent) -> None:
    await api.create(DEPLOYMENTS, deployment())
    await watch_over(api, webhook, "deployments", "apps")
    body = deployment(replicas=7)
    body["spec"]["replicas"] = 5
    answer = await send(api, case.kind, f"{DEPLOYMENTS}/d", body)
    assert answer.status == 200, answer.raw
    sent, stored = shown(webhook)
    assert (sent["spec"]["replicas"], sent["status"].get("replicas")) == (5, 7)
    assert (sent["metadata"].get("generation", 1), stored["metadata"]["generation"]) == (1, 2)
    assert stored["status"] == answer.json["status"] == {}
    fields = {entry["manager"]: entry["fieldsV1"] for entry in answer.json["metadata"]["managedFields"]}
    assert all("f:status" not in owned for owned in fields.values())


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name)
async def test_the_rest_beside_a_status(api: Any, webhook: Any, case: Sent) -> None:
    await api.create(DEPLOYMENTS, deployment())
    await watch_over(api, webhook, "deployments/status", "apps")
    body = deployment(replicas=7, observedGeneration=1)
    body["spec"]["replicas"] = 5
    answer = await send(api, case.kind, f"{DEPLOYMENTS}/d/status", body)
    assert answer.status == 200, answer.raw
    sent, stored = shown(webhook)
    assert (sent["spec"]["replicas"], stored["spec"]["replicas"]) == (5, 2)
    assert sent["status"]["replicas"] == stored["status"]["replicas"] == 7
    entries = answer.json["metadata"]["managedFields"]
    first = next(entry for entry in entries if not entry.get("subresource"))
    assert "f:replicas" in first["fieldsV1"]["f:spec"]  # the spec is still its first writer's
    live = await api.get(f"{DEPLOYMENTS}/d")
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (2, 1)


async def test_what_a_webhook_adds_beyond_the_endpoint_goes(api: Any, webhook: Any, webhooks: Any) -> None:
    await api.create(DEPLOYMENTS, deployment())
    await watch_over(api, webhook, "deployments/*", "apps")
    added = {"op": "add", "path": "/status/readyReplicas", "value": 1}
    beyond = {"op": "replace", "path": "/spec/replicas", "value": 9}
    webhook.answers["/mutating"] = webhooks.patch(added, beyond)
    answer = await api.put(f"{DEPLOYMENTS}/d/status", deployment(replicas=1))
    assert (answer["status"], answer["spec"]["replicas"]) == ({"replicas": 1, "readyReplicas": 1}, 2)


async def test_parts_of_a_pod(api: Any, webhook: Any) -> None:
    await api.create(PODS, pod())
    await watch_over(api, webhook, "pods/ephemeralcontainers")
    live = await api.get(f"{PODS}/p")
    live["spec"]["ephemeralContainers"] = [{"name": "e", "image": "e"}]
    live["spec"]["activeDeadlineSeconds"] = 5
    live["metadata"]["labels"] = {"sent": "yes"}
    await api.put(f"{PODS}/p/ephemeralcontainers", live)
    sent, stored = shown(webhook)
    assert sent["spec"]["activeDeadlineSeconds"] == 5
    assert sent["metadata"]["labels"] == {"sent": "yes"}
    assert "activeDeadlineSeconds" not in stored["spec"]
    assert [one["name"] for one in stored["spec"]["ephemeralContainers"]] == ["e"]
    assert sent["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "Always"  # defaults come first


async def test_finalizing_a_namespace_writes_all_but_its_status(api: Any) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "n"}, "spec": {"finalizers": ["example.com/f"]}})
    live = await api.get(f"{NAMESPACES}/n")
    live["metadata"]["labels"]["more"] = "1"
    live["spec"]["finalizers"] = ["kubernetes"]
    live["status"] = {"phase": "Terminating"}
    done = await api.put(f"{NAMESPACES}/n/finalize", live)
    assert done["metadata"]["labels"]["more"] == "1"
    assert done["spec"]["finalizers"] == ["kubernetes"]
    assert done["status"]["phase"] == "Active"


async def test_webhooks_are_asked_before_versions_are_compared(api: Any, webhook: Any, webhooks: Any) -> None:
    await api.create(DEPLOYMENTS, deployment())
    await watch_over(api, webhook, "deployments", "apps")
    body = deployment()
    body["metadata"]["resourceVersion"] = "1"
    answer = await api("PUT", f"{DEPLOYMENTS}/d", body)
    assert (answer.status, len(webhook.asked)) == (409, 1)
    webhook.answers["/mutating"] = lambda _request: {"allowed": False}
    assert (await api("PUT", f"{DEPLOYMENTS}/d", body)).status == 400
    body["metadata"]["uid"] = "other"
    answer = await api("PUT", f"{DEPLOYMENTS}/d", body)  # which object it is to be is asked before
    assert (answer.status, len(webhook.asked)) == (409, 2)


FIXED = (
    ("uid", {"uid": "other"}),
    ("deletionTimestamp", {"deletionTimestamp": STARTED}),
    ("deletionGracePeriodSeconds", {"deletionGracePeriodSeconds": 3}),
)


@pytest.mark.parametrize(("field", "change"), FIXED, ids=[field for field, _ in FIXED])
async def test_what_no_update_changes(api: Any, field: str, change: Any) -> None:
    await api.create(DEPLOYMENTS, deployment())
    answer = await api.patch(f"{DEPLOYMENTS}/d", {"metadata": change})
    assert answer.status == 422
    assert answer.json["details"]["causes"][0]["field"] == f"metadata.{field}"
    assert "field is immutable" in answer.message


async def test_what_is_left_alone_is_not_told(api: Any) -> None:
    made = await api.create(DEPLOYMENTS, deployment())
    change = {"creationTimestamp": STARTED, "generation": 40, "selfLink": "/x", "uid": None}
    answer = await api.patch(f"{DEPLOYMENTS}/d", {"metadata": change})
    assert (answer.status, answer.json["metadata"]) == (200, made["metadata"])


async def test_applying_what_the_endpoint_resets_robs_nobody(api: Any) -> None:
    await api.create(DEPLOYMENTS, deployment())
    await api.patch(f"{DEPLOYMENTS}/d/status?fieldManager=s", deployment(replicas=1), "apply")
    path = f"{DEPLOYMENTS}/d?fieldManager=m&force="
    for force in ("false", "true"):
        answer = await api.patch(path + force, deployment(replicas=2), "apply")
        assert (answer.status, answer.json["status"]) == (200, {"replicas": 1})
        owners = {entry["manager"]: entry["fieldsV1"] for entry in answer.json["metadata"]["managedFields"]}
        assert "f:status" in owners["s"]
