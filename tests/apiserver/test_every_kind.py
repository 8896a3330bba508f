"""What differs from kind to kind in what all can do: every kind is asked, the exceptions are listed.

The exceptions are upstream's, which its own tests list as well and want no more of.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.apiserver.conftest import Api
from tests.every_kind import every_kind

from tiphys.apimachinery.meta import gvk_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


WRITTEN = {"create", "get", "update", "delete"}
BLOCK = "test.k8s.io/block"
Case = tuple[str, str, dict[str, Any]]


def cases(api: Api, *, with_status: bool = False) -> list[Case]:
    """Return name (``plural.group``), collection and object of each kind that users write."""
    found = []
    for obj in every_kind("default"):
        row = api.server.table.by_kind(gvk_of(obj))
        assert row is not None
        if not set(row.verbs) >= WRITTEN or (with_status and row.subresource("status") is None):
            continue
        root = f"/apis/{obj['apiVersion']}" if row.group else "/api/v1"
        scope = "/namespaces/default" if row.namespaced else ""
        if row.namespaced:
            obj["metadata"]["namespace"] = "default"
        found.append((f"{row.plural}.{row.group}".rstrip("."), f"{root}{scope}/{row.plural}", obj))
    assert len(found) > (20 if with_status else 55)
    return found


async def test_put_creates_only_what_it_always_did(api: Api) -> None:
    made = set()
    for name, path, obj in cases(api):
        answer = await api("PUT", f"{path}/{obj['metadata']['name']}", obj)
        assert answer.status in (201, 404), answer.raw
        made |= {name} if answer.status == 201 else set()
    assert made == {
        "leasecandidates.coordination.k8s.io", "leases.coordination.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io",
        "endpoints", "events", "events.events.k8s.io", "limitranges", "services",
        "runtimeclasses.node.k8s.io",
    }  # fmt: skip


async def test_names_are_generated_where_they_mean_nothing(api: Api) -> None:
    refused = set()
    for name, path, obj in cases(api):
        del obj["metadata"]["name"]
        obj["metadata"]["generateName"] = "made-"
        answer = await api("POST", path, obj)
        if answer.status == 201:
            assert answer.json["metadata"]["name"].startswith("made-")
        else:
            assert answer.status == 422, answer.raw
            refused.add(name)
    assert refused == {
        "apiservices.apiregistration.k8s.io", "customresourcedefinitions.apiextensions.k8s.io",
        "ipaddresses.networking.k8s.io", "storageversions.internal.apiserver.k8s.io",
    }  # fmt: skip


async def test_put_without_a_version(api: Api) -> None:
    refused = set()
    for name, path, obj in cases(api):
        made = await api.create(path, obj)
        del made["metadata"]["resourceVersion"]
        answer = await api("PUT", f"{path}/{made['metadata']['name']}", made)
        if answer.status != 200:
            assert (
                "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
                in answer.message
            )
            refused.add(name)
    assert refused == {
        *(f"{kind}.admissionregistration.k8s.io" for kind in (
            "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
            "validatingadmissionpolicies", "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies", "mutatingadmissionpolicybindings")),
        "customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io",
        "clustertrustbundles.certificates.k8s.io", "leases.coordination.k8s.io",
        "leasecandidates.coordination.k8s.io", "storageversions.internal.apiserver.k8s.io",
        "runtimeclasses.node.k8s.io", "poddisruptionbudgets.policy",
        "resourcepoolstatusrequests.resource.k8s.io", "csidrivers.storage.k8s.io", "csinodes.storage.k8s.io",
        "csistoragecapacities.storage.k8s.io", "volumeattachments.storage.k8s.io",
        "storageversionmigrations.storagemigration.k8s.io",
    }  # fmt: skip


UNMARKED = {"events", "events.events.k8s.io", "customresourcedefinitions.apiextensions.k8s.io"}
"""A definition's first deletion heeds no policy: it waits for its objects."""


@pytest.mark.parametrize(
    ("policy", "finalizer", "others"),
    [
        ("", "orphan", {"jobs.batch", "replicationcontrollers"}),
        ("Foreground", "foregroundDeletion", UNMARKED),
        ("Orphan", "orphan", UNMARKED),
    ],
    ids=["no policy", "foreground", "orphan"],
)
async def test_propagation_policies(api: Api, policy: str, finalizer: str, others: set[str]) -> None:
    """All are marked by a policy, and none without one, but for ``others``."""
    marked, left = set(), set()
    for name, path, obj in cases(api):
        obj["metadata"]["finalizers"] = [BLOCK]
        made = await api.create(path, obj)
        url = f"{path}/{made['metadata']['name']}"
        answer = await api("DELETE", url, {"propagationPolicy": policy} if policy else None)
        assert answer.status == 200, answer.raw
        finalizers = (await api.get(url))["metadata"]["finalizers"]
        assert BLOCK in finalizers
        (marked if finalizer in finalizers else left).add(name)
        kept = {*made["metadata"]["finalizers"], finalizer, "customresourcecleanup.apiextensions.k8s.io"}
        assert set(finalizers) <= kept
    assert (left if policy else marked) == others


async def test_only_pods_wait_for_their_grace(api: Api) -> None:
    waits = set()
    for name, path, obj in cases(api):
        if name == "pods":
            obj["spec"]["nodeName"] = "n1"
        made = await api.create(path, obj)
        url = f"{path}/{made['metadata']['name']}"
        assert (await api("DELETE", url, {"gracePeriodSeconds": 30})).status == 200
        answer = await api("GET", url)
        if answer.status == 200 and answer.json["metadata"].get("deletionGracePeriodSeconds"):
            waits.add(name)
    assert waits == {"pods"}


async def test_generations_are_counted_from_one(api: Api) -> None:
    uncounted = set()
    for name, path, obj in cases(api, with_status=True):
        obj["metadata"]["generation"] = 7
        made = await api.create(path, obj)
        if made["metadata"]["generation"] == 7:
            uncounted.add(name)
        else:
            assert made["metadata"]["generation"] == 1
    assert uncounted == {
        "apiservices.apiregistration.k8s.io", "certificatesigningrequests.certificates.k8s.io", "namespaces",
        "nodes", "persistentvolumeclaims", "persistentvolumes", "resourceclaims.resource.k8s.io",
        "resourcequotas", "servicecidrs.networking.k8s.io", "services",
        "storageversions.internal.apiserver.k8s.io", "volumeattachments.storage.k8s.io",
        # What follows is counted by later versions.
        "horizontalpodautoscalers.autoscaling", "podgroups.scheduling.k8s.io",
        "resourcepoolstatusrequests.resource.k8s.io", "storageversionmigrations.storagemigration.k8s.io",
    }  # fmt: skip


KEEPS_METADATA = {
    "customresourcedefinitions.apiextensions.k8s.io", "certificatesigningrequests.certificates.k8s.io",
    "cronjobs.batch", "daemonsets.apps", "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io", "jobs.batch", "namespaces", "nodes", "persistentvolumeclaims",
    "persistentvolumes", "poddisruptionbudgets.policy", "pods", "replicasets.apps", "replicationcontrollers",
    "resourcequotas", "services", "statefulsets.apps",
}  # fmt: skip
"""Writes of their status may write labels."""


async def test_what_else_a_write_of_the_status_writes(api: Api) -> None:
    """Labels of older kinds, never the spec; who applies owns what was written and nothing else."""
    labelled, owned = set(), set()
    for name, path, obj in cases(api, with_status=True):
        made = await api.create(path, copy.deepcopy(obj))
        url = f"{path}/{made['metadata']['name']}/status"
        status = {"status": {"resourceVersion": "1"}} if name.startswith("storageversionmigrations") else {}
        answer = await api.patch(url, {"metadata": {"labels": {"a": "b"}}, "spec": {"frob": None}, **status})
        assert answer.status == 200, answer.raw
        assert answer.json.get("spec") == made.get("spec"), name
        if (answer.json["metadata"].get("labels") or {}).get("a"):
            labelled.add(name)
        meta = {"name": made["metadata"]["name"], "labels": {"applied": "yes"}}
        applied = {**obj, "metadata": meta, **status}
        answer = await api.patch(f"{url}?fieldManager=applier&force=true", applied, "apply")
        assert answer.status == 200, answer.raw
        for entry in answer.json["metadata"].get("managedFields", ()):
            if entry["manager"] == "applier":
                assert "f:spec" not in entry["fieldsV1"], name
                owned |= {name} if "f:labels" in entry["fieldsV1"].get("f:metadata", {}) else set()
    assert labelled == KEEPS_METADATA
    assert owned == labelled


async def test_the_status_is_not_written_otherwise(api: Api) -> None:
    brought = set()
    told = {"conditions": [{"type": "Told", "status": "True", "reason": "A", "message": "b",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}  # fmt: skip
    for name, path, obj in cases(api, with_status=True):
        if name in ("persistentvolumes", "volumeattachments.storage.k8s.io", "leasecandidates"):
            obj["status"] = {"message": "told"} if name == "persistentvolumes" else {"attached": True}
        elif name != "apiservices.apiregistration.k8s.io":
            obj["status"] = copy.deepcopy(told)
        sent = copy.deepcopy(obj.get("status"))
        answer = await api("POST", f"{path}?fieldValidation=Ignore", obj)
        assert answer.status == 201, answer.raw
        made = answer.json
        if sent and _within(sent, made.get("status") or {}):
            brought.add(name)
        url = f"{path}/{made['metadata']['name']}?fieldValidation=Ignore"
        answer = await api.patch(url, {"status": sent})
        assert answer.status == 200, answer.raw
        assert answer.json.get("status") == made.get("status"), name
    assert brought == {"nodes"}


def _within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _within(one, whole[key]) for key, one in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(_within, part, whole))
    return bool(part == whole)
