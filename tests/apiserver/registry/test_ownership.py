"""Managed fields over the API: several versions of a kind, and the replicas behind ``/scale``."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.apiserver.conftest import pod
from tests.every_kind import every_kind

from tiphys.apimachinery.managedfields import fieldset

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
HPAS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"


def deployment(**spec: Any) -> dict[str, Any]:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def scale(replicas: int) -> dict[str, Any]:
    meta = {"name": "d"}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": meta, "spec": {"replicas": replicas}}


async def applied(api: Any, path: str, body: Any, manager: str, *, force: bool = False) -> Any:
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return await api.patch(path + query, body, "apply")


def owners(obj: Any, field: str = "f:replicas") -> list[tuple[str, ...]]:
    """Return who owns a field of the spec."""
    return [
        (entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
        for entry in obj["metadata"].get("managedFields", ())
        if field in entry["fieldsV1"].get("f:spec", {})
    ]


async def test_a_scale_shows_no_managers(api: Any) -> None:
    await applied(api, f"{DEPLOYMENTS}/d", deployment(replicas=1), "me")
    kept = {"creationTimestamp", "name", "namespace", "resourceVersion", "uid"}
    path = f"{DEPLOYMENTS}/d/scale"
    assert (await api.get(path))["metadata"].keys() == kept
    assert (await api.patch(path, {"spec": {"replicas": 2}})).json["metadata"].keys() == kept


async def test_applying_a_scale(api: Any) -> None:
    await applied(api, f"{DEPLOYMENTS}/d", deployment(replicas=1), "me")
    refused = await applied(api, f"{DEPLOYMENTS}/d/scale", scale(3), "hpa")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
    taken = await applied(api, f"{DEPLOYMENTS}/d/scale", scale(3), "hpa", force=True)
    assert taken.json["spec"]["replicas"] == 3
    found = await api.get(f"{DEPLOYMENTS}/d")
    assert found["spec"]["replicas"] == 3
    assert owners(found) == [("hpa", "Apply", "apps/v1", "scale")]
    assert owners(found, "f:template") == [("me", "Apply", "apps/v1", "")]
    again = await applied(api, f"{DEPLOYMENTS}/d", deployment(replicas=1), "me")
    text = 'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale": .spec.replicas'
    assert again.message == text
    assert (await applied(api, f"{DEPLOYMENTS}/d", deployment(), "me")).status == 200
    assert (await api.get(f"{DEPLOYMENTS}/d"))["spec"]["replicas"] == 3


async def test_agreeing_on_a_scale_shares_it(api: Any) -> None:
    await applied(api, f"{DEPLOYMENTS}/d", deployment(replicas=1), "me")
    assert (await applied(api, f"{DEPLOYMENTS}/d/scale", scale(1), "hpa")).status == 200
    found = owners(await api.get(f"{DEPLOYMENTS}/d"))
    assert found == [("hpa", "Apply", "apps/v1", "scale"), ("me", "Apply", "apps/v1", "")]


async def test_patching_a_scale_takes_the_replicas(api: Any) -> None:
    await applied(api, f"{DEPLOYMENTS}/d", deployment(replicas=1), "me")
    await api.patch(f"{DEPLOYMENTS}/d/scale?fieldManager=cli", {"spec": {"replicas": 2}})
    assert owners(await api.get(f"{DEPLOYMENTS}/d")) == [("cli", "Update", "apps/v1", "scale")]
    body = scale(4)
    await api.put(f"{DEPLOYMENTS}/d/scale?fieldManager=cli2", body)
    assert owners(await api.get(f"{DEPLOYMENTS}/d")) == [("cli2", "Update", "apps/v1", "scale")]


async def test_it_is_not_told_since_when_a_scale_has_its_replicas(api: Any) -> None:
    """So they come before those whose time is known, whatever their names."""
    await api.create(f"{DEPLOYMENTS}?fieldManager=a", deployment(replicas=1))
    for replicas, manager in ((2, "z"), (3, "y"), (4, "y")):
        wanted = {"spec": {"replicas": replicas}}
        await api.patch(f"{DEPLOYMENTS}/d/scale?fieldManager={manager}", wanted)
        found = (await api.get(f"{DEPLOYMENTS}/d"))["metadata"]["managedFields"]
        assert [(entry["manager"], "time" in entry) for entry in found] == [(manager, False), ("a", True)]
    await applied(api, f"{DEPLOYMENTS}/d/scale", scale(5), "hpa", force=True)
    found = (await api.get(f"{DEPLOYMENTS}/d"))["metadata"]["managedFields"]
    assert [(entry["manager"], "time" in entry) for entry in found] == [("hpa", False), ("a", True)]


async def test_refusals_of_an_applied_scale(api: Any) -> None:
    await applied(api, f"{DEPLOYMENTS}/d", deployment(), "me")
    bad = await api.patch(f"{DEPLOYMENTS}/d/scale", scale(1), "apply")
    assert "fieldManager: Required value: is required for apply patch" in bad.message
    wrong = await applied(api, f"{DEPLOYMENTS}/d/scale", deployment(), "x")
    assert wrong.status == 400
    negative = await applied(api, f"{DEPLOYMENTS}/d/scale", scale(-1), "x", force=True)
    assert negative.status == 422


async def test_a_write_is_recorded_at_its_own_version(api: Any) -> None:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 50}
    body = {"metadata": {"name": "h"}, "spec": spec}
    made = await api.create(HPAS.format("v1") + "?fieldManager=old", body)
    (entry,) = made["metadata"]["managedFields"]
    assert entry["apiVersion"] == "autoscaling/v1"
    assert "f:targetCPUUtilizationPercentage" in entry["fieldsV1"]["f:spec"]
    newer = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 4, "scaleTargetRef": target},
    }  # fmt: skip
    path = HPAS.format("v2") + "/h"
    refused = await applied(api, path, newer, "new")
    assert (
        refused.message
        == 'Apply failed with 1 conflict: conflict with "old" using autoscaling/v1: .spec.maxReplicas'
    )
    taken = (await applied(api, path, newer, "new", force=True)).json
    assert owners(taken, "f:maxReplicas") == [("new", "Apply", "autoscaling/v2", "")]
    patched = await api.patch(HPAS.format("v1") + "/h?fieldManager=old", {"spec": {"maxReplicas": 9}})
    assert owners(patched.json, "f:maxReplicas") == [("old", "Update", "autoscaling/v1", "")]


PODS = "/api/v1/namespaces/default/pods"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def claims(obj: dict[str, Any], manager: str) -> list[str]:
    """Return what one manager owns, as paths."""
    (entry,) = [one for one in obj["metadata"]["managedFields"] if one["manager"] == manager]
    return list(fieldset.paths(entry["fieldsV1"]))


async def test_of_a_signing_request_only_its_metadata_is_owned(api: Any) -> None:
    """Its spec is nobody's, its conditions are those of who approves, its certificate of who signs."""
    (body,) = [one for one in every_kind("default") if one["kind"] == "CertificateSigningRequest"]
    body["metadata"] = {"name": "c", "labels": {"a": "b"}}
    made = await api.create(f"{REQUESTS}?fieldManager=asker", body)
    assert claims(made, "asker") == [".metadata.labels", ".metadata.labels.a"]
    bare = await api.create(f"{REQUESTS}?fieldManager=asker", body | {"metadata": {"name": "d"}})
    assert "managedFields" not in bare["metadata"]
    approved = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    failed = {"type": "Failed", "status": "True", "reason": "r", "message": "m"}
    made["status"] = {"conditions": [approved]}
    told = await api.put(f"{REQUESTS}/c/approval?fieldManager=approver", made)
    assert {path.partition("[")[0] for path in claims(told, "approver")} == {".status.conditions"}
    told["status"]["conditions"].append(failed)
    signed = await api.put(f"{REQUESTS}/c/status?fieldManager=signer", told)
    assert [one["type"] for one in signed["status"]["conditions"]] == ["Approved", "Failed"]
    assert "signer" not in {one["manager"] for one in signed["metadata"]["managedFields"]}


async def test_who_labels_a_definition_through_its_status_owns_the_label(api: Any) -> None:
    (body,) = [one for one in every_kind("default") if one["kind"] == "CustomResourceDefinition"]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.create(path, body)
    path = f"{path}/{body['metadata']['name']}"
    labelled = await api.patch(f"{path}/status?fieldManager=m", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.json["metadata"]["labels"]["a"] == "b"
    assert ".metadata.labels.a" in claims(labelled.json, "m")


@pytest.mark.parametrize(
    ("part", "spec", "owned"),
    [
        ("resize", {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2m"}}}]},
         ['.spec.containers[name="c"].resources.requests.cpu']),
        ("ephemeralcontainers", {"ephemeralContainers": [{"name": "d", "image": "i"}]},
         ['.spec.ephemeralContainers[name="d"]', '.spec.ephemeralContainers[name="d"].image',
          '.spec.ephemeralContainers[name="d"].name']),
    ],
)  # fmt: skip
async def test_an_apply_to_a_part_claims_that_part(
    api: Any, part: str, spec: dict[str, Any], owned: list[str]
) -> None:
    made = pod()
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1m"}}
    await api.create(PODS, made)
    body = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "labels": {"x": "y"}}, "spec": spec,
    }  # fmt: skip
    answer = await applied(api, f"{PODS}/p/{part}", body, "me", force=True)
    assert answer.status == 200, answer.message
    assert claims(answer.json, "me") == owned
    assert "x" not in answer.json["metadata"].get("labels", {})


async def test_applies_to_a_part_conflict(api: Any) -> None:
    made = pod()
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1m"}}
    await api.create(PODS, made)

    async def resized(cpu: str, manager: str, *, force: bool = False) -> Any:
        spec = {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
        path = f"{PODS}/p/resize?force=true&fieldManager=" if force else f"{PODS}/p/resize?fieldManager="
        return await api.patch(path + manager, yaml.safe_dump(body).encode(), "apply")

    assert (await resized("2m", "one", force=True)).status == 200
    refused = await resized("3m", "other")
    text = 'Apply failed with 1 conflict: conflict with "one" with subresource "resize": '
    assert (refused.status, refused.message) == (
        409, f'{text}.spec.containers[name="c"].resources.requests.cpu',
    )  # fmt: skip
    assert (await resized("2m", "other")).status == 200
    unnamed = await resized("2m", "")
    assert "fieldManager: Required value: is required for apply patch" in unnamed.message


@pytest.mark.parametrize(
    "path", [f"{PODS}/p/resize", f"{PODS}/p/ephemeralcontainers", f"{DEPLOYMENTS}/d/scale"]
)
async def test_only_an_apply_can_be_forced(api: Any, path: str) -> None:
    for force in ("true", "false"):
        answer = await api.patch(f"{path}?force={force}", {}, "merge")
        text = "force: Forbidden: may not be specified for non-apply patch"
        assert (answer.status, answer.message) == (
            422, f'PatchOptions.meta.k8s.io "" is invalid: {text}',
        )  # fmt: skip


async def test_what_was_before_the_first_apply(api: Any) -> None:
    """It belongs to somebody, but for what the endpoint resets."""
    made = await api.create(
        DEPLOYMENTS, deployment(replicas=1) | {"metadata": {"name": "d", "labels": {"a": "b"}}}
    )
    made["metadata"]["managedFields"] = [{}]
    forgotten = await api.put(f"{DEPLOYMENTS}/d", made)
    assert not forgotten["metadata"].get("managedFields")
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "status": {"replicas": 2},
    }
    answer = await applied(api, f"{DEPLOYMENTS}/d/status", body, "me", force=True)
    assert claims(answer.json, "me") == [".status.replicas"]
    assert "before-first-apply" not in {one["manager"] for one in answer.json["metadata"]["managedFields"]}


async def test_ports_are_named_in_the_order_of_their_numbers(api: Any) -> None:
    ports = [{"name": f"p{port}", "port": port} for port in (8080, 443, 80)]
    body = {"metadata": {"name": "s"}, "spec": {"ports": ports}}
    made = await api.create("/api/v1/namespaces/default/services", body)
    shown = await api.get("/api/v1/namespaces/default/services/s")
    for obj in (made, shown):
        (entry,) = obj["metadata"]["managedFields"]
        wanted = [".", *(f'k:{{"port":{port},"protocol":"TCP"}}' for port in (80, 443, 8080))]
        assert list(entry["fieldsV1"]["f:spec"]["f:ports"]) == wanted
