"""Secrets at rest through a whole API server: what the store holds, keys that change, keys that are wrong."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.storage.base import Put, Store
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore

SECRETS = "/api/v1/namespaces/default/secrets"
KEY = "/registry/secrets/default/a"
IDENTITY: dict[str, Any] = {"identity": {}}


def aes(*names: str, kind: str = "aesgcm", fill: str = "") -> dict[str, Any]:
    keys = [
        {"name": name, "secret": base64.b64encode((fill or name).encode().ljust(32, b".")).decode()}
        for name in names
    ]
    return {kind: {"keys": keys}}


def write(path: Path, *providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> Path:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


class Kept(MemoryStore):
    """A memory store that outlives the servers over it."""

    async def close(self) -> None:
        return


def secret(name: str = "a", value: str = "aHVzaA==") -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"k": value}}


async def stored(store: Store, key: str = KEY) -> bytes:
    record = await store.get(key)
    assert record is not None
    return record.value


@pytest.mark.parametrize("make", [lambda path: MemoryStore(), lambda path: SqliteStore(path / "s.db")])
async def test_the_store_holds_no_plain_secret(
    serving: Any, tmp_path: Path, make: Callable[[Path], Store]
) -> None:
    store = make(tmp_path)
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        made = await api.create(SECRETS, secret())
        assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:k1:")
        assert b"aHVzaA==" not in await stored(store)
        assert await api.get(f"{SECRETS}/a") == made
        made["data"]["k"] = "bmV3"
        changed = await api.put(f"{SECRETS}/a", made)
        assert (await api.get(SECRETS))["items"][0]["data"] == {"k": "bmV3"}
        past = await api.get(
            f"{SECRETS}?resourceVersion={made['metadata']['resourceVersion']}&resourceVersionMatch=Exact"
        )
        assert past["items"][0]["data"] == {"k": "aHVzaA=="}
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
        assert (await stored(store, "/registry/configmaps/default/a")).startswith(b"{")
        response = await api.send(
            "GET", f"{SECRETS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}"
        )
        assert response.stream is not None
        event = await anext(response.stream)
        assert b'"bmV3"' in event
        await response.stream.aclose()  # type: ignore[attr-defined]
        assert changed["data"] == {"k": "bmV3"}


async def test_a_server_that_starts_again_reads_what_it_wrote(serving: Any, tmp_path: Path) -> None:
    path, file = write(tmp_path / "c", aes("k1"), IDENTITY), tmp_path / "s.db"
    async with serving(SqliteStore(file), encryption_provider_config=path) as api:
        made = await api.create(SECRETS, secret())
    async with serving(SqliteStore(file), encryption_provider_config=path) as api:
        assert await api.get(f"{SECRETS}/a") == made
    assert b"aHVzaA==" not in file.read_bytes()


async def test_first_use_rotation_and_the_way_back(serving: Any, tmp_path: Path) -> None:
    store = Kept()
    async with serving(store, encryption_provider_config=None) as api:
        await api.create(SECRETS, secret())
    steps: list[tuple[list[dict[str, Any]], bytes]] = [
        ([aes("k1"), IDENTITY], b"k8s:enc:aesgcm:v1:k1:"),
        ([aes("k2", "k1"), IDENTITY], b"k8s:enc:aesgcm:v1:k2:"),
        ([aes("k1", kind="aescbc"), aes("k2")], b"k8s:enc:aescbc:v1:k1:"),
        ([IDENTITY, aes("k1", kind="aescbc")], b"{"),
    ]
    for providers, prefix in steps:
        async with serving(store, encryption_provider_config=write(tmp_path / "c", *providers)) as api:
            before = await stored(store)
            live = await api.get(f"{SECRETS}/a")
            assert await stored(store) == before, "reading writes nothing"
            again = await api.put(f"{SECRETS}/a", live)
            assert (await stored(store)).startswith(prefix), "writing the same seals it anew"
            assert again["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]
            same = await api.put(f"{SECRETS}/a", again)
            assert same == again, "and only once"


async def test_a_wrong_key(serving: Any, tmp_path: Path) -> None:
    store = Kept()
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        await api.create(SECRETS, secret())
    cases = [
        (write(tmp_path / "c", aes("k2")), "no matching key was found for the provided AES transformer"),
        (write(tmp_path / "d", aes("k1", fill="x")), "cipher: message authentication failed"),
        (None, "identity transformer tried to read encrypted data"),
    ]
    for path, text in cases:
        async with serving(store, encryption_provider_config=path) as api:
            answer = await api("GET", f"{SECRETS}/a")
            assert (answer.status, answer.message) == (500, f"Internal error occurred: {text}")
            assert answer.json["reason"] == "InternalError"
            answer = await api("GET", SECRETS)
            want = f'Internal error occurred: unable to transform key "{KEY}": {text}'
            assert (answer.status, answer.message) == (500, want)
            await api.create(SECRETS, secret("b"))
            assert (await api.get(f"{SECRETS}/b"))["data"], "others are not hidden by it"
            assert (await api("GET", "/api/v1/namespaces/kube-system/secrets")).status == 200
            await api("DELETE", f"{SECRETS}/b")


async def test_what_the_server_itself_has_written_with_another_key(
    serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It serves all the same, and mends what it has to tell once that can be read."""
    store, path = Kept(), tmp_path / "c"
    own = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    async with serving(store, encryption_provider_config=write(path, aes("k1"), resources=("configmaps",))):
        pass
    write(path, aes("k2"), resources=("configmaps",))
    async with serving(store, encryption_provider_config=path) as api:
        assert "extension servers were not told whom to believe" in caplog.text
        answer = await api("GET", own)
        text = "Internal error occurred: no matching key was found for the provided AES transformer"
        assert (answer.status, answer.message) == (500, text)
        assert (await api("GET", "/readyz")).status == 200
        write(path, aes("k2", "k1"), resources=("configmaps",))
        sealed: Any = api.server._store
        assert sealed.reload()
        found = await api.get(own)
        found["data"].pop("requestheader-allowed-names")
        await api.put(own, found)
        await api.server.aggregation.keep_published()
        assert "requestheader-allowed-names" in (await api.get(own))["data"]


async def test_one_damaged_value_among_others(serving: Any, tmp_path: Path) -> None:
    store = Kept()
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        await api.create(SECRETS, secret())
        await api.create(SECRETS, secret("b"))

        await store.commit([Put(KEY, b"k8s:enc:aesgcm:v1:k1:" + b"z" * 40)])
        assert (await api("GET", f"{SECRETS}/a")).status == 500
        assert (await api.get(f"{SECRETS}/b"))["data"] == {"k": "aHVzaA=="}
        assert (await api("GET", SECRETS)).status == 500


async def test_the_file_is_read_again(serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, path = Kept(), write(tmp_path / "c", aes("k1"))
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, secret())
        sealed: Any = api.server._store
        assert sealed.reload() is False, "nothing has changed"
        path.write_text("kind: Nonsense")
        with caplog.at_level(logging.ERROR):
            assert sealed.reload() is False
        assert "not reloaded" in caplog.text
        write(path, aes("k2", "k1"))
        assert sealed.reload() is True
        await api.create(SECRETS, secret("b"))
        assert (await stored(store, "/registry/secrets/default/b")).startswith(b"k8s:enc:aesgcm:v1:k2:")
        await api.put(f"{SECRETS}/a", await api.get(f"{SECRETS}/a"))
        assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:k2:")


async def test_a_key_that_comes_later_opens_what_was_closed(serving: Any, tmp_path: Path) -> None:
    store, path = Kept(), write(tmp_path / "c", aes("k1"))
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, secret())
    write(path, aes("k2"))
    async with serving(store, encryption_provider_config=path) as api:
        assert (await api("GET", SECRETS)).status == 500
        write(path, aes("k2", "k1"))
        sealed: Any = api.server._store
        assert sealed.reload()
        assert (await api.get(f"{SECRETS}/a"))["data"] == {"k": "aHVzaA=="}
        assert len((await api.get(SECRETS))["items"]) == 1


async def test_custom_resources_and_wildcards(serving: Any, tmp_path: Path) -> None:
    store = MemoryStore()
    path = write(tmp_path / "c", aes("k1"), resources=("*.example.com", "*.apps"))
    async with serving(store, encryption_provider_config=path) as api:
        names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
        version = {
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }  # fmt: skip
        await api.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            {
                "metadata": {"name": "widgets.example.com"},
                "spec": {
                    "group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]
                },
            },
        )  # fmt: skip
        widgets = "/apis/example.com/v1/namespaces/default/widgets"
        for _ in range(100):
            if (await api("GET", widgets)).status == 200:
                break
            await api.settle()
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "x": 1}
        await api.create(widgets, widget)
        assert (await stored(store, "/registry/example.com/widgets/default/w")).startswith(b"k8s:enc:")
        assert (await api.get(f"{widgets}/w"))["x"] == 1
