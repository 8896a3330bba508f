"""Managed fields over the API: several versions of a kind, and the replicas behind ``/scale``."""

from __future__ import annotations

from typing import Any

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
