"""The default store: one SQLite file, an append-only log, group commit.

The event loop plans transactions against the keys in memory; one writer thread makes them durable, all that
wait at that moment in one transaction with one fsync. Only then do they become the present, watchers hear of
them, and ``commit`` returns. Reads of the present never touch the disk; the past is read in a second thread.

Keeps no promise about two processes: the file is locked, a second opener is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from tiphys.apimachinery.clock import Clock, RealClock
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
from tiphys.storage.sqlite_file import LeaseChange, SqliteFile

log = logging.getLogger(__name__)

_BATCH: Final = 512
_COMPACT_ROWS: Final = 500
_HOUSEKEEPING_S: Final = 1.0
_SAMPLE_S: Final = 10.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history to keep: whichever limit is reached first."""

    age_s: float = 3600.0
    size_bytes: int = 512 * 1024 * 1024


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


class SqliteStore:
    """``Store`` in one file."""

    def __init__(
        self, path: str | Path, *, clock: Clock | None = None, retention: Retention | None = None
    ) -> None:
        self._path = Path(path)
        self._file = SqliteFile(self._path)
        self._clock = clock or RealClock()
        self._retention = retention or Retention()
        self._keyspace = Keyspace()
        self._compacted = 0
        self._feed = Feed(self.history)
        self._leases = Leases()
        self._next_lease = 1
        self._queue: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._unsure = False  # after a failed write the disk may hold more than was acknowledged
        self._closing = False
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []
        self._compacting = asyncio.Lock()
        self._written_bytes = 0
        self._samples: deque[tuple[float, int, int]] = deque()

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
        self._compacted = found.compacted
        now, present = self._clock.now().timestamp(), self._clock.monotonic()
        for lease, expires_at in found.leases.items():
            self._leases.add(lease, present + max(0.0, expires_at - now))
        self._next_lease = max(found.leases, default=0) + 1
        for record in found.records:
            if record.lease:
                self._leases.attach(record.lease, record.key)
                self._next_lease = max(self._next_lease, record.lease + 1)
        writing = loop.create_task(self._run_writer())  # parent: close
        self._tasks = [writing, loop.create_task(self._keep_house())]  # parent: close

    async def close(self) -> None:
        """Finish what was accepted and stop. Idempotent."""
        if self._closing or not self._tasks:
            return
        self._closing = True
        self._wake.set()
        writing, housekeeping = self._tasks
        housekeeping.cancel()
        with suppress(asyncio.CancelledError):
            await housekeeping
        await writing
        self._feed.close()
        loop = asyncio.get_running_loop()
        async with self._compacting:
            await loop.run_in_executor(self._reader, lambda: None)
            await loop.run_in_executor(self._writer, self._file.close)
        self._writer.shutdown()
        self._reader.shutdown()

    @property
    def revision(self) -> int:
        """The newest revision that is on disk."""
        return self._keyspace.revision

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

    async def _read(self, call: Callable[..., _T], *args: object) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, call, *args)
        except RuntimeError as error:  # the executor has been shut down
            raise StoreUnavailable("the store is closed") from error

    def _check(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(self._compacted)
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not written yet; newest is {self.revision}")

    def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Stream events from ``start_revision`` (0: from now) on. Raises Compacted."""
        start = start_revision or self.revision + 1
        if start <= self._compacted:
            raise Compacted(self._compacted)
        return self._feed.watch(prefix, start, self.revision)

    async def history(self, prefix: str, first: int, last: int, limit: int = 1 << 62) -> list[Event]:
        """Read events of revisions ``first``..``last``, about ``limit`` at most. Raises Compacted."""
        events = await self._read(self._file.history, prefix, first, last, limit)
        if first <= self._compacted:
            raise Compacted(self._compacted)
        return events

    # -- writing

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Apply all or nothing, durably. Raises CompareFailed, StoreUnavailable.

        A caller that is cancelled does not take its write back.
        """
        return await self._enqueue(writes)

    async def _enqueue(self, writes: Sequence[Put | Delete], *leases: LeaseChange) -> int:
        if self._closing or self._stopped or not self._tasks:
            raise StoreUnavailable("the store has stopped" if self._stopped else "the store is closed")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(_Pending(writes, done, leases))
        self._wake.set()
        return await done

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
                self._wake.clear()
                await self._wake.wait()
                continue
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
            await self._write(taken)

    async def _write(self, taken: list[_Pending]) -> None:
        """Plan a batch, make it durable, make it the present, tell everyone."""
        loop = asyncio.get_running_loop()
        try:
            if self._unsure:
                await self._catch_up()
            planned = self._plan(taken)
            if planned.events or planned.leases:
                await loop.run_in_executor(self._writer, self._file.append, planned.events, planned.leases)
        except Exception as error:
            self._unsure = True
            for pending in taken:
                if not pending.done.done():
                    pending.done.set_exception(_private(error))
            return
        try:
            self._advance(planned.events)
        except BaseException:
            # Written, but not taken over: going on would answer reads with a lie.
            self._queue.extendleft(taken)
            raise
        for pending, result in planned.results:
            if pending.done.done():
                continue
            if isinstance(result, Exception):
                pending.done.set_exception(result)
            else:
                pending.done.set_result(result)

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

    def _advance(self, events: list[Event]) -> None:
        if not events:
            return
        self._keyspace.apply(events)
        self._leases.apply(events)
        self._written_bytes += sum(len(event.record.value) for event in events)
        self._feed.publish(events)

    async def _catch_up(self) -> None:
        """Take over what a write that was reported as failed left on disk after all."""
        loop = asyncio.get_running_loop()
        newest = await loop.run_in_executor(self._writer, self._file.newest)
        if newest > self.revision:
            events = await self._read(self._file.history, "", self.revision + 1, newest, 1 << 62)
            self._advance(events)
        self._unsure = False

    # -- history, leases

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Raises Compacted, FutureRevision.

        Works in small steps with writes in between.
        """
        loop = asyncio.get_running_loop()
        async with self._compacting:
            if revision <= self._compacted:
                raise Compacted(self._compacted)
            self._check(revision)
            await loop.run_in_executor(self._writer, self._file.begin_compaction, revision)
            self._compacted = revision
            after: int | None = 0
            while after is not None:
                after = await loop.run_in_executor(
                    self._writer, self._file.compact_step, revision, after, _COMPACT_ROWS
                )

    async def retain(self) -> None:
        """Compact what is older or bigger than the retention allows."""
        now = self._clock.monotonic()
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now, self.revision, self._written_bytes))
        target = 0
        while len(self._samples) > 1:
            at, revision, written = self._samples[0]
            kept = self._written_bytes - written
            if now - at < self._retention.age_s and kept <= self._retention.size_bytes:
                break
            target = revision
            self._samples.popleft()
        if target > self._compacted:
            await self.compact(target)

    async def backup(self, target: str | Path) -> None:
        """Write a consistent copy of the store to ``target`` while it is in use."""
        await self._read(self._file.backup, Path(target))

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
            with suppress(StoreUnavailable, Compacted):  # tried again; writers are told themselves
                await self.expire_leases()
                await self.retain()


def _private(error: Exception) -> Exception:
    """Give every waiter an exception of its own: a shared one would grow tracebacks."""
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(*error.args)
    return StoreUnavailable(f"cannot write: {error}")
