"""Events that go to waiting connections without waking their readers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore, watchers
from tiphys.apiserver.cache.watchers import SHARE, Outbox, Watcher
from tiphys.apiserver.objects import Change, Selection
from tiphys.storage.memory import MemoryStore

MAPS = Resource(
    "", "v1", "ConfigMap", "configmaps", "configmap", True, (), GVK("", "v1", "ConfigMap"),
    "/registry/configmaps/",
)  # fmt: skip


def made(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a"}}


def event(revision: int) -> Change:
    return Change("ADDED", revision, b"<%d>" % revision, None)


class Reader:
    """A watcher's connection and its task: what was pushed and what was read."""

    def __init__(self, outbox: Outbox | None) -> None:
        self.takes = True
        self.pushed: list[bytes] = []
        self.events = 0
        self.read: list[bytes] = []
        self.watcher = Watcher(Selection(), outbox, self.push if outbox is not None else None)

    def push(self, frames: bytes, count: int) -> bool:
        if self.takes:
            self.pushed.append(frames)
            self.events += count
        return self.takes

    async def run(self) -> None:
        while batch := await self.watcher.next():
            self.read += [change.frame for change in batch]

    @property
    def got(self) -> bytes:
        return b"".join(self.pushed + self.read)


@pytest.fixture
async def readers() -> AsyncIterator[list[Reader]]:
    outbox = Outbox()
    found = [Reader(outbox) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for reader in found:
            group.create_task(reader.run())
        await turn()
        yield found
        for reader in found:
            reader.watcher.end()


async def turn(times: int = 2) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_waiting_readers_are_not_woken(readers: list[Reader]) -> None:
    for reader in readers:
        reader.watcher.offer(event(1))
    await turn()
    assert [reader.pushed for reader in readers] == [[b"<1>"]] * 3
    assert [reader.read for reader in readers] == [[]] * 3


async def test_the_events_of_one_turn_are_joined_once(readers: list[Reader]) -> None:
    for reader in readers:
        for revision in (1, 2, 3):
            reader.watcher.offer(event(revision))
    await turn()
    assert [reader.pushed for reader in readers] == [[b"<1><2><3>"]] * 3
    assert [reader.events for reader in readers] == [3] * 3


async def test_shared_events_are_joined_for_all(readers: list[Reader]) -> None:
    events = [event(1), event(2)]
    for reader in readers:
        for one in events:
            reader.watcher.offer(one)
    await turn()
    assert len({id(reader.pushed[0]) for reader in readers}) == 1


async def test_who_is_told_something_else_gets_that(readers: list[Reader]) -> None:
    for number, reader in enumerate(readers):
        reader.watcher.offer(event(1))
        for _ in range(number):
            reader.watcher.offer(event(5))
    await turn()
    assert [reader.got for reader in readers] == [b"<1>", b"<1><5>", b"<1><5><5>"]


async def test_what_is_refused_reaches_the_reader_in_order(readers: list[Reader]) -> None:
    slow = readers[0]
    slow.takes = False
    for revision in (1, 2):
        slow.watcher.offer(event(revision))
    await turn()
    slow.takes = True
    slow.watcher.offer(event(3))
    await turn()
    assert slow.read == [b"<1>", b"<2>"]
    assert slow.pushed == [b"<3>"]


async def test_nothing_is_pushed_past_a_reader_that_is_busy() -> None:
    reader = Reader(Outbox())
    reader.watcher.offer(event(1))
    await turn()
    assert reader.pushed == []
    assert [change.frame for change in await reader.watcher.next()] == [b"<1>"]


async def test_a_reader_that_wakes_meanwhile_takes_all(readers: list[Reader]) -> None:
    reader = readers[0]
    reader.watcher.offer(event(1))
    reader.watcher.end()
    await turn(3)
    assert (reader.pushed, reader.read) == ([], [b"<1>"])


async def test_what_may_be_old_is_the_readers_to_judge(readers: list[Reader]) -> None:
    reader = readers[0]
    reader.watcher.wanted = 5
    reader.watcher.offer(event(5))
    await turn()
    assert (reader.pushed, reader.read) == ([], [b"<5>"])


async def test_a_turn_writes_to_a_share_of_the_connections() -> None:
    outbox = Outbox()
    found = [Reader(outbox) for _ in range(SHARE + 5)]
    tasks = [asyncio.create_task(reader.run()) for reader in found]
    await turn()
    for reader in found:
        reader.watcher.offer(event(1))
    seen = []
    for _ in range(3):
        await turn(1)
        seen.append(sum(len(reader.pushed) for reader in found))
    assert seen == [SHARE, SHARE + 5, SHARE + 5]
    for reader in found:
        reader.watcher.end()
    await asyncio.gather(*tasks)


async def test_a_watcher_that_takes_nothing_is_cut_off_and_others_are_not(
    readers: list[Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "BUFFER_CHANGES", 10)
    stuck = Reader(Outbox())  # nobody reads
    for revision in range(1, 13):
        stuck.watcher.offer(event(revision))
        readers[0].watcher.offer(event(revision))
        await turn()
    assert stuck.watcher.closed
    assert await stuck.watcher.next() == []
    assert readers[0].got == b"".join([b"<%d>" % revision for revision in range(1, 13)])


async def test_without_an_outbox_the_reader_is_woken() -> None:
    reader = Reader(None)
    task = asyncio.create_task(reader.run())
    await turn()
    reader.watcher.offer(event(1))
    await turn()
    assert reader.read == [b"<1>"]
    reader.watcher.end()
    await task


# -- through the store


@pytest.fixture
async def store() -> AsyncIterator[CachedStore]:
    below = MemoryStore(clock=FakeClock())
    await below.open()
    cache = CachedStore(below)
    await cache.open()
    yield cache
    await cache.close()
    await below.close()


async def test_one_event_to_many_watchers_costs_one_encoding(
    store: CachedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    framed: list[str] = []
    original = watchers.change

    def counted(type_: str, entry: Any) -> Change:
        framed.append(type_)
        return original(type_, entry)

    monkeypatch.setattr(watchers, "change", counted)
    pushed: list[bytes] = []

    def push(frames: bytes, count: int) -> bool:
        pushed.append(frames)
        return True

    watches = [store.watch(MAPS, Selection(), resource_version="0", push=push) for _ in range(300)]
    tasks = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await turn(5)
    await store.create(MAPS, made("x"))
    await turn(5)
    assert framed == ["ADDED"]
    assert len(pushed) == 300
    assert len({id(frames) for frames in pushed}) == 1
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_idle_watches_wake_nobody(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: other kinds' events and the passing of turns cost a watch nothing."""
    watches = [store.watch(MAPS, Selection(namespace=f"n{i}"), resource_version="0") for i in range(2000)]
    tasks = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await turn(5)
    loop = asyncio.get_running_loop()
    calls: list[Any] = []
    for name in ("call_soon", "call_at"):
        original = getattr(loop, name)
        monkeypatch.setattr(
            loop, name, lambda *a, _original=original, **k: calls.append(a) or _original(*a, **k)
        )
    await store.create(MAPS, made("elsewhere"))
    before = len(calls)
    await turn(50)
    assert len(calls) - before <= 50  # this test's own turns
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
