"""Deleting objects, one and many: answers, options, what holds them."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver.handlers.test_crud import CMS, PODS, config

from tiphys.apimachinery.errors import Conflict
from tiphys.apiserver.handlers import deletecollection

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


async def test_delete_answers_with_a_status(api: Any) -> None:
    made = await api.create(CMS, config())
    answer = await api("DELETE", CMS + "/a")
    assert answer.json == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }  # fmt: skip
    answer = await api("DELETE", CMS + "/a")
    assert (answer.status, answer.message) == (404, 'configmaps "a" not found')


async def test_preconditions(api: Any) -> None:
    await api.create(CMS, config())
    answer = await api("DELETE", CMS + "/a", {"preconditions": {"uid": "other"}})
    assert answer.status == 409
    assert "the UID in the precondition (other) does not match" in answer.message


async def test_finalizers_hold(api: Any) -> None:
    body = config()
    body["metadata"]["finalizers"] = ["example.com/x"]
    await api.create(CMS, body)
    held = (await api("DELETE", CMS + "/a")).json
    assert held["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    answer = await api.patch(CMS + "/a", {"metadata": {"finalizers": None}})
    assert answer.status == 200
    assert (await api("GET", CMS + "/a")).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
async def test_propagation(api: Any, policy: str, finalizer: str) -> None:
    await api.create(CMS, config())
    held = (await api("DELETE", CMS + f"/a?propagationPolicy={policy}")).json
    assert held["metadata"]["finalizers"] == [finalizer]


async def test_nobody_waits_for_dependents(serving: Any) -> None:
    """Without a garbage collector a policy would hold objects for ever."""
    async with serving(collects_garbage=False) as api:
        for policy in ("Foreground", "Orphan"):
            await api.create(CMS, config())
            assert (await api("DELETE", CMS + f"/a?propagationPolicy={policy}")).json["status"] == "Success"
            assert (await api("GET", CMS + "/a")).status == 404


async def test_graceful_deletion_of_pods(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod("free"))
    await api("DELETE", PODS + "/free")
    assert (await api("GET", PODS + "/free")).status == 404
    await api.create(PODS, make_pod("p", nodeName="n1"))
    held = (await api("DELETE", PODS + "/p")).json["metadata"]
    assert (held["deletionTimestamp"], held["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:30Z", 30)
    shorter = (await api("DELETE", PODS + "/p?gracePeriodSeconds=5")).json["metadata"]
    assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == (
        "2026-01-01T00:00:05Z",
        5,
    )
    longer = (await api("DELETE", PODS + "/p?gracePeriodSeconds=60")).json["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 5
    await api("DELETE", PODS + "/p", {"gracePeriodSeconds": 0})
    assert (await api("GET", PODS + "/p")).status == 404


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (3, 3), (50, 8)])
async def test_a_collection_is_deleted_by_as_many_as_are_told(
    serving: Any, monkeypatch: pytest.MonkeyPatch, workers: int, most: int
) -> None:
    """One that meets a fault deletes no more; the others go on."""
    running, seen, delete = 0, list[int](), deletecollection.delete_quietly

    async def watched(call: Any, name: str, *rest: Any) -> None:
        nonlocal running
        running += 1
        seen.append(running)
        await asyncio.sleep(0)
        running -= 1
        if name == "a3":
            raise Conflict("not now")
        await delete(call, name, *rest)

    monkeypatch.setattr(deletecollection, "delete_quietly", watched)
    async with serving(delete_collection_workers=workers) as api:
        for number in range(8):
            await api.create(CMS, config(f"a{number}"))
        answer = await api("DELETE", CMS)
        assert (answer.status, answer.message) == (409, "not now")
        assert max(seen) == most
        left = [one["metadata"]["name"] for one in (await api.get(CMS))["items"]]
        assert left == (["a3", "a4", "a5", "a6", "a7"] if workers == 1 else ["a3"])


async def test_delete_collection(api: Any) -> None:
    for name in ("a", "b", "c"):
        body = config(name)
        body["metadata"]["labels"] = {"k": name}
        await api.create(CMS, body)
    answer = await api("DELETE", CMS + "?labelSelector=k!%3Db")
    assert answer.status == 200
    left = await api.get(CMS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


UNSAFE = "ignoreStoreReadErrorWithClusterBreakingPotential"
OPTION_FAULTS: dict[str, tuple[Any, int, str]] = {
    "another kind": (
        {"kind": "Foo", "apiVersion": "v1"}, 400,
        'Foo in version "v1" cannot be handled as a DeleteOptions: no kind "Foo" is registered for version '
        '"v1" in scheme "pkg/api/legacyscheme/scheme.go:30"',
    ),
    "a wrong type": (
        {"gracePeriodSeconds": "x"}, 400,
        'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal string into '
        "Go struct field DeleteOptions.gracePeriodSeconds of type int64",
    ),
    "both policies": (
        {"orphanDependents": True, "propagationPolicy": "Orphan"}, 422,
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
        "orphanDependents and deletionPropagation cannot be both set",
    ),
    "all at once": (
        {"orphanDependents": True, "propagationPolicy": "", "dryRun": ["Some"]}, 422,
        'DeleteOptions.meta.k8s.io "" is invalid: [propagationPolicy: Invalid value: "": '
        "orphanDependents and deletionPropagation cannot be both set, propagationPolicy: Unsupported value: "
        '"": supported values: "Foreground", "Background", "Orphan", "nil", dryRun: Unsupported value: '
        '["Some"]: supported values: "All"]',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTION_FAULTS)
async def test_delete_options_are_checked(api: Any, name: str) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    body, status, message = OPTION_FAULTS[name]
    answer = await api("DELETE", f"{CMS}/a", body)
    assert (answer.status, answer.message) == (status, message)
    assert (await api("GET", f"{CMS}/a")).status == 200


async def test_a_deletion_with_a_body_heeds_no_query(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    await api.create(CMS, {"metadata": {"name": "b"}})
    assert (await api("DELETE", f"{CMS}/a?propagationPolicy=")).status == 422
    assert (await api("DELETE", f"{CMS}/a?dryRun=")).status == 422
    assert (await api("DELETE", f"{CMS}/a?dryRun=All")).status == 200
    assert (await api("GET", f"{CMS}/a")).status == 200
    assert (await api("DELETE", f"{CMS}/a?dryRun=All", {"gracePeriodSeconds": 0})).status == 200
    assert (await api("GET", f"{CMS}/a")).status == 404
