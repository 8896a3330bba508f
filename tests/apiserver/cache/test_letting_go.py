"""What nobody needs any more goes: old events, what idle watches told, kinds that are served no longer."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest
from tests.apiserver.cache.conftest import PODS, pod, take

from tiphys.apiserver.cache import CachedStore, entry, feed
from tiphys.apiserver.handlers import watch
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Change, Selection

V2 = replace(PODS, version="v2")


def changes() -> list[Change]:
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Change and one.type != "BOOKMARK"]


async def idle(stream: AsyncIterator[object]) -> asyncio.Task[object]:
    """Wait for the next of a stream, which does not come."""
    waiting = asyncio.ensure_future(anext(stream))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


async def ended(waiting: asyncio.Task[object]) -> None:
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


async def test_old_events_leave_memory_and_are_told_all_the_same(store: CachedStore) -> None:
    for name in "abc":
        await store.create(PODS, pod(name))
    bucket = await store._feed.bucket(PODS)
    first = min(entry.revision for entry in bucket.entries.values())
    bucket.age()
    younger = await store.create(PODS, pod("d"))
    before = len(bucket.since(0))
    bucket.age()
    assert [event.revision for event in bucket.since(0)] == [younger.revision]
    assert before > 1
    bucket.age()
    assert (bucket.since(0), bucket.floor) == ([], younger.revision)
    async with aclosing(store.watch(PODS, Selection(), resource_version=str(first))) as stream:
        told = await take(stream, 3)
    assert [one.cached.name for one in told if one.cached] == ["b", "c", "d"]


async def test_events_age_by_themselves(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = await store._feed.bucket(PODS)
    await store.create(PODS, pod("a"))
    assert bucket.since(0)
    monkeypatch.setattr(feed, "_FRESH_S", 0.0)
    store._feed._age()
    while bucket.since(0):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)
    timer = store._feed._ageing
    await store.close()
    assert timer is not None
    assert store._feed._ageing is not None
    assert store._feed._ageing.cancelled()


async def test_what_was_decoded_goes_bit_by_bit(store: CachedStore) -> None:
    for number in range(64):
        await store.create(PODS, pod(f"a{number}"))
    bucket = await store._feed.bucket(PODS)
    made = list(bucket.entries.values())
    for one in made[:48]:
        assert one.object["metadata"]["name"] == one.name

    def held() -> tuple[int, int]:
        return sum(one._object is not None for one in made), sum(one._written is not None for one in made)

    assert held()[0] == 48
    entry.age(2)
    assert 0 < held()[0] < 48
    while held() != (0, 0):
        entry.age(2)
    assert made[0].object["metadata"]["name"] == made[0].name


async def test_and_by_itself(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.create(PODS, pod("a"))
    (one,) = (await store._feed.bucket(PODS)).entries.values()
    assert one.object
    monkeypatch.setattr(feed, "_FRESH_S", 0.0)
    store._feed._age()
    async with asyncio.timeout(10):
        while one._object is not None:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)


async def test_an_idle_watch_keeps_nothing_of_what_it_told(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    known = len(changes())
    async with aclosing(store.watch(PODS, Selection(), resource_version="0")) as stream:
        assert len(await anext(stream)) == 1
        waiting = await idle(stream)
        assert len(changes()) == known
        await store.create(PODS, pod("b"))
        assert len(await waiting) == 1  # type: ignore[arg-type]
        del waiting
        waiting = await idle(stream)
        assert len(changes()) == known
        await ended(waiting)


async def test_an_idle_answer_keeps_nothing_of_what_it_told(store: CachedStore) -> None:
    class Counted:
        events = 0

        @property
        def counted(self) -> Any:
            return self

        def sent(self, frames: list[bytes]) -> None: ...

        def began(self) -> None: ...

        def ended(self, *_args: object) -> None: ...

    await store.create(PODS, pod("a"))
    known = len(changes())
    batches = store.watch(PODS, Selection(), resource_version="0")
    frames = watch._stream(batches, None, 60, Counted())  # type: ignore[arg-type]
    async with aclosing(frames):
        assert b'"name":"a"' in await anext(frames)
        waiting = await idle(frames)
        assert len(changes()) == known
        await ended(waiting)


async def test_who_follows_a_kind_keeps_no_old_changes(store: CachedStore) -> None:
    seen: list[str] = []
    following = Feed(store, PODS, lambda _old, new: seen.append(new.name if new else ""))
    await following.prime()
    known = len(changes())
    running = asyncio.ensure_future(following.run())
    for name in "ab":
        await store.create(PODS, pod(name))
        while name not in seen:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(changes()) == known
    await ended(running)  # type: ignore[arg-type]


async def test_a_kind_that_is_served_no_longer_leaves_nothing(store: CachedStore) -> None:
    feeding = store._feed
    for row in (PODS, V2):
        await store.list(row, Selection())
    await store.create(PODS, pod("a"))
    bucket = await feeding.bucket(PODS)
    store.end_watches(V2)
    assert (list(feeding.buckets), len(feeding.known), len(bucket.entries)) == ([PODS.storage_prefix], 1, 1)
    store.end_watches(PODS)
    assert (feeding.buckets, feeding.known) == ({}, {})
    assert (bucket.entries, bucket.since(0), bucket._rows) == ({}, [], [])
    page = await store.list(PODS, Selection())
    assert [item.name for item in page.items] == ["a"], "what is stored comes back with the kind"


async def test_of_a_definitions_rows_the_last_one_stays(store: CachedStore) -> None:
    for _ in range(3):
        await store.list(replace(PODS), Selection())
    await store.list(V2, Selection())
    assert [row.version for row, _ in store._feed.known.values()] == ["v1", "v2"]
