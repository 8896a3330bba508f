"""Objects that lie broken in the store: what is told of them, how they are deleted, that others are well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.apiserver.crd.conftest import Crds
from tests.apiserver.encryption.test_store import IDENTITY, Kept, aes, secret, stored, write

from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.storage.base import Delete, Put
from tiphys.storage.memory import MemoryStore

SPACE = "/api/v1/namespaces/default/"
CMS, SECRETS = SPACE + "configmaps", SPACE + "secrets"
KEY = "/registry/configmaps/default/"
OPTION = "ignoreStoreReadErrorWithClusterBreakingPotential"
UNSAFE = {OPTION: True}
ON = resolve({"AllowUnsafeMalformedObjectDeletion": True})
WHY = "couldn't get version/kind; json parse error: "
BROKEN = {
    "no JSON": (b"garbage", WHY + "invalid character 'g' looking for beginning of value"),
    "cut off": (
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"', WHY + "unexpected end of JSON input",
    ),
    "a bit turned": (
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"a";"b"}}',
        WHY + "invalid character ';' after object key",
    ),
    "nothing": (b"", WHY + "unexpected end of JSON input"),
    "another kind": (
        b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"}}',
        "the stored object is a Secret, not a ConfigMap",
    ),
}  # fmt: skip


async def names(api: Any, query: str = "") -> list[str]:
    return [item["metadata"]["name"] for item in (await api.get(CMS + query))["items"]]


@pytest.mark.parametrize("started", [True, False], ids=["while it serves", "found at the start"])
@pytest.mark.parametrize("case", BROKEN)
async def test_one_that_cannot_be_decoded(serving: Any, case: str, started: bool) -> None:
    store, (value, why) = Kept(), BROKEN[case]
    async with serving(store) as api:
        for name in ("a", "b", "c"):
            await api.create(CMS, {"metadata": {"name": name}})
        await store.commit([Put(KEY + "b", value)])
        if started:
            await _check_broken(api, why)
    if not started:
        async with serving(store) as api:
            await _check_broken(api, why)


async def test_those_that_cannot_be_decoded_are_counted(serving: Any) -> None:
    """As often as somebody tries; what cannot be unsealed is another matter."""
    store = Kept()
    name = 'apiserver_storage_decode_errors_total{group="",resource="configmaps"}'
    async with serving(store) as api:

        async def count() -> list[str]:
            text = (await api("GET", "/metrics")).raw.decode()
            return [line for line in text.splitlines() if line.startswith(name[: name.index("{")])]

        await api.create(CMS, {"metadata": {"name": "b"}})
        assert await count() == []
        await store.commit([Put(KEY + "b", b"garbage")])
        await api.settle()
        before = await count()
        await api("GET", CMS + "/b")
        after = await count()
        assert after != before
        assert [line.rpartition(" ")[0] for line in after] == [name]


async def _check_broken(api: Any, why: str) -> None:
    """Nobody is shown it as it is; what does not look at it does not notice."""
    for method, path, body in (
        ("GET", "/b", None), ("GET", "", None), ("GET", "?limit=2", None), ("DELETE", "/b", None),
        ("DELETE", "/b", UNSAFE), ("PUT", "/b", {"metadata": {"name": "b"}}), ("DELETE", "", None),
        ("GET", "?fieldSelector=metadata.name=b", None), ("GET", "?labelSelector=x!=y", None),
    ):  # fmt: skip
        answer = await api(method, CMS + path, body)
        assert (answer.status, answer.message, answer.json.get("reason")) == (500, why, None), path
    answer = await api("POST", CMS, {"metadata": {"name": "b"}})
    assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")
    assert await names(api, "?limit=1") == ["a"]
    assert await names(api, "?fieldSelector=metadata.name=c") == ["c"]
    assert (await api("GET", "/api/v1/namespaces/kube-system/configmaps?labelSelector=x!=y")).status == 200
    await api.create(CMS, {"metadata": {"name": "d"}})
    assert (await api("DELETE", f"{CMS}/d")).status == 200


async def test_a_page_from_before_is_forgotten(api: Any) -> None:
    for name in ("a", "b"):
        await api.create(CMS, {"metadata": {"name": name}})
    await api.get(CMS)
    before = (await api.get(CMS))["items"]
    await api.store.commit([Put(KEY + "b", b"garbage")])
    await api.store.commit([Delete(KEY + "b")])
    assert (await api.get(CMS))["items"] == before[:1]


async def test_selected_by_a_field_beside_a_broken_one(api: Any, make_pod: Any) -> None:
    await api.create(SPACE + "pods", make_pod("p", nodeName="n"))
    await api.store.commit([Put("/registry/pods/other/q", b"garbage")])
    found = await api.get(SPACE + "pods?fieldSelector=spec.nodeName=n")
    assert [item["metadata"]["name"] for item in found["items"]] == ["p"]


async def test_watches_of_what_broke_and_was_mended(api: Any) -> None:
    """A watch ends when something breaks; one that would begin with it is told; then all is as before."""
    made = await api.create(CMS, {"metadata": {"name": "b"}})
    since = made["metadata"]["resourceVersion"]
    watching = await api.send("GET", f"{CMS}?watch=1&resourceVersion={since}")
    reading = asyncio.ensure_future(anext(watching.stream))
    await api.settle()
    await api.store.commit([Put(KEY + "b", b"garbage")])
    with pytest.raises(StopAsyncIteration):
        await reading
    for version in ("0", since):
        watching = await api.send("GET", f"{CMS}?watch=1&resourceVersion={version}")
        event = orjson.loads(await anext(watching.stream))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 500)
    await api.store.commit([Put(KEY + "b", orjson.dumps(made))])
    watching = await api.send("GET", f"{CMS}?watch=1")
    assert orjson.loads(await anext(watching.stream))["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    await watching.stream.aclose()


# -- with the gate


@pytest.fixture
async def gated(serving: Any, tmp_path: Path) -> AsyncIterator[tuple[Any, MemoryStore]]:
    """A server where a secret cannot be opened and a ConfigMap, which has a finalizer, cannot be decoded."""
    store = Kept()
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        await api.create(SECRETS, secret())
        held = {"metadata": {"name": "b", "finalizers": ["example.com/a"]}}
        await api.create(CMS, held)
        rule = {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "delete"]}
        role = {"metadata": {"name": "deleter"}, "rules": [rule]}
        rbac = "/apis/rbac.authorization.k8s.io/v1/"
        await api.create(rbac + "clusterroles", role)
        subject = {"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}
        ref = {"kind": "ClusterRole", "name": "deleter", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "deleter"}, "subjects": [subject], "roleRef": ref}
        await api.create(rbac + "clusterrolebindings", binding)
    broke = await store.commit([Put(KEY + "b", BROKEN["cut off"][0])])
    policy = tmp_path / "policy"
    policy.write_text(POLICY)
    options: dict[str, Any] = {
        "feature_gates": ON,
        "encryption_provider_config": write(tmp_path / "c", aes("k2"), IDENTITY),
        "audit": AuditOptions(policy_file=policy, log=LogOptions(path=str(tmp_path / "audit.log"))),
    }
    async with serving(store, **options) as api:
        api.broke = broke
        yield api, store


POLICY = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}'
UNOPENED = (
    "data from the storage is not transformable revision=0: "
    "no matching key was found for the provided AES transformer"
)


def told(key: str, what: str) -> str:
    return (
        f"StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {what}"
    )


async def test_corrupt_objects_are_told_apart(gated: tuple[Any, MemoryStore]) -> None:
    api, _ = gated
    undecodable = f"object not decodable revision={api.broke}: {BROKEN['cut off'][1]}"
    for path, key, what in (
        (f"{SECRETS}/a", "/secrets/default/a", UNOPENED),
        (f"{CMS}/b", "/configmaps/default/b", undecodable),
    ):
        for method in ("GET", "DELETE"):
            answer = await api(method, path)
            assert (answer.status, answer.json["reason"]) == (500, "InternalError")
            assert answer.message == f"Internal error occurred: {told(key, what)}"
        answer = await api("GET", path.rpartition("/")[0])
        plural = path.split("/")[-2]
        assert answer.json["message"] == f"failed to read one or more {plural} from the storage"
        assert (answer.status, answer.json["reason"]) == (500, "StorageReadError")
        cause = {"reason": "UnexpectedServerResponse", "field": f"/registry{key}"}
        assert answer.json["details"] == {
            "name": "list", "kind": plural, "causes": [{**cause, "message": told(f"/registry{key}", what)}],
        }  # fmt: skip


async def test_a_list_tells_of_a_hundred(gated: tuple[Any, MemoryStore]) -> None:
    api, store = gated
    await store.commit([Put(f"{KEY}b{at}", b"") for at in range(101)])
    causes = (await api("GET", CMS)).json["details"]["causes"]
    assert len(causes) == 101
    assert causes[-1] == {
        "reason": "FieldValueTooMany", "message": "too many errors, the list is truncated",
    }  # fmt: skip


@pytest.mark.parametrize("path", [f"{SECRETS}/a", f"{CMS}/b"])
async def test_who_may_deletes_what_cannot_be_read(
    gated: tuple[Any, MemoryStore], path: str, tmp_path: Path
) -> None:
    """Past its finalizers; whoever may only delete may not, and it has to be broken."""
    api, _ = gated
    plural, name = path.split("/")[-2:]
    answer = await api("DELETE", path, UNSAFE, user="alice")
    assert answer.status == 403
    assert answer.message.startswith(
        f'{plural} "{name}" is forbidden: not permitted to do "unsafe-delete-ignore-read-errors", reason: '
    )
    answer = await api("DELETE", path.rpartition("/")[0], UNSAFE)
    assert answer.message == (
        f'DeleteOptions.meta.k8s.io "" is invalid: {OPTION}: Invalid value: true: is not allowed with '
        "DELETECOLLECTION, try again after removing the option"
    )
    answer = await api("DELETE", path, UNSAFE)
    kind = {"secrets": "Secret", "configmaps": "ConfigMap"}[plural]
    assert (answer.status, answer.json) == (200, {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "kind": kind}, "code": 200,
    })  # fmt: skip
    assert (await api("GET", path)).status == 404
    assert (await api.get(path.rpartition("/")[0]))["items"] == []
    await api.create(path.rpartition("/")[0], {"metadata": {"name": name}})
    answer = await api("DELETE", path, UNSAFE)
    assert (answer.status, answer.message) == (
        422,
        f'{plural} "{name}" is invalid: {OPTION}: Invalid value: true: is exclusively used to delete corrupt '
        "object(s), try again by removing this option",
    )
    notes = [
        orjson.loads(line).get("annotations") for line in (tmp_path / "audit.log").read_text().splitlines()
    ]
    assert sum("apiserver.k8s.io/unsafe-delete-ignore-read-error" in (note or {}) for note in notes) >= 3


async def test_a_custom_object_that_cannot_be_read(serving: Any) -> None:
    """Reads of its kind convert what they find: what they cannot read is deleted all the same."""
    store = Kept()
    async with serving(store, feature_gates=ON) as api:
        crds = Crds(api)
        await crds.make()
        await api.create(crds.foos, crds.foo())
        await store.commit([Put("/registry/example.com/foos/default/a", b"{")])
        answer = await api("GET", f"{crds.foos}/a")
        assert answer.status == 500
        assert "Key: /example.com/foos/default/a, ResourceVersion: 0" in answer.message
        assert (await api("DELETE", f"{crds.foos}/a")).status == 500
        assert (await api("DELETE", f"{crds.foos}/a", UNSAFE)).status == 200
        assert (await api("GET", f"{crds.foos}/a")).status == 404


async def test_plain_values_pass_only_where_the_configuration_lets_them(serving: Any, tmp_path: Path) -> None:
    store = Kept()
    async with serving(store) as api:
        await api.create(SECRETS, secret())
    path = tmp_path / "c"
    async with serving(store, encryption_provider_config=write(path, aes("k1"))) as api:
        answer = await api("GET", f"{SECRETS}/a")
        assert (answer.status, answer.message) == (500, "Internal error occurred: no matching prefix found")
        write(path, aes("k1"), IDENTITY)
        assert api.server._store.reload()
        found = await api.get(f"{SECRETS}/a")
        assert found["data"] == {"k": "aHVzaA=="}
        await api.put(f"{SECRETS}/a", found)
        assert (await stored(store)).startswith(b"k8s:enc:aesgcm:"), "what is written again is sealed"
