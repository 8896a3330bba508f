"""Following a resource for indexes beside the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.apiserver.encryption.test_store import SECRETS, Kept, aes, secret, write

from tiphys.apimachinery.errors import InternalError, ServiceUnavailable
from tiphys.apis.table import TABLE
from tiphys.apiserver.registry import feed as feed_module
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Change, Page
from tiphys.storage.base import Delete, Put

CMS = "/api/v1/namespaces/default/configmaps"


async def test_a_feed_tells_every_change_once(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    seen: list[tuple[str, str]] = []

    def note(old: Any, new: Any) -> None:
        kind = "added" if old is None else "deleted" if new is None else "changed"
        if (new or old).namespace == "default":
            seen.append((kind, (new or old).name))

    followed = Feed(api.server.objects, api.server.table.by_path("", "v1", "configmaps"), note)
    await followed.prime()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(followed.run())
        await api.settle()
        await api.create(CMS, {"metadata": {"name": "b"}})
        await api.patch(CMS + "/a", {"data": {"x": "y"}})
        await api("DELETE", CMS + "/a")
        await api.settle()
        task.cancel()
    assert seen == [("added", "a"), ("added", "b"), ("changed", "a"), ("deleted", "a")]


async def test_priming_again_reports_what_has_gone(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    gone: list[str] = []
    followed = Feed(
        api.server.objects,
        api.server.table.by_path("", "v1", "configmaps"),
        lambda old, new: gone.append(old.name) if new is None and old is not None else None,
    )
    await followed.prime()
    await api("DELETE", CMS + "/a")
    await followed.prime()
    assert gone == ["a"]


def refuse() -> None:
    raise InternalError("unable to transform key")


class Followed:
    """What a feed of Secrets tells, those of the default namespace."""

    def __init__(self, api: Any, *, needs_all: bool = False) -> None:
        self.seen: list[tuple[str, str]] = []
        table = api.server.table
        self.feed = Feed(
            api.server.objects, table.by_path("", "v1", "secrets"), self._note, needs_all=needs_all
        )

    def _note(self, old: Any, new: Any) -> None:
        kind = "added" if old is None else "deleted" if new is None else "changed"
        if (new or old).namespace == "default":
            self.seen.append((kind, f"{(new or old).name}:{(new or old).object['type']}"))


@pytest.mark.parametrize("needs_all", [True, False])
async def test_what_cannot_be_read_at_the_start(serving: Any, tmp_path: Path, needs_all: bool) -> None:
    store, path = Kept(), write(tmp_path / "c", aes("k1"))
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, secret("a"))
    write(path, aes("k2"))
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, secret("b"))
        followed = Followed(api, needs_all=needs_all)
        if needs_all:
            with pytest.raises(InternalError, match="unable to transform key"):
                await followed.feed.prime()
            return
        await followed.feed.prime()
        assert followed.seen == [("added", "b:Opaque")]
        write(path, aes("k2", "k1"))
        assert api.server._store.reload()
        followed.feed.look_again()
        followed.feed.look_again()
        assert followed.seen == [("added", "b:Opaque"), ("added", "a:Opaque")]


async def test_a_feed_looks_again_by_itself(
    serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = Kept(), write(tmp_path / "c", aes("k1"))
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, secret("a"))
    write(path, aes("k2"))
    monkeypatch.setattr(feed_module, "_LOOK_S", 0.01)
    async with serving(store, encryption_provider_config=path) as api:
        followed = Followed(api)
        await followed.feed.prime()
        write(path, aes("k2", "k1"))
        assert api.server._store.reload()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(followed.feed.run())
            while not followed.seen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
    assert followed.seen == [("added", "a:Opaque")]


async def test_what_cannot_be_read_when_it_comes(
    serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was known of it stays; it is told of once, and goes like others."""
    store = Kept()
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        await api.create(SECRETS, secret("a"))
        followed = Followed(api)
        await followed.feed.prime()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(followed.feed.run())
            await api.settle()
            await store.commit([Put("/registry/secrets/default/a", b"k8s:enc:aesgcm:v1:k9:x")])
            await api.create(SECRETS, secret("b"))
            await api.settle()
            followed.feed.look_again()
            assert caplog.text.count("object is not followed") == 1
            await store.commit([Delete("/registry/secrets/default/a")])
            await api.settle()
            task.cancel()
        told = [one for one in followed.seen if one[0] != "changed"]  # those that stay are told of once more
        assert told == [("added", "a:Opaque"), ("added", "b:Opaque"), ("deleted", "a:Opaque")]


async def test_what_goes_before_it_could_be_read_is_not_looked_at_again(api: Any) -> None:
    closed: Any = SimpleNamespace(key="/registry/secrets/default/a", check=refuse)
    gone: list[Any] = []
    row = api.server.table.by_path("", "v1", "secrets")
    followed = Feed(api.server.objects, row, lambda old, new: gone.append((old, new)))
    followed._take([Change("ADDED", 1, b"", closed), Change("DELETED", 2, b"", closed)])
    closed.check = lambda: None
    followed.look_again()
    assert gone == [(closed, None)]


async def test_one_that_needs_all_keeps_what_it_knows(
    serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until all can be read again, it says so and tells nothing."""
    store = Kept()
    async with serving(store, encryption_provider_config=write(tmp_path / "c", aes("k1"))) as api:
        await api.create(SECRETS, secret("a"))
        followed = Followed(api, needs_all=True)
        await followed.feed.prime()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(followed.feed.run())
            await api.settle()
            await store.commit([Put("/registry/secrets/default/a", b"k8s:enc:aesgcm:v1:k9:x")])
            await api.settle()
            assert "objects are not followed" in caplog.text
            assert followed.seen == [("added", "a:Opaque")]
            task.cancel()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("pods", "/api/v1/namespaces/default/pods"),
        ("minions", "/api/v1/nodes"),
        ("roles", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"),
        ("rolebindings", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"),
    ],
)
async def test_a_server_starts_and_serves_the_rest(serving: Any, kind: str, path: str) -> None:
    store = Kept()
    async with serving(store):
        pass
    key = f"/registry/{kind}/broken" if kind == "minions" else f"/registry/{kind}/default/broken"
    await store.commit([Put(key, b"garbage")])
    async with serving(store) as api:
        assert (await api("GET", "/readyz")).status == 200
        assert (await api("GET", path)).status == 500
        assert (await api("GET", CMS)).status == 200


async def test_a_store_that_is_away_ends_no_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_LOOK_S", 0.0)
    asked: list[str] = []
    followed = asyncio.Event()

    class Away:
        async def list(self, _resource: Any, _selection: Any) -> Page:
            asked.append("list")
            if len(asked) < 4:
                raise ServiceUnavailable("away")
            return Page([], 1)

        async def watch(self, _resource: Any, _selection: Any, **_options: Any) -> AsyncIterator[Any]:
            asked.append("watch")
            if len(asked) < 4:
                raise ServiceUnavailable("away")
            followed.set()
            await asyncio.Event().wait()
            yield []

    store: Any = Away()
    row: Any = TABLE.by_path("", "v1", "secrets")
    feed = Feed(store, row, lambda _old, _new: None)
    with pytest.raises(ServiceUnavailable):
        await feed.begin()
    feed.synced = True
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(10):
        await followed.wait()
    task.cancel()
    assert asked == ["list", "watch", "list", "watch"]
