"""Who may look into devices of others: claims and templates of namespaces whose label says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apiserver.admission.device_admin import access_faults

pytestmark = pytest.mark.every_version

BASE = "/apis/resource.k8s.io"
LABEL = "resource.kubernetes.io/admin-access"
TEXT = f"Forbidden: admin access to devices requires the `{LABEL}: true` label on the containing namespace"
EXACT = {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": True}}
FLAT = {"name": "r", "deviceClassName": "c", "adminAccess": True}


def claim(request: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"devices": {"requests": [request]}}}


def template(request: dict[str, Any]) -> dict[str, Any]:
    spec = {"devices": {"requests": [request]}}
    return {"metadata": {"name": "a"}, "spec": {"spec": spec}}


CASES = {
    "a claim": ("v1/namespaces/default/resourceclaims", "ResourceClaim", claim(EXACT)),
    "an older claim": ("v1beta1/namespaces/default/resourceclaims", "ResourceClaim", claim(FLAT)),
    "a template": (
        "v1/namespaces/default/resourceclaimtemplates",
        "ResourceClaimTemplate",
        template(EXACT),
    ),
}


@pytest.mark.parametrize(("path", "kind", "obj"), CASES.values(), ids=CASES)
async def test_asking(api: Any, path: str, kind: str, obj: dict[str, Any]) -> None:
    answer = await api("POST", f"{BASE}/{path}", obj)
    assert answer.status == 422
    assert answer.message == (
        f'{kind}.resource.k8s.io "a" is invalid: spec.devices.requests[0].adminAccess: {TEXT}'
    )
    assert (
        await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {LABEL: "true"}}})
    ).status == 200
    assert (await api("POST", f"{BASE}/{path}", obj)).status == 201


async def test_claims_of_other_groups_are_their_own() -> None:
    attributes: Any = SimpleNamespace(
        group="example.com", plural="resourceclaims", subresource="", operation="CREATE", obj=claim(EXACT)
    )
    assert await access_faults(attributes) == []


async def test_it_is_said_before_the_other_faults(api: Any) -> None:
    path = f"{BASE}/v1/namespaces/default/resourceclaims"
    exactly = {"deviceClassName": "c", "adminAccess": True, "count": -1}
    answer = await api("POST", path, claim({"name": "r", "exactly": exactly}))
    at = "spec.devices.requests[0]"
    assert [(one["field"], one["message"]) for one in answer.json["details"]["causes"]] == [
        (f"{at}.adminAccess", TEXT),
        (f"{at}.exactly.count", "Invalid value: -1: must be greater than zero"),
    ]
    await api.create(path, claim({"name": "r", "exactly": {"deviceClassName": "c"}}))
    results = [{"request": "r", "driver": "d.x", "pool": "p", "device": "", "adminAccess": True}]
    status = {"status": {"allocation": {"devices": {"results": results}}}}
    causes = (await api.patch(f"{path}/a/status", status)).json["details"]["causes"]
    at = "status.allocation.devices.results[0]"
    assert [one["field"] for one in causes] == [f"{at}.adminAccess", f"{at}.device"]


async def test_giving(api: Any) -> None:
    path = f"{BASE}/v1/namespaces/default/resourceclaims"
    await api.create(path, claim({"name": "r", "exactly": {"deviceClassName": "c"}}))
    result = {"request": "r", "driver": "d.x", "pool": "p", "device": "d", "adminAccess": True}
    status = {"status": {"allocation": {"devices": {"results": [result]}}}}
    answer = await api.patch(f"{path}/a/status", status)
    assert answer.status == 422
    assert answer.message == (
        'ResourceClaim.resource.k8s.io "a" is invalid: '
        f"status.allocation.devices.results[0].adminAccess: {TEXT}"
    )
    labels = {"metadata": {"labels": {LABEL: "true"}}}
    assert (await api.patch("/api/v1/namespaces/default", labels)).status == 200
    assert (await api.patch(f"{path}/a/status", status)).status == 200


async def test_taints_say_since_when(api: Any) -> None:
    taint = {"key": "example.com/broken", "effect": "NoSchedule"}
    device = {"name": "d", "taints": [taint]}
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "d.x", "pool": pool, "nodeName": "n", "devices": [device]}
    made = await api.create(f"{BASE}/v1/resourceslices", {"metadata": {"name": "s"}, "spec": spec})
    since = made["spec"]["devices"][0]["taints"][0]["timeAdded"]
    assert since == made["metadata"]["creationTimestamp"]
    made["metadata"]["labels"] = {"a": "b"}
    again = await api.put(f"{BASE}/v1/resourceslices/s", made)
    assert again["spec"]["devices"][0]["taints"][0]["timeAdded"] == since
