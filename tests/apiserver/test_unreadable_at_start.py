"""A store in which something lies that cannot be read: a server comes up over it, and opens nothing by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver.encryption.test_store import Kept

from tiphys.apiserver.registry import feed
from tiphys.storage.base import Delete, Put

CMS = "/api/v1/namespaces/default/configmaps"
ADMISSION = "/apis/admissionregistration.k8s.io/v1/"
CONFIG_MAP = {"metadata": {"name": "a"}}
OWN = (
    "leases/kube-system/", "services/endpoints/default/", "endpointslices/default/", "clusterroles/",
    "clusterrolebindings/", "roles/kube-system/", "rolebindings/kube-system/", "flowschemas/",
    "prioritylevelconfigurations/", "apiregistration.k8s.io/apiservices/", "services/specs/default/",
    "ipaddresses/", "servicecidrs/", "priorityclasses/", "configmaps/kube-system/",
)  # fmt: skip
"""Where a server looks at each start for what it has written itself."""
POLICIES = (
    "validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings", "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
)  # fmt: skip


@pytest.mark.parametrize("every", [True, False], ids=["every one", "one more"])
@pytest.mark.parametrize("prefix", OWN)
async def test_a_server_comes_up(
    serving: Any, prefix: str, every: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = Kept()
    async with serving(store):
        pass
    found = (await store.range(f"/registry/{prefix}")).records
    assert found
    keys = [record.key for record in found] if every else [f"/registry/{prefix}broken"]
    await store.commit([Put(key, b"garbage") for key in keys])
    async with serving(store) as api:
        assert (await api("GET", "/readyz")).status == 200
        assert (await api("POST", CMS, CONFIG_MAP)).status == 201
        assert f"stored value unreadable key={keys[0]}" in caplog.text
        for key in keys:
            record = await store.get(key)
            assert record is not None
            assert record.value == b"garbage", "it is left as it is"


async def test_a_server_comes_up_where_nothing_can_be_read(serving: Any) -> None:
    store = Kept()
    async with serving(store):
        pass
    found = (await store.range("/registry/")).records
    await store.commit([Put(record.key, b"\xff\0") for record in found])
    async with serving(store) as api:
        assert (await api("GET", "/readyz")).status == 200
        assert (await api("GET", CMS, user="alice")).status == 403
        path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        assert (await api("POST", path, {"metadata": {"name": "new"}, "rules": []})).status == 201
        assert (await api("GET", f"{path}/new")).status == 200
        assert (await api("GET", path)).status == 500


@pytest.mark.parametrize("plural", POLICIES)
async def test_what_could_stop_a_write_stops_every_write(
    serving: Any, plural: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of admission itself, which mend it; all is well as soon as it is."""
    monkeypatch.setattr(feed, "_LOOK_S", 0.0)
    store, key = Kept(), f"/registry/{plural}/broken"
    async with serving(store) as api:
        await api.create(CMS, {"metadata": {"name": "before"}})
    await store.commit([Put(key, b"garbage")])
    async with serving(store) as api:
        assert (await api("GET", "/readyz")).status == 200
        assert (await api("GET", CMS)).status == 200
        for _ in range(2):  # the second one could be taken for the first
            answer = await api("POST", CMS, CONFIG_MAP)
            assert (answer.status, answer.message) == (
                403, 'configmaps "a" is forbidden: not yet ready to handle request',
            )  # fmt: skip
        if not plural.startswith("mutating"):
            assert (await api("DELETE", f"{CMS}/before")).status == 403
        review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert (await api("POST", path, review)).status == (403 if "webhook" in plural else 201)
        kept = {"metadata": {"name": "new"}, "webhooks": []}
        assert (await api("POST", f"{ADMISSION}validatingwebhookconfigurations", kept)).status == 201
        await store.commit([Delete(key)])
        async with asyncio.timeout(10):
            while (await api("POST", CMS, CONFIG_MAP)).status == 403:
                await api.settle()
        assert (await api("GET", f"{CMS}/a")).status == 200


async def test_what_breaks_while_it_is_followed_ends_no_server(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known of it holds on."""
    monkeypatch.setattr(feed, "_LOOK_S", 0.0)
    store = Kept()
    async with serving(store) as api:
        for plural in POLICIES:
            await store.commit([Put(f"/registry/{plural}/broken", b"garbage")])
        for prefix in OWN:
            await store.commit([Put(f"/registry/{prefix}broken", b"garbage")])
        await api.settle()
        assert (await api("GET", "/readyz")).status == 200
        assert (await api("POST", CMS, CONFIG_MAP)).status == 201
