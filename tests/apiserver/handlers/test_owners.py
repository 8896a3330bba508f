"""Owners that are named twice, nobody's managers, and applies that name an object which is not there."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
ONE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
OTHER = {"apiVersion": "v1", "kind": "Node", "name": "b", "uid": "2"}
THIRD = {**ONE, "name": "of the same uid"}
BEFORE = "contains duplicate entries; API server dedups"
AFTER = "contains duplicate entries after mutating admission happens; API server dedups"


def config_map(*owners: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "ownerReferences": list(owners)},
    }


def owners(answer: Any) -> list[Any]:
    assert answer.status in (200, 201), answer.raw
    found: list[Any] = answer.json["metadata"]["ownerReferences"]
    return found


async def test_each_owner_is_kept_once_and_the_client_warned(api: Any) -> None:
    answer = await api("POST", CMS, config_map(ONE, ONE))
    assert owners(answer) == [ONE]
    assert BEFORE in answer.headers["warning"]
    assert "duplicate UID(s) observed: 1" in answer.headers["warning"]
    assert len(answer.json["metadata"]["managedFields"]) == 1
    answer = await api("PUT", f"{CMS}/c", config_map(ONE, OTHER, ONE, OTHER))
    assert owners(answer) == [ONE, OTHER]
    assert "observed: 1, 2" in answer.headers["warning"]
    patch = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": ONE}]
    answer = await api.patch(f"{CMS}/c", patch, "json")
    assert owners(answer) == [ONE, OTHER]
    assert AFTER in answer.headers["warning"]


async def test_other_owners_are_no_duplicates(api: Any) -> None:
    answer = await api("POST", CMS, config_map(ONE, OTHER, THIRD))
    assert owners(answer) == [ONE, OTHER, THIRD]
    assert "warning" not in answer.headers
    assert "warning" not in (await api("PUT", f"{CMS}/c", config_map(OTHER, ONE))).headers


async def test_dry_runs_are_warned_too(api: Any) -> None:
    answer = await api("POST", f"{CMS}?dryRun=All", config_map(ONE, ONE))
    assert owners(answer) == [ONE]
    assert BEFORE in answer.headers["warning"]


async def test_no_managers_on_purpose(api: Any) -> None:
    """An empty list is no list that was left out: whoever sends it is tracked no more."""
    labelled = {"metadata": {"name": "c", "labels": {"a": "b"}}, "apiVersion": "v1", "kind": "ConfigMap"}
    await api.patch(f"{CMS}/c?fieldManager=one", labelled, "apply")
    kept = await api("PUT", f"{CMS}/c", labelled)
    assert [entry["manager"] for entry in kept.json["metadata"]["managedFields"]] == ["one"]
    meta = {**labelled["metadata"], "managedFields": []}
    assert (
        "managedFields" not in (await api("PUT", f"{CMS}/c", {**labelled, "metadata": meta})).json["metadata"]
    )
    answer = await api.patch(f"{CMS}/c", {"metadata": {"labels": {"a": "c"}}})
    assert "managedFields" not in answer.json["metadata"]


@pytest.mark.parametrize("kind", ["merge", "json"])
async def test_no_managers_by_a_patch(api: Any, kind: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    patch: Any = {"metadata": {"managedFields": []}}
    if kind == "json":
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": []}]
    assert "managedFields" not in (await api.patch(f"{CMS}/c", patch, kind)).json["metadata"]


async def test_an_applied_object_that_is_not_there_cannot_have_a_uid(api: Any) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "u-1"}}
    answer = await api.patch(f"{CMS}/c?fieldManager=t", applied, "apply")
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "c": uid mismatch: the provided object specified uid '
        "u-1, and no existing object was found"
    )


PATHS = [
    "/", "/healthz", "/version", "/metrics", "/openapi/v2", "/openapi/v3", "/api", "/apis/apps/v1",
    "/nowhere", "/api/v1/namespaces", "/apis/none/v1/x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_for_caches_that_others_share(api: Any, path: str) -> None:
    assert (await api("GET", path)).headers["cache-control"] == "no-cache, private"
