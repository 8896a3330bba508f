"""Events that go to waiting connections without waking their readers."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Hashable, Sequence

import pytest

from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.cache import lanes
from tiphys.apiserver.cache.lanes import SHARE, Lane, Outbox, Watcher
from tiphys.apiserver.registry.objects import Change, Selection
from tiphys.wire.outlet import NotNowError, Writer


def event(revision: int) -> Change:
    return Change("ADDED", revision, b"<%d>" % revision, None)


class Reader:
    """A watcher's connection and its task: what was written past the reader and what was read."""

    form: Hashable = "json"
    anywhere = False

    def __init__(self, *, has_outlet: bool = True) -> None:
        self.takes = True
        self.fails: Exception | None = None
        self.kept = False
        self.pushed: list[bytes] = []
        self.events = 0
        self.read: list[bytes] = []
        self.framed: list[int] = []
        self.gone: Callable[[], None] = lambda: None
        self.watcher = Watcher(Selection(), self if has_outlet else None)
        self.watcher.live = True

    def chunk(self, changes: Sequence[Change], _: int) -> bytes:
        self.framed.append(len(changes))
        return b"".join([change.frame for change in changes])

    def writer(self, gone: Callable[[], None]) -> Writer | None:
        self.gone = gone
        return self._write if self.takes else None

    def _write(self, chunk: bytes) -> None:
        if self.fails is not None:
            raise self.fails
        self.pushed.append(chunk)

    def rescue(self, chunk: bytes, error: Exception) -> bool:
        if self.kept:
            self.pushed.append(chunk)
        return self.kept

    def count(self, events: int) -> None:
        self.events += events

    async def run(self) -> None:
        while batch := await self.watcher.next():
            self.read += [change.frame for change in batch]

    @property
    def got(self) -> bytes:
        return b"".join(self.pushed + self.read)


class Crowd:
    """Readers in one lane; ``enter`` adds more."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.lane = Lane(Selection(), Outbox())
        self.readers: list[Reader] = []

    async def enter(self, *readers: Reader) -> None:
        for reader in readers:
            self.lane.add(reader.watcher)
            self._group.create_task(reader.run())
        self.readers += readers
        await turn()

    def tell(self, *revisions: int) -> None:
        for revision in revisions:
            self.lane.tell(event(revision))

    def pushed(self) -> list[bytes]:
        return [b"".join(reader.pushed) for reader in self.readers]

    def read(self) -> list[bytes]:
        return [b"".join(reader.read) for reader in self.readers]


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with asyncio.TaskGroup() as group:
        found = Crowd(group)
        await found.enter(*(Reader() for _ in range(3)))
        yield found
        for reader in found.readers:
            reader.watcher.end()


async def turn(times: int = 2) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def frames(*revisions: int) -> bytes:
    return b"".join([b"<%d>" % revision for revision in revisions])


async def test_waiting_readers_are_not_woken(crowd: Crowd) -> None:
    crowd.tell(1)
    await turn()
    assert crowd.pushed() == [b"<1>"] * 3
    assert crowd.read() == [b""] * 3


async def test_the_events_of_one_turn_are_one_chunk_made_once(crowd: Crowd) -> None:
    crowd.tell(1, 2, 3)
    await turn()
    assert [reader.pushed for reader in crowd.readers] == [[b"<1><2><3>"]] * 3
    assert len({id(reader.pushed[0]) for reader in crowd.readers}) == 1
    assert sum(map(len, [reader.framed for reader in crowd.readers])) == 1
    assert sum(reader.events for reader in crowd.readers) == 9


async def test_nothing_is_written_to_a_connection_that_is_no_more(crowd: Crowd) -> None:
    """Its descriptor may be another's by then: not even before its task has heard of it."""
    crowd.tell(1)
    crowd.readers[1].gone()
    await turn()
    assert crowd.pushed() == [b"<1>", b"", b"<1>"]


async def test_what_is_refused_reaches_the_reader_in_order(crowd: Crowd) -> None:
    slow = crowd.readers[0]
    slow.fails = NotNowError()
    slow.takes = False
    crowd.tell(1, 2)
    await turn()
    slow.fails, slow.takes = None, True
    crowd.tell(3)
    await turn()
    crowd.tell(4)
    await turn()
    assert crowd.read() == [b"<1><2><3>", b"", b""]
    assert crowd.pushed() == [b"<4>", *[b"<1><2><3><4>"] * 2]
    assert sum(reader.events for reader in crowd.readers) == 2 * 4 + 1


async def test_what_a_failing_connection_keeps_is_not_read_again(crowd: Crowd) -> None:
    slow = crowd.readers[1]
    slow.fails, slow.kept, slow.takes = OSError(), True, False
    crowd.tell(1)
    await turn()
    crowd.tell(2)
    await turn()
    assert crowd.pushed() == [b"<1><2>", b"<1>", b"<1><2>"]
    assert crowd.read() == [b"", b"<2>", b""]


async def test_nothing_is_pushed_past_a_reader_that_is_busy(crowd: Crowd) -> None:
    busy = Reader()
    crowd.lane.add(busy.watcher)
    crowd.tell(1)
    await turn()
    assert busy.pushed == []
    assert [change.frame for change in await busy.watcher.next()] == [b"<1>"]
    crowd.lane.remove(busy.watcher)


@pytest.mark.parametrize("more", [False, True])
async def test_who_comes_to_rest_while_events_are_due_gets_each_once(crowd: Crowd, more: bool) -> None:
    """What it was given while busy it is not given again; what comes after that is not lost."""
    late = Reader()
    crowd.lane.add(late.watcher)
    crowd.tell(1)
    assert [change.frame for change in await late.watcher.next()] == [b"<1>"]
    crowd.lane.rest(late.watcher)
    if more:
        crowd.tell(2)
    await turn()
    assert late.pushed == []
    assert [change.frame for change in late.watcher._changes] == ([b"<2>"] if more else [])
    crowd.tell(3)
    await turn()
    assert late.pushed == ([] if more else [b"<3>"])
    crowd.lane.remove(late.watcher)
    assert [change.frame for change in late.watcher._changes] == ([b"<2>", b"<3>"] if more else [])


async def test_a_reader_that_wakes_meanwhile_takes_all(crowd: Crowd) -> None:
    crowd.tell(1)
    crowd.readers[0].watcher.end()
    await turn(3)
    assert crowd.pushed() == [b"", b"<1>", b"<1>"]
    assert crowd.read() == [b"<1>", b"", b""]


async def test_what_is_offered_to_one_comes_after_what_all_were_told(crowd: Crowd) -> None:
    """A bookmark says that all before it was sent."""
    crowd.tell(1)
    crowd.readers[0].watcher.offer(event(7))
    crowd.tell(2)
    await turn(3)
    assert crowd.read()[0] == b"<1><7><2>"
    crowd.tell(3)
    await turn()
    assert crowd.pushed() == [b"<3>", frames(1, 2, 3), frames(1, 2, 3)]


async def test_who_does_not_know_yet_what_is_old_is_not_pushed_to(crowd: Crowd) -> None:
    new = Reader()
    new.watcher.live = False
    await crowd.enter(new)
    crowd.tell(5)
    await turn()
    assert (new.pushed, new.read) == ([], [b"<5>"])


async def test_a_reader_that_goes_away_is_forgotten(crowd: Crowd) -> None:
    gone = Reader()
    crowd.lane.add(gone.watcher)
    task = asyncio.create_task(gone.run())
    await turn()
    crowd.tell(1)
    task.cancel()
    await turn()
    assert len(crowd.lane) == 4
    crowd.lane.remove(gone.watcher)
    assert len(crowd.lane) == 3
    crowd.tell(2)
    await turn()
    assert gone.pushed == [b"<1>"]  # before it was gone
    assert crowd.pushed() == [b"<1><2>"] * 3


async def test_connections_of_another_kind_are_told_one_by_one(crowd: Crowd) -> None:
    """One lane's writers are all called on any thread, or none is."""
    other = Reader()
    other.anywhere = True
    await crowd.enter(other)
    crowd.tell(1)
    await turn()
    assert (other.pushed, other.read) == ([], [b"<1>"])


async def test_each_reader_runs_into_what_cannot_be_encoded(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Reader, changes: Sequence[Change]) -> bytes:
        raise InternalError("no such version")

    monkeypatch.setattr(Reader, "chunk", refuse)
    crowd.tell(1, 2)
    await turn()
    assert crowd.read() == [b"<1><2>"] * 3
    monkeypatch.undo()
    crowd.tell(3)
    await turn()
    assert crowd.pushed() == [b"<3>"] * 3


async def filled(crowd: Crowd, count: int) -> list[Reader]:
    await crowd.enter(*(Reader() for _ in range(count - len(crowd.readers))))
    return crowd.readers


async def test_a_turn_writes_to_a_share_of_the_connections(crowd: Crowd) -> None:
    readers = await filled(crowd, SHARE + 5)
    crowd.tell(1)
    seen = []
    for _ in range(3):
        await turn(1)
        seen.append(sum(len(reader.pushed) for reader in readers))
    assert seen == [SHARE, SHARE + 5, SHARE + 5]


async def test_of_large_events_a_turn_writes_fewer(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "SHARE", 4)
    monkeypatch.setattr(lanes, "LARGE_BYTES", 3)
    readers = await filled(crowd, 6)
    crowd.tell(1)
    seen = []
    for _ in range(3):
        await turn(1)
        seen.append(sum(len(reader.pushed) for reader in readers))
    assert seen == [2, 4, 6]


async def test_lanes_take_turns(crowd: Crowd) -> None:
    outbox = crowd.lane._outbox
    others = [Lane(Selection(str(number)), outbox) for number in range(2)]
    single = [Reader(), Reader()]
    await filled(crowd, SHARE + 5)
    for lane, reader in zip(others, single, strict=True):
        crowd.readers.append(reader)
        lane.add(reader.watcher)
        crowd._group.create_task(reader.run())
    await turn()
    crowd.tell(1)
    for lane in others:
        lane.tell(event(1))
    await turn(3)
    assert all(reader.pushed == [b"<1>"] for reader in crowd.readers)


async def test_in_the_midst_of_a_round(crowd: Crowd) -> None:
    """Who leaves is told the rest by its reader; new events wait for the next round."""
    readers = await filled(crowd, SHARE + 3)
    crowd.tell(1)
    await turn(1)
    written, unwritten = readers[0], readers[-1]
    assert (written.pushed, unwritten.pushed) == ([b"<1>"], [])
    crowd.tell(2)
    written.watcher.offer(event(7))
    unwritten.watcher.offer(event(7))
    new = Reader()
    await crowd.enter(new)
    await turn(4)
    assert (written.pushed, written.read) == ([b"<1>"], [b"<2>", b"<7>"])
    assert (unwritten.pushed, unwritten.read) == ([], [b"<1>", b"<2>", b"<7>"])
    assert new.got == b""
    assert all(b"".join(reader.pushed) == b"<1><2>" for reader in readers[1:-2])
    crowd.tell(3)
    await turn(4)
    assert all(reader.pushed[-1] == b"<3>" for reader in crowd.readers)


async def test_a_round_that_everyone_leaves(crowd: Crowd) -> None:
    await filled(crowd, SHARE + 3)
    crowd.tell(1)
    await turn(1)
    for reader in crowd.readers:
        reader.watcher.offer(event(7))
    await turn(4)
    assert all(reader.got == b"<1><7>" for reader in crowd.readers)
    crowd.tell(8)
    await turn(3)
    assert all(reader.pushed[-1] == b"<8>" for reader in crowd.readers)


async def test_a_watcher_that_takes_nothing_is_cut_off_and_others_are_not(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "BUFFER_CHANGES", 10)
    stuck = Reader()  # nobody reads
    crowd.lane.add(stuck.watcher)
    for revision in range(1, 13):
        crowd.tell(revision)
        await turn()
    assert stuck.watcher.closed
    assert await stuck.watcher.next() == []
    crowd.lane.remove(stuck.watcher)
    assert crowd.pushed() == [frames(*range(1, 13))] * 3


async def test_without_an_outlet_the_reader_is_woken(crowd: Crowd) -> None:
    reader = Reader(has_outlet=False)
    await crowd.enter(reader)
    crowd.tell(1)
    await turn()
    assert reader.read == [b"<1>"]


@pytest.mark.parametrize("seed", range(40))
async def test_any_interleaving_tells_everyone_everything_once(seed: int) -> None:
    """Readers come, rest, are refused, are offered bookmarks, in any order: nothing is lost or doubled."""
    chance = random.Random(seed)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(group)
        expected: dict[Reader, list[bytes]] = {}
        order: dict[Reader, list[bytes]] = {}
        revision = 0
        for _ in range(120):
            match chance.randrange(6):
                case 0 if len(crowd.readers) < 12:
                    new = Recorder()
                    order[new] = new.order
                    expected[new] = []
                    crowd.lane.add(new.watcher)
                    crowd.readers.append(new)
                    group.create_task(new.run())
                case 1 | 2:
                    revision += 1
                    crowd.tell(revision)
                    for frames_of in expected.values():
                        frames_of.append(b"<%d>" % revision)
                case 3 if crowd.readers:
                    reader = chance.choice(crowd.readers)
                    reader.takes = not reader.takes
                    reader.fails = None if reader.takes else NotNowError()
                    reader.kept = chance.random() < 0.5
                case 4 if crowd.readers:
                    reader = chance.choice(crowd.readers)
                    revision += 1
                    reader.watcher.offer(event(revision))
                    expected[reader].append(b"<%d>" % revision)
                case _:
                    await turn(chance.randrange(1, 3))
        await turn(5)
        for reader in crowd.readers:
            reader.watcher.end()
    for reader, frames_of in expected.items():
        assert b"".join(order[reader]) == b"".join(frames_of)


class Recorder(Reader):
    """A reader that knows in which order it got things, by either way."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[bytes] = []

    def _write(self, chunk: bytes) -> None:
        if self.fails is not None:
            raise self.fails
        self.order.append(chunk)

    def rescue(self, chunk: bytes, error: Exception) -> bool:
        if self.kept:
            self.order.append(chunk)
        return self.kept

    async def run(self) -> None:
        while batch := await self.watcher.next():
            self.order += [change.frame for change in batch]
