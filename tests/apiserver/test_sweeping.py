"""Tests that share a server find it as the first one did."""

from __future__ import annotations

from typing import Any

from tests.apiserver.conftest import sweep

MAPS = "/api/v1/namespaces/default/configmaps"
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
RULE = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
ROLE = {"metadata": {"name": "reader"}, "rules": [RULE]}
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def test_what_was_written_is_taken_back(api: Any) -> None:
    before = await api.get(ACCOUNT)
    since = api.store.revision
    await api.create(MAPS, {"metadata": {"name": "made"}})
    await api.create(ROLES, ROLE)
    await api.patch(ACCOUNT, {"metadata": {"labels": {"a": "b"}}})
    await api("DELETE", "/api/v1/namespaces/kube-public")
    await sweep(api.store, since)
    await api.settle()
    assert (await api.get(MAPS))["items"] == []
    assert (await api("GET", f"{ROLES}/reader")).status == 404
    after = await api.get(ACCOUNT)
    assert after["metadata"].pop("resourceVersion") != before["metadata"].pop("resourceVersion")
    assert after == before
    assert (await api.get("/api/v1/namespaces/kube-public"))["status"] == {"phase": "Active"}
    await api.create(MAPS, {"metadata": {"name": "made"}})


async def test_what_was_deleted_is_there_again(api: Any) -> None:
    since = api.store.revision
    assert (await api("DELETE", ACCOUNT)).status == 200
    await sweep(api.store, since)
    await api.get(ACCOUNT)
    since = api.store.revision
    await sweep(api.store, since)
    assert api.store.revision == since, "nothing to do"
