"""A store that lives and dies with the process: tests, simulation, ``--store memory``.

Keeps every version until compaction. Writes are done when ``commit`` is called, so the order of commits is
the order of calls: deterministic.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.storage.base import (
    Compacted,
    Delete,
    Event,
    FutureRevision,
    Put,
    RangeResult,
    Record,
    StoreUnavailable,
)
from tiphys.storage.feed import Feed, Subscriber
from tiphys.storage.keyspace import Keyspace
from tiphys.storage.leases import Leases

_LEASE_CHECK_S: Final = 1.0


def _revision_of(event: Event) -> int:
    return event.record.mod_revision


class MemoryStore:
    """``Store`` without durability."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._keyspace = Keyspace()
        self._log: list[Event] = []
        self._versions: dict[str, list[Event]] = {}
        self._compacted = 0
        self._feed = Feed(self.history)
        self._leases = Leases()
        self._next_lease = 1
        self._expiry: asyncio.Task[None] | None = None
        self._closed = False

    def copy(self) -> MemoryStore:
        """Return an open store with the same history that goes its own way. Leases are not taken along."""
        other = MemoryStore(clock=self._clock)
        other._keyspace = self._keyspace.copy()
        other._log = self._log.copy()
        other._versions = {key: versions.copy() for key, versions in self._versions.items()}
        other._compacted = self._compacted
        return other

    async def open(self) -> None:
        """Be ready."""

    async def close(self) -> None:
        """End watches and the expiry of leases. Idempotent."""
        self._closed = True
        self._feed.close()
        if self._expiry is not None:
            self._expiry.cancel()
            with suppress(asyncio.CancelledError):
                await self._expiry
            self._expiry = None

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._keyspace.revision

    @property
    def compacted(self) -> int:
        """The revision before which history is gone."""
        return self._compacted

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every batch of events before its ``commit`` returns; gives the undo."""
        return self._feed.subscribe(subscriber)

    async def get(self, key: str, *, revision: int = 0) -> Record | None:
        """Read a key now or at ``revision``. Raises Compacted, FutureRevision."""
        if not revision:
            return self._keyspace.get(key)
        self._check(revision)
        return self._at(key, revision)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Read keys in order, now or at ``revision``. Raises Compacted, FutureRevision."""
        if not revision:
            return self._keyspace.range(prefix, start, limit)
        self._check(revision)
        keys = sorted(key for key in self._versions if key.startswith(prefix) and key >= start)
        found = [record for key in keys if (record := self._at(key, revision)) is not None]
        records = found[:limit] if limit else found
        return RangeResult(records, revision, len(records) < len(found), len(found))

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys there were at ``revision``, and when they were written. Raises as ``range``."""
        found = await self.range(prefix, revision=revision)
        return [(record.key, record.mod_revision) for record in found.records]

    def _at(self, key: str, revision: int) -> Record | None:
        versions = self._versions.get(key, ())
        index = bisect_right(versions, revision, key=_revision_of)
        event = versions[index - 1] if index else None
        return None if event is None or event.deleted else event.record

    def _check(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(self._compacted)
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is not written yet; newest is {self.revision}")

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Apply all or nothing. Raises CompareFailed."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        events = self._keyspace.plan(writes, self.revision + 1, {})
        if not events:
            return self.revision
        self._keyspace.apply(events)
        self._log.extend(events)
        for event in events:
            self._versions.setdefault(event.record.key, []).append(event)
        self._leases.apply(events)
        self._feed.publish(events)
        return events[0].record.mod_revision

    def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Stream events from ``start_revision`` (0: from now) on. Raises Compacted on entering."""
        return self._watch(prefix, start_revision)

    def _watch(self, prefix: str, start: int) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        start = start or self.revision + 1
        if start <= self._compacted:
            raise Compacted(self._compacted)
        return self._feed.watch(prefix, start, self.revision)

    async def history(self, prefix: str, first: int, last: int, limit: int = 1 << 62) -> list[Event]:
        """Read events of revisions ``first``..``last``, about ``limit`` at most. Raises Compacted."""
        if first <= self._compacted:
            raise Compacted(self._compacted)
        low = bisect_left(self._log, first, key=_revision_of)
        high = bisect_right(self._log, last, key=_revision_of)
        return [event for event in self._log[low:high] if event.record.key.startswith(prefix)]

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Raises Compacted, FutureRevision."""
        if revision <= self._compacted:
            raise Compacted(self._compacted)
        self._check(revision)
        self._compacted = revision
        del self._log[: bisect_right(self._log, revision, key=_revision_of)]
        for key, versions in list(self._versions.items()):
            index = bisect_right(versions, revision, key=_revision_of)
            if index and versions[index - 1].deleted:
                index += 1
            if index > 1:
                del versions[: index - 1]
            if not versions:
                del self._versions[key]

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease; its keys are deleted when it runs out."""
        lease, self._next_lease = self._next_lease, self._next_lease + 1
        self._leases.add(lease, self._clock.monotonic() + ttl_s)
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().create_task(self._expire_forever())  # parent: close
        return lease

    async def expire_leases(self) -> None:
        """Delete the keys of every lease whose time is over."""
        for lease in self._leases.expired(self._clock.monotonic()):
            await self.commit([Delete(key) for key in self._leases.keys(lease)])
            self._leases.forget(lease)

    async def _expire_forever(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_CHECK_S)
            await self.expire_leases()
