"""One walk through an etcd's past for many who ask at once: each gets its own, whole."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from etcd_line import opened

from tiphys.storage import etcd_history
from tiphys.storage import etcd_wire as wire
from tiphys.storage.base import Compacted, Delete, Event, Put, StoreUnavailable
from tiphys.storage.etcd_history import SharedHistory

KINDS = ("/a/", "/b/", "/c/")


class Walks:
    """Batches of a made-up etcd, whose revisions write keys of each kind in turn. Each waits to be let go."""

    def __init__(self, present: int, compacted: int = 0) -> None:
        self.present = present
        self.compacted = compacted
        self.begun: list[int] = []
        self.broken: Exception | None = None
        self._go = asyncio.Semaphore(0)

    def let(self, count: int) -> None:
        for _ in range(count):
            self._go.release()

    async def __call__(self, _client: Any, first: int) -> AsyncGenerator[tuple[int, list[Any]], None]:
        self.begun.append(first)
        if self.broken is not None:
            raise self.broken
        if first <= self.compacted:
            raise Compacted(self.compacted)
        for last in range(first + 1, self.present + 1, 2):
            await self._go.acquire()
            if last - 1 <= self.compacted:
                raise Compacted(self.compacted)
            yield last, [_event(last - 1), _event(last)]
        await asyncio.get_running_loop().create_future()


def _event(revision: int) -> Any:
    response = wire.response_class(wire.WATCH)()
    event = response.events.add()
    event.kv.key = (KINDS[revision % 3] + str(revision)).encode()
    event.kv.mod_revision = event.kv.create_revision = revision
    return event


def revisions(events: list[Event]) -> list[int]:
    return [event.record.mod_revision for event in events]


def walked(monkeypatch: pytest.MonkeyPatch, walks: Walks) -> SharedHistory:
    monkeypatch.setattr(etcd_history, "batches", walks)
    return SharedHistory(None, wire.Keys())  # type: ignore[arg-type]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_everybody_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    reads = [
        asyncio.ensure_future(history.read(prefix, first, 12, 1 << 62))
        for prefix in (*KINDS, "/", "/none/")
        for first in (1, 4, 7)
    ]
    walks.let(6)
    found = [revisions(one) for one in await asyncio.gather(*reads)]
    assert walks.begun == [1]
    kinds: list[set[int]] = [{0}, {1}, {2}, {0, 1, 2}, set()]
    assert found == [
        [one for one in range(first, 13) if one % 3 in kind] for kind in kinds for first in (1, 4, 7)
    ]


async def test_whole_parts_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    few = asyncio.ensure_future(history.read("/a/", 1, 20, 2))
    many = asyncio.ensure_future(history.read("/", 1, 20, 9))
    walks.let(3)
    assert revisions(await few) == [3, 6]
    assert not many.done()
    walks.let(2)
    assert revisions(await many) == list(range(1, 11))
    assert walks.begun == [1]


async def test_who_comes_late_goes_along_from_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    early = asyncio.ensure_future(history.read("/", 1, 8, 1 << 62))
    walks.let(2)
    await settled()
    late = asyncio.ensure_future(history.read("/", 6, 10, 1 << 62))
    walks.let(3)
    assert revisions(await early) == list(range(1, 9))
    assert revisions(await late) == list(range(6, 11))
    assert walks.begun == [1]


async def test_who_comes_too_late_waits_for_no_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    early = asyncio.ensure_future(history.read("/", 1, 6, 1 << 62))
    walks.let(2)
    await settled()
    missed = asyncio.ensure_future(history.read("/", 2, 8, 1 << 62))
    newcomer = asyncio.ensure_future(history.read("/", 7, 19, 1 << 62))
    walks.let(1)
    assert revisions(await early) == list(range(1, 7))
    walks.let(4)
    assert revisions(await missed) == list(range(2, 9))
    assert walks.begun == [1, 2]
    assert not newcomer.done()
    walks.let(5)
    assert revisions(await newcomer) == list(range(7, 20))
    assert walks.begun == [1, 2]


async def test_what_is_gone_is_gone_for_those_who_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20, compacted=5)
    history = walked(monkeypatch, walks)
    gone = [asyncio.ensure_future(history.read("/", first, 8, 9)) for first in (2, 5)]
    there = asyncio.ensure_future(history.read("/", 6, 8, 9))
    walks.let(2)
    for one in gone:
        with pytest.raises(Compacted) as caught:
            await one
        assert caught.value.oldest == 5
    assert revisions(await there) == [6, 7, 8]
    assert walks.begun == [2, 6]


async def test_what_goes_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    reading = asyncio.ensure_future(history.read("/", 1, 10, 1 << 62))
    walks.let(2)
    await settled()
    walks.compacted = 8
    walks.let(1)
    with pytest.raises(Compacted):
        await reading


async def test_a_failure_is_told_and_the_next_walk_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    walks.broken = StoreUnavailable("away")
    results = await asyncio.gather(*(history.read("/", 1, 4, 9) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in results] == ["away"] * 3
    walks.broken = None
    walks.let(2)
    assert revisions(await history.read("/", 1, 4, 9)) == [1, 2, 3, 4]


async def test_nobody_left_ends_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = Walks(20)
    history = walked(monkeypatch, walks)
    one, other = (asyncio.ensure_future(history.read("/", 1, 4, 9)) for _ in range(2))
    await settled()
    one.cancel()
    await settled()
    assert history._walk is not None
    other.cancel()
    await settled()
    assert history._walk is None
    walks.let(2)
    assert revisions(await history.read("/", 1, 4, 9)) == [1, 2, 3, 4]


async def test_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    history = walked(monkeypatch, Walks(20))
    reading = asyncio.ensure_future(history.read("/", 1, 4, 9))
    await settled()
    await history.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await reading
    await history.close()


@pytest.mark.etcd
async def test_many_old_watches_of_a_real_etcd_share_one_walk(etcd: Any) -> None:
    async with opened(etcd.url) as store:
        for number in range(60):
            key = f"{KINDS[number % 3]}{number % 9}"
            await store.commit([Put(key, b"%d" % number)])
        await store.commit([Delete("/a/0")])
        last = store.revision
        asked = [(prefix, first) for prefix in KINDS for first in (2, 20, 50)]
        found = await asyncio.gather(*(store.history(prefix, first, last) for prefix, first in asked))
        assert store._past.walks == 1
        for (prefix, first), events in zip(asked, found, strict=True):
            alone = await store.history(prefix, first, last)
            assert events == alone
            at = KINDS.index(prefix)
            want = [2 + number for number in range(60) if number % 3 == at and 2 + number >= first]
            assert revisions(events) == want + ([last] if prefix == "/a/" else [])
