"""The default store: one SQLite file, an append-only log, group commit.

The event loop plans transactions against the keys in memory; one writer thread makes them durable, those that
wait at that moment (or half of them: ``storage.rhythm``) in one transaction with one fsync. Only then do they
become the present, watchers hear of them, and ``commit`` returns. Reads of the present never touch the disk;
the past is read in a second thread. Compaction and the rest of housekeeping is ``storage.upkeep``'s.

Keeps no promise about two processes: the file is locked, a second opener is refused. Nor does it write to a
file that is no longer where it was opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import field
from pathlib import Path
from typing import Final, TypeVar

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage.base import (
    Compacted,
    CompareFailed,
    Delete,
    Event,
    FutureRevision,
    Put,
    RangeResult,
    Record,
    StoreUnavailable,
)
from tiphys.storage.feed import Feed, Subscriber
from tiphys.storage.keyspace import Keyspace, Overlay
from tiphys.storage.leases import Leases
from tiphys.storage.retention import Retention
from tiphys.storage.rhythm import Rhythm
from tiphys.storage.sqlite_file import LeaseChange, SqliteFile
from tiphys.storage.upkeep import Pace, Upkeep

log = logging.getLogger(__name__)

_BATCH: Final = 512
_HOUSEKEEPING_S: Final = 1.0

_T = TypeVar("_T")


@dataclass(slots=True)
class _Pending:
    writes: Sequence[Put | Delete]
    done: asyncio.Future[int]
    leases: tuple[LeaseChange, ...] = ()


@dataclass(slots=True)
class _Planned:
    """A batch on its way to disk."""

    events: list[Event] = field(default_factory=list)
    leases: list[LeaseChange] = field(default_factory=list)
    results: list[tuple[_Pending, int | Exception]] = field(default_factory=list)


class _TakeOverFailed(Exception):
    """What is on disk could not be made the present."""


class SqliteStore:
    """``Store`` in one file."""

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock | None = None,
        retention: Retention | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._path = Path(path)
        self._file = SqliteFile(self._path)
        self._clock = clock or RealClock()
        self._upkeep = Upkeep(self._file, self._clock, retention or Retention(), pace or Pace())
        self._keyspace = Keyspace()
        self._feed = Feed(self.history)
        self._leases = Leases()
        self._next_lease = 1
        self._queue: deque[_Pending] = deque()
        self._rhythm = Rhythm()
        self._wake = asyncio.Event()
        self._unsure = False  # after a failed write the disk may hold more than was acknowledged
        self._lost = ""  # what is wrong with a file that was taken away: nothing is written to it any more
        self._closing = False
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    # -- life

    async def open(self) -> None:
        """Recover and be ready. Raises StoreUnavailable: no such folder, in use, not a store."""
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._writer, self._file.open)
        except StoreUnavailable:
            self._writer.shutdown()
            self._reader.shutdown()
            raise
        self._keyspace = Keyspace(found.revision, found.records)
        self._upkeep.open(found, self._writer)
        now, present = self._clock.now().timestamp(), self._clock.monotonic()
        for lease, expires_at in found.leases.items():
            self._leases.add(lease, present + max(0.0, expires_at - now))
        self._next_lease = max(found.leases, default=0) + 1
        for record in found.records:
            if record.lease:
                self._leases.attach(record.lease, record.key)
                self._next_lease = max(self._next_lease, record.lease + 1)
        writing = loop.create_task(self._run_writer())  # parent: close
        copying = loop.create_task(self._upkeep.keep_copying())  # parent: close
        self._tasks = [writing, loop.create_task(self._keep_house()), copying]  # parent: close

    async def close(self) -> None:
        """Finish what was accepted and stop. Idempotent."""
        if self._closing or not self._tasks:
            return
        self._closing = True
        self._wake.set()
        writing, *others = self._tasks
        for task in others:
            task.cancel()
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("store upkeep failed path=%s: %r", self._path, outcome)
        await writing
        self._feed.close()
        loop = asyncio.get_running_loop()
        await self._upkeep.close()
        await loop.run_in_executor(self._reader, lambda: None)
        await loop.run_in_executor(self._writer, self._file.close)
        self._writer.shutdown()
        self._reader.shutdown()

    @property
    def revision(self) -> int:
        """The newest revision that is on disk."""
        return self._keyspace.revision

    @property
    def compacted(self) -> int:
        """The revision before which history is gone."""
        return self._upkeep.compacted

    def size_bytes(self) -> int:
        """Return how large the file is on the disk, its log of writes included."""
        paths = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every batch of events before its ``commit`` returns; gives the undo."""
        return self._feed.subscribe(subscriber)

    # -- reading

    async def get(self, key: str, *, revision: int = 0) -> Record | None:
        """Read a key now or at ``revision``. Raises Compacted, FutureRevision."""
        if not revision:
            return self._keyspace.get(key)
        self._check(revision)
        found = await self._read(self._file.get_at, key, revision)
        self._check(revision)  # compaction may have begun meanwhile
        return found

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Read keys in order, now or at ``revision``. Raises Compacted, FutureRevision."""
        if not revision:
            return self._keyspace.range(prefix, start, limit)
        self._check(revision)
        found = await self._read(self._file.range_at, prefix, start, limit, revision)
        self._check(revision)
        return found

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys there were at ``revision``, and when they were written. Raises as ``range``."""
        self._check(revision)
        found = await self._read(self._file.revisions_at, prefix, revision)
        self._check(revision)
        return found

    async def _read(self, call: Callable[..., _T], *args: object) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, call, *args)
        except RuntimeError as error:  # the executor has been shut down
            raise StoreUnavailable("the store is closed") from error

    def _check(self, revision: int) -> None:
        if revision < self._upkeep.compacted:
            raise Compacted(self._upkeep.compacted)
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not written yet; newest is {self.revision}")

    def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Stream events from ``start_revision`` (0: from now) on. Raises Compacted."""
        start = start_revision or self.revision + 1
        if start <= self._upkeep.compacted:
            raise Compacted(self._upkeep.compacted)
        return self._feed.watch(prefix, start, self.revision)

    async def history(self, prefix: str, first: int, last: int, limit: int = 1 << 62) -> list[Event]:
        """Read events of revisions ``first``..``last``, about ``limit`` at most. Raises Compacted."""
        events = await self._read(self._file.history, prefix, first, last, limit)
        if first <= self._upkeep.compacted:
            raise Compacted(self._upkeep.compacted)
        return events

    # -- writing

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Apply all or nothing, durably. Raises CompareFailed, StoreUnavailable.

        A caller that is cancelled does not take its write back.
        """
        return await self._enqueue(writes)

    def _enqueue(self, writes: Sequence[Put | Delete], *leases: LeaseChange) -> asyncio.Future[int]:
        if self._closing or self._stopped or not self._tasks:
            raise StoreUnavailable("the store has stopped" if self._stopped else "the store is closed")
        if self._lost:
            raise StoreUnavailable(self._lost)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(_Pending(writes, done, leases))
        self._wake.set()
        return done

    async def _run_writer(self) -> None:
        """Write until closed. Should that fail, whoever waits or comes later is told; nobody hangs."""
        try:
            await self._write_forever()
        except Exception:
            log.exception("store writer failed path=%s", self._path)
        finally:
            self._stopped = True
            while self._queue:
                pending = self._queue.popleft()
                if not pending.done.done():
                    pending.done.set_exception(StoreUnavailable("the store has stopped"))

    async def _write_forever(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._rhythm.rest()
                self._wake.clear()
                await self._wake.wait()
                continue
            size = self._rhythm.size(min(len(self._queue), _BATCH), self._clock.monotonic())
            await self._write([self._queue.popleft() for _ in range(size)])

    async def _write(self, taken: list[_Pending]) -> None:
        """Plan a batch, make it durable, make it the present, tell everyone."""
        try:
            if self._unsure:
                missed = await self._missed()
                self._advance_or_stop(missed, taken)
                self._unsure = False
            planned = self._plan(taken)
            if planned.events or planned.leases:
                await self._upkeep.make_room()
                loop = asyncio.get_running_loop()
                self._rhythm.took(await loop.run_in_executor(self._writer, self._append, planned))
        except _TakeOverFailed:
            raise
        except Exception as error:
            self._unsure = True
            for pending in taken:
                if not pending.done.done():
                    pending.done.set_exception(_private(error))
            return
        self._advance_or_stop(planned.events, taken)
        for pending, result in planned.results:
            if pending.done.done():
                continue
            if isinstance(result, Exception):
                pending.done.set_exception(result)
            else:
                pending.done.set_result(result)

    def _append(self, planned: _Planned) -> float:
        """Write a batch, on the writer's thread, and return how long that took."""
        began = self._clock.monotonic()
        self._file.append(planned.events, planned.leases)
        return self._clock.monotonic() - began

    def _plan(self, taken: list[_Pending]) -> _Planned:
        """Decide every transaction in turn, each seeing those before it in the batch."""
        planned = _Planned()
        overlay: Overlay = {}
        revision = self.revision
        for pending in taken:
            try:
                events = self._keyspace.plan(pending.writes, revision + 1, overlay)
            except (CompareFailed, ValueError) as error:
                planned.results.append((pending, error))
                continue
            if events:
                revision += 1
                planned.events.extend(events)
            planned.leases.extend(pending.leases)
            planned.results.append((pending, revision))
        return planned

    def _advance_or_stop(self, events: list[Event], taken: list[_Pending]) -> None:
        """Make the present what is on disk. Where that fails, going on would answer reads with a lie."""
        if not events:
            return
        try:
            self._keyspace.apply(events)
            self._leases.apply(events)
            self._upkeep.wrote(events)
            self._feed.publish(events)
        except BaseException as error:
            self._queue.extendleft(taken)
            raise _TakeOverFailed from error

    async def _missed(self) -> list[Event]:
        """Read what a write that was reported as failed left on disk after all."""
        newest = await asyncio.get_running_loop().run_in_executor(self._writer, self._file.newest)
        return await self._read(self._file.history, "", self.revision + 1, newest, 1 << 62)

    # -- history, leases

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Raises Compacted, FutureRevision.

        Works in small steps with writes in between.
        """
        if revision <= self._upkeep.compacted:
            raise Compacted(self._upkeep.compacted)
        self._check(revision)
        await self._upkeep.compact(revision)

    async def retain(self) -> None:
        """Compact what is older or bigger than the retention allows."""
        await self._upkeep.retain(self.revision)

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease that survives restarts; its keys are deleted when it runs out."""
        lease, self._next_lease = self._next_lease, self._next_lease + 1
        expires_at = self._clock.now().timestamp() + ttl_s
        await self._enqueue((), LeaseChange(lease, expires_at))
        self._leases.add(lease, self._clock.monotonic() + ttl_s)
        return lease

    async def expire_leases(self) -> None:
        """Delete the keys of every lease whose time is over."""
        for lease in self._leases.expired(self._clock.monotonic()):
            keys = self._leases.keys(lease)
            for at in range(0, len(keys), _BATCH):
                await self._enqueue([Delete(key) for key in keys[at : at + _BATCH]])
            await self._enqueue((), LeaseChange(lease, None))
            self._leases.forget(lease)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            with suppress(StoreUnavailable):  # tried again; writers are told themselves
                await self._look_for_file()
                await self.expire_leases()
                await self.retain()

    async def _look_for_file(self) -> None:
        """Take no more writes once a file has been taken away, and save in the other what there is."""
        gone = await self._read(self._file.taken_away)
        if gone is None:
            return
        if not self._lost:
            self._lost = f"{gone} was taken away under the server: no more is written until it starts anew"
            log.error("store file taken away path=%s", gone)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._file.finish_checkpoint)


def _private(error: Exception) -> Exception:
    """Give every waiter an exception of its own: a shared one would grow tracebacks."""
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(*error.args)
    return StoreUnavailable(f"cannot write: {error}")
