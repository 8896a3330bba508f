"""What every store promises (``storage.base``), whichever it is."""

import asyncio

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.base import (
    Compacted,
    CompareFailed,
    Delete,
    Event,
    FutureRevision,
    Put,
    Record,
    Store,
    StoreUnavailable,
)


async def collect(store: Store, prefix: str, start: int, count: int) -> list[Event]:
    """Read ``count`` events of a watch."""
    seen: list[Event] = []
    async with asyncio.timeout(60), store.watch(prefix, start_revision=start) as stream:
        async for events in stream:
            seen += events
            if len(seen) >= count:
                break
    return seen


async def test_an_empty_store(store: Store) -> None:
    assert store.revision == 1
    assert await store.get("/a") is None
    result = await store.range("/")
    assert (result.records, result.revision, result.more, result.count) == ([], 1, False, 0)


async def test_put_get_delete(store: Store) -> None:
    first = await store.commit([Put("/a", b"1", expect=0)])
    assert first == store.revision == 2
    assert await store.get("/a") == Record("/a", b"1", 2, 2)
    second = await store.commit([Put("/a", b"2", expect=first)])
    assert await store.get("/a") == Record("/a", b"2", second, first)
    assert await store.commit([Delete("/a", expect=second)]) == 4
    assert await store.get("/a") is None
    again = await store.commit([Put("/a", b"3")])
    assert await store.get("/a") == Record("/a", b"3", again, again)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(Put("/a", b"x", expect=0), id="put, must not exist"),
        pytest.param(Put("/a", b"x", expect=99), id="put, other revision"),
        pytest.param(Put("/b", b"x", expect=2), id="put, not there"),
        pytest.param(Delete("/a", expect=99), id="delete, other revision"),
        pytest.param(Delete("/b", expect=2), id="delete, not there"),
        pytest.param(Delete("/b", expect=0), id="delete of nothing"),
    ],
)
async def test_failed_compare_writes_nothing(store: Store, write: Put | Delete) -> None:
    await store.commit([Put("/a", b"1")])
    with pytest.raises(CompareFailed) as caught:
        await store.commit([Put("/other", b"x"), write])
    assert caught.value.key == write.key
    assert caught.value.current == await store.get(write.key)
    assert await store.get("/other") is None
    assert store.revision == 2


async def test_deleting_nothing_unconditionally_is_no_write(store: Store) -> None:
    assert await store.commit([Delete("/a")]) == 1
    assert store.revision == 1


async def test_a_transaction_is_one_revision(store: Store) -> None:
    await store.commit([Put("/a", b"1")])
    revision = await store.commit([Put("/b", b"2"), Delete("/a"), Put("/c", b"3")])
    assert revision == 3
    events = await collect(store, "/", 3, 3)
    assert [(e.record.key, e.deleted, e.record.mod_revision) for e in events] == [
        ("/b", False, 3), ("/a", True, 3), ("/c", False, 3),
    ]  # fmt: skip


async def test_a_transaction_names_a_key_once(store: Store) -> None:
    with pytest.raises(ValueError):
        await store.commit([Put("/a", b"1"), Put("/a", b"2")])


async def test_of_many_writers_that_expect_the_same_one_wins(store: Store) -> None:
    await store.commit([Put("/n", b"0")])
    results = await asyncio.gather(
        *(store.commit([Put("/n", b"%d" % n, expect=2)]) for n in range(20)), return_exceptions=True
    )
    assert results.count(3) == 1
    assert sum(isinstance(result, CompareFailed) for result in results) == 19
    assert store.revision == 3


async def test_range(store: Store) -> None:
    for key in ("/p/b", "/p/a", "/p/c", "/pq", "/o"):
        await store.commit([Put(key, key.encode())])
    whole = await store.range("/p/")
    assert [r.key for r in whole.records] == ["/p/a", "/p/b", "/p/c"]
    assert (whole.more, whole.count, whole.revision) == (False, 3, 6)
    page = await store.range("/p/", limit=2)
    assert ([r.key for r in page.records], page.more, page.count) == (["/p/a", "/p/b"], True, 3)
    rest = await store.range("/p/", start="/p/b\0", limit=2)
    assert ([r.key for r in rest.records], rest.more, rest.count) == (["/p/c"], False, 1)
    assert (await store.range("")).count == 5


async def test_revisions_of_keys(store: Store) -> None:
    for key in ("/p/b", "/p/a", "/p/c", "/pq", "/o"):
        await store.commit([Put(key, b"1")])
    then = store.revision
    await store.commit([Put("/p/b", b"2"), Put("/p/d", b"1")])
    await store.commit([Delete("/p/a")])
    assert await store.revisions("/p/", store.revision) == [("/p/b", 7), ("/p/c", 4), ("/p/d", 7)]
    assert await store.revisions("/p/", then) == [("/p/a", 3), ("/p/b", 2), ("/p/c", 4)]
    assert await store.revisions("/none/", then) == []
    with pytest.raises(FutureRevision):
        await store.revisions("/p/", store.revision + 5)
    await store.compact(store.revision)
    with pytest.raises(Compacted):
        await store.revisions("/p/", then)


async def test_the_past(store: Store) -> None:
    await store.commit([Put("/a", b"1")])
    await store.commit([Put("/b", b"1")])
    await store.commit([Put("/a", b"2")])
    await store.commit([Delete("/b")])
    expected = {1: [], 2: [b"1"], 3: [b"1", b"1"], 4: [b"2", b"1"], 5: [b"2"]}
    for revision, values in expected.items():
        result = await store.range("/", revision=revision)
        assert [r.value for r in result.records] == values
        assert result.revision == revision
        one = await store.get("/a", revision=revision)
        assert (one.value if one else None) == (values[0] if values else None)
    page = await store.range("/", revision=3, limit=1, start="/a")
    assert (page.records, page.more, page.count) == ([Record("/a", b"1", 2, 2)], True, 2)
    with pytest.raises(FutureRevision):
        await store.get("/a", revision=6)
    with pytest.raises(FutureRevision):
        await store.range("/", revision=6)


async def test_watch_from_now(store: Store) -> None:
    await store.commit([Put("/p/old", b"")])
    async with asyncio.timeout(60), store.watch("/p/") as stream:
        await store.commit([Put("/p/a", b"1")])
        await store.commit([Put("/q", b"1")])
        await store.commit([Put("/p/a", b"2")])
        await store.commit([Delete("/p/a")])
        seen: list[Event] = []
        async for events in stream:
            seen += events
            if len(seen) == 3:
                break
    assert seen == [
        Event(Record("/p/a", b"1", 3, 3), False, None),
        Event(Record("/p/a", b"2", 5, 3), False, Record("/p/a", b"1", 3, 3)),
        Event(Record("/p/a", b"2", 6, 3), True, Record("/p/a", b"2", 5, 3)),
    ]


async def test_watch_from_the_past_runs_into_the_present(store: Store) -> None:
    for number in range(5):
        await store.commit([Put("/a", b"%d" % number)])
    seen: list[Event] = []
    async with asyncio.timeout(60), store.watch("/a", start_revision=4) as stream:
        await store.commit([Delete("/a")])
        async for events in stream:
            seen += events
            if len(seen) == 4:
                break
    assert [e.record.mod_revision for e in seen] == [4, 5, 6, 7]
    assert seen[0].previous == Record("/a", b"1", 3, 2)
    assert seen[-1] == Event(Record("/a", b"4", 7, 2), True, Record("/a", b"4", 6, 2))


async def test_watch_of_the_future_waits_for_it(store: Store) -> None:
    async with asyncio.timeout(60), store.watch("/", start_revision=4) as stream:
        for number in range(4):
            await store.commit([Put("/a", b"%d" % number)])
        seen = [event async for events in first(stream) for event in events]
    assert seen[0].record.mod_revision == 4


async def first(stream):
    async for events in stream:
        yield events
        return


async def test_watchers_see_every_write_in_order(store: Store) -> None:
    async def write(worker: int) -> None:
        for number in range(25):
            await store.commit([Put(f"/w/{worker}/{number}", b"")])

    watching = [asyncio.create_task(collect(store, "/w/", 2, 100)) for _ in range(3)]
    await asyncio.gather(*(write(worker) for worker in range(4)))
    for seen in await asyncio.gather(*watching):
        assert [event.record.mod_revision for event in seen] == list(range(2, 102))


async def test_compaction(store: Store) -> None:
    for number in range(3):
        await store.commit([Put("/a", b"%d" % number)])  # 2, 3, 4
    await store.commit([Put("/b", b"x")])  # 5
    await store.commit([Delete("/b")])  # 6
    await store.commit([Put("/c", b"x")])  # 7
    await store.compact(5)
    with pytest.raises(Compacted) as caught:
        await store.get("/a", revision=4)
    assert caught.value.oldest == 5
    with pytest.raises(Compacted):
        await store.range("/", revision=2)
    with pytest.raises(Compacted):
        async with store.watch("/", start_revision=3):
            pass
    with pytest.raises(Compacted):
        await store.compact(5)
    with pytest.raises(FutureRevision):
        await store.compact(99)
    assert [r.key for r in (await store.range("/", revision=5)).records] == ["/a", "/b"]
    events = await collect(store, "/", 6, 2)
    assert [(e.record.key, e.deleted, e.record.value) for e in events] == [
        ("/b", True, b"x"), ("/c", False, b"x"),
    ]  # fmt: skip
    await store.compact(7)
    assert [r.key for r in (await store.range("/")).records] == ["/a", "/c"]
    assert await store.commit([Put("/d", b"")]) == 8


async def test_leases(store: Store, clock: FakeClock) -> None:
    short, long = await store.grant_lease(10), await store.grant_lease(100)
    assert short != long
    await store.commit([Put("/a", b"", lease=short)])
    await store.commit([Put("/b", b"", lease=short), Put("/c", b"", lease=long)])
    await store.commit([Put("/b", b"kept")])
    clock.advance(11)
    await store.expire_leases()  # type: ignore[attr-defined]
    assert [r.key for r in (await store.range("/")).records] == ["/b", "/c"]
    (event,) = await collect(store, "/", 5, 1)
    assert (event.record.key, event.deleted, event.previous.lease) == ("/a", True, short)
    clock.advance(100)
    await store.expire_leases()  # type: ignore[attr-defined]
    assert [r.key for r in (await store.range("/")).records] == ["/b"]


async def test_a_closed_store_ends_watches_and_refuses_writes(store: Store) -> None:
    async with asyncio.timeout(60), store.watch("/") as stream:
        await store.commit([Put("/a", b"")])
        await store.close()
        assert len([events async for events in stream]) == 1
    with pytest.raises(StoreUnavailable):
        await store.commit([Put("/b", b"")])
    await store.close()
