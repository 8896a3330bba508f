"""A store that fails in the middle of something: what clients are told, that nothing is missing then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tiphys.storage.base import Compacted, Event, Put, StoreError, StoreUnavailable
from tiphys.storage.memory import MemoryStore

CMS = "/api/v1/namespaces/default/configmaps"
KEY = "/registry/configmaps/default/"


class Frail:
    """A store that others write to as well, which is followed by its watch; it breaks when a test says so."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.down = False
        self._broken: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()

    def __getattr__(self, name: str) -> Any:
        if name in ("subscribe", "confirm"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def break_off(self, error: StoreError) -> None:
        """End the present watch with an error."""
        self._broken.set_result(error)
        self._broken = asyncio.get_running_loop().create_future()

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("no member answers")

    async def range(self, prefix: str, **options: Any) -> Any:
        self._check()
        return await self.inner.range(prefix, **options)

    async def commit(self, writes: Any) -> int:
        self._check()
        return await self.inner.commit(writes)

    @asynccontextmanager
    async def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        self._check()
        async with self.inner.watch(prefix, start_revision=start_revision) as stream:
            yield self._stream(stream)

    async def _stream(self, stream: AsyncIterator[list[Event]]) -> AsyncIterator[list[Event]]:
        broken = self._broken
        while True:
            following = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
            await asyncio.wait({following, broken}, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                following.cancel()
                raise broken.result()
            yield following.result()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.apiserver.cache.feed._RETRY_S", 0.0)


async def read(api: Any, version: str, count: int) -> list[tuple[str, str]]:
    """Read so many events of a watch from a version: their types, and names or what an error says."""
    response = await api.send("GET", f"{CMS}?watch=1&resourceVersion={version}")
    told: list[tuple[str, str]] = []
    async for chunk in response.stream:
        for event in map(orjson.loads, chunk.splitlines()):
            obj = event["object"]
            told.append((event["type"], obj["metadata"].get("name") or obj["message"]))
        if len(told) >= count:
            break
    await response.stream.aclose()
    return told


async def others_write(store: Frail, name: str) -> int:
    """Write an object as another server would."""
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    return await store.inner.commit([Put(KEY + name, orjson.dumps(obj))])


async def test_a_store_that_goes_away_in_the_middle_of_a_watch(serving: Any) -> None:
    """The watch ends, all else waits for better times, and who comes back with its version misses nothing."""
    store = Frail()
    async with serving(store) as api:
        made = await api.create(CMS, {"metadata": {"name": "a"}})
        since = made["metadata"]["resourceVersion"]
        reading = asyncio.ensure_future(read(api, since, 9))
        await api.settle()
        store.down = True
        store.break_off(StoreUnavailable("the connection is lost"))
        assert await reading == []
        for method, path, body in (
            ("GET", "/a", None), ("GET", "", None), ("POST", "", {"metadata": {"name": "c"}}),
            ("PUT", "/a", {"metadata": {"name": "a"}}), ("DELETE", "/a", None),
        ):  # fmt: skip
            answer = await api(method, CMS + path, body)
            assert (answer.status, answer.json["reason"]) == (503, "ServiceUnavailable"), (method, path)
        await others_write(store, "b")
        store.down = False
        await api.settle()
        assert await api.get(f"{CMS}/a") == made
        await api.create(CMS, {"metadata": {"name": "c"}})
        assert await read(api, since, 2) == [("ADDED", "b"), ("ADDED", "c")]
        assert [item["metadata"]["name"] for item in (await api.get(CMS))["items"]] == ["a", "b", "c"]


@pytest.mark.parametrize("gone", [False, True], ids=["the log has it", "compacted too"])
async def test_a_hole_in_the_history_of_a_watch(serving: Any, gone: bool) -> None:
    """What the cache did not hear is read anew; who watched is told, from the log or to list again."""
    store = Frail()
    async with serving(store) as api:
        since = (await api.create(CMS, {"metadata": {"name": "a"}}))["metadata"]["resourceVersion"]
        reading = asyncio.ensure_future(read(api, since, 9))
        await api.settle()
        store.break_off(Compacted(int(since)))
        newest = await others_write(store, "b")
        assert await reading == []
        await api.settle()
        assert (await api("GET", f"{CMS}/b")).status == 200
        if gone:
            await store.inner.compact(newest)
        (event,) = await read(api, since, 1)
        if gone:
            assert event[0] == "ERROR"
            assert event[1].startswith(f"too old resource version: {since} (")
        else:
            assert event == ("ADDED", "b")


async def test_a_compaction_in_the_middle_of_a_list(api: Any) -> None:
    """Its next page is refused, with a token for the rest as it is now."""
    for name in "abcd":
        await api.create(CMS, {"metadata": {"name": name}})
    first = await api.get(f"{CMS}?limit=2")
    assert (len(first["items"]), first["metadata"]["remainingItemCount"]) == (2, 2)
    await api.create(CMS, {"metadata": {"name": "e"}})
    await api("DELETE", f"{CMS}/c")
    await api.store.compact(api.store.revision)
    answer = await api("GET", f"{CMS}?limit=2&continue={first['metadata']['continue']}")
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    rest = await api.get(f"{CMS}?limit=2&continue={answer.json['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["d", "e"]
    assert int(rest["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert "continue" not in rest["metadata"]
