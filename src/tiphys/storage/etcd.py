"""The store for several API servers: an etcd v3 cluster.

The store follows the cluster's whole key space by one watch. A commit returns when that watch has shown it,
and ``confirm`` asks the cluster for its present revision and waits for the same: what is built from
``subscribe`` is then as new as the cluster, whoever wrote.

Owns: transactions and what became of interrupted ones, leases, compaction by age. Refuses: running etcd.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tiphys.apimachinery.clock import RealClock
from tiphys.storage import etcd_wire as wire
from tiphys.storage.base import (
    Compacted,
    CompareFailed,
    Delete,
    Event,
    FutureRevision,
    Put,
    RangeResult,
    Record,
    StoreError,
    StoreUnavailable,
)
from tiphys.storage.etcd_client import EtcdClient, EtcdOptions, History, Unsure
from tiphys.storage.etcd_history import SharedHistory
from tiphys.storage.etcd_snapshot import take_staged
from tiphys.storage.etcd_watch import WentBack, batches, compacted_at
from tiphys.storage.feed import Feed, Subscriber

log = logging.getLogger(__name__)

_PAGE: Final = 5000
_SHOWN_S: Final = 3.0
_SLOW_S: Final = 0.5
"""A member that shows nothing new for so long, although something is awaited, is left for another."""
_SETTLE_S: Final = (0.0, 0.1, 0.3, 0.6)
_COMPACT_S: Final = 300.0


class EtcdStore:
    """``Store`` in an etcd cluster; keys there begin with ``root`` (see ``etcd_wire.Keys``)."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        root: str = "",
        base: str = "",
        options: EtcdOptions | None = None,
        compact_every_s: float = _COMPACT_S,
        staged: Path | None = None,
    ) -> None:
        self._client = EtcdClient(endpoints, options or EtcdOptions())
        self._keys = wire.Keys(root, base)
        self._compact_every_s = compact_every_s
        self._staged = staged
        self._seen = 0
        self._compacted = 0
        self._losses = 0
        self._last: Any = None
        self._lives = 1
        self._went_back_from = 0
        self._past = SharedHistory(self._client, self._keys)
        self._feed = Feed(self.history)
        self._subscribers: list[tuple[Subscriber, Callable[[], None]]] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._confirming: asyncio.Task[None] | None = None
        self._next_confirm: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._patience_s = _SLOW_S
        self._lag: asyncio.TimerHandle | None = None
        self._closed = False
        self._size_bytes = 0

    # -- life

    async def open(self) -> None:
        """Find the cluster's revision and begin to follow it; put back what is staged.

        Raises StoreUnavailable.
        """
        self._client.open()
        try:
            self._seen = await self._present()
        except StoreError:
            await self._client.close()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow())]  # parent: close
        if self._compact_every_s:
            self._tasks.append(loop.create_task(self._compact_by_age()))  # parent: close
        if self._staged is not None:
            try:
                await take_staged(self, self._staged, RealClock().now().timestamp())
            except StoreError:
                await self.close()
                raise

    async def close(self) -> None:
        """End watches, stop following. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._lag is not None:
            self._lag.cancel()
        tasks = [*self._tasks, *(task for task in (self._confirming, self._next_confirm) if task)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._fail_waiting("the store is closed")
        self._feed.close()
        await self._past.close()
        await self._client.close()

    @property
    def revision(self) -> int:
        """The newest revision that subscribers and watchers have been told of."""
        return self._seen

    @property
    def compacted(self) -> int:
        """The revision before which history is gone, as this process has learned."""
        return self._compacted

    @property
    def lives(self) -> int:
        """One more each time the cluster was found emptied, or with an older state restored."""
        return self._lives

    @property
    def went_back_from(self) -> int:
        """The newest revision of a past of which the cluster knows nothing any more; 0: there is none."""
        return self._went_back_from

    def size_bytes(self) -> int:
        """Return how large a member's file was when it was last asked; 0 before."""
        return self._size_bytes

    async def measure(self) -> None:
        """Ask a member how large its file is. Raises StoreError."""
        answer = await self._client.call(wire.STATUS, wire.request(wire.STATUS))
        self._size_bytes = answer.dbSize

    @property
    def members(self) -> int:
        """How many servers were named."""
        return self._client.members

    async def look_at_members(self, patience_s: float) -> list[str | None]:
        """Return what is wrong with each server, which is asked by itself."""
        asked = wire.request(wire.RANGE, key=self._keys.encode("/health"), count_only=True)
        return await self._client.ask_each(wire.RANGE, asked, patience_s)

    # -- following

    def subscribe(
        self, subscriber: Subscriber, lost: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """Call ``subscriber`` with events before their ``commit`` returns; gives the undo.

        ``lost`` is called instead when events are gone for good (away longer than history is kept, or the
        cluster itself went back): what was built from events has to be built anew.
        """
        entry = (subscriber, lost)
        self._subscribers.append(entry)
        return lambda: self._subscribers.remove(entry)

    async def _follow(self) -> None:
        while True:
            try:
                async with aclosing(batches(self._client, self._seen + 1, self._last)) as stream:
                    async for last, found in stream:
                        self._last = found[-1]
                        self._publish(last, self._keys.events(found))
            except Compacted as error:
                log.warning("etcd history lost after=%d oldest=%d", self._seen, error.oldest)
                self._lives += isinstance(error, WentBack)
                await self._begin_anew()
            except Exception:
                log.exception("following etcd failed revision=%d", self._seen)
                await self._begin_anew()

    async def _begin_anew(self) -> None:
        """Go on at the present after events were lost: everyone who relied on them is told."""
        while True:
            try:
                present = await self._present()
                break
            except StoreError:
                await asyncio.sleep(_SETTLE_S[1])
        self._losses += 1
        self._feed.close()
        self._feed = Feed(self.history)
        if present < self._seen:
            self._went_back_from = max(self._went_back_from, self._seen)
        self._seen, self._last = present, None
        self._fail_waiting("etcd's history was lost; try again")
        for _, lost in list(self._subscribers):
            lost()

    def _publish(self, last: int, events: list[Event]) -> None:
        self._seen, self._patience_s = last, _SLOW_S
        if events:
            for subscriber, _ in list(self._subscribers):
                subscriber(events)
            self._feed.publish(events)
        if self._waiting:
            for revision, waiter in self._waiting:
                if revision <= last and not waiter.done():
                    waiter.set_result(None)
            self._waiting = [item for item in self._waiting if not item[1].done()]

    def _fail_waiting(self, text: str) -> None:
        waiting, self._waiting = self._waiting, []
        for _, waiter in waiting:
            if not waiter.done():
                waiter.set_exception(StoreUnavailable(text))

    async def _shown(self, revision: int) -> None:
        """Wait until ``revision`` was published. Raises StoreUnavailable, TimeoutError."""
        if revision <= self._seen:
            return
        if self._closed:
            raise StoreUnavailable("the store is closed")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, waiter))
        self._mind_lag()
        async with asyncio.timeout(_SHOWN_S):
            await waiter

    def _mind_lag(self) -> None:
        """Look in a while whether anything has come, where there is another member to turn to."""
        if self._lag is None and self._client.members > 1:
            loop = asyncio.get_running_loop()
            self._lag = loop.call_later(self._patience_s, self._check_lag, self._seen)

    def _check_lag(self, seen: int) -> None:
        self._lag = None
        if not any(not waiter.done() for _, waiter in self._waiting):
            return
        if self._seen == seen:
            # Who waits goes on waiting: events continue where they broke off. Longer each time, as a cluster
            # that is slow altogether must not be asked again and again.
            self._follow_elsewhere()
            self._patience_s = min(2 * self._patience_s, _SHOWN_S)
        self._mind_lag()

    async def confirm(self) -> None:
        """Wait until subscribers know all that was written before this call. Raises StoreUnavailable.

        Those who ask while a question is on its way share the next one.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        losses = self._losses
        if self._next_confirm is None:
            self._next_confirm = asyncio.get_running_loop().create_task(self._confirm_once())  # parent: close
            self._next_confirm.add_done_callback(_heard)
        try:
            await asyncio.shield(self._next_confirm)
        except TimeoutError as error:
            raise StoreUnavailable("etcd's events lag behind") from error
        except StoreUnavailable as error:
            raise StoreUnavailable(*error.args) from error
        if losses != self._losses:
            raise StoreUnavailable("etcd's history was lost; try again")

    async def _confirm_once(self) -> None:
        if self._confirming is not None:
            await asyncio.wait([self._confirming])
        self._confirming, self._next_confirm = self._next_confirm, None
        try:
            await self._shown(await self._present())
        except TimeoutError:
            self._follow_elsewhere()
            raise
        finally:
            self._confirming = None

    def _follow_elsewhere(self) -> None:
        """Leave a member whose events lag behind or do not come at all although its line stands."""
        if not self._closed:
            log.warning("etcd events lag behind revision=%d; asking another member", self._seen)
            self._client.leave_watched()
            self._tasks[0].cancel()
            self._tasks[0] = asyncio.get_running_loop().create_task(self._follow())  # parent: close

    # -- reading

    async def _present(self) -> int:
        found = await self._range(self._keys.encode("/"), count_only=True)
        return int(found.header.revision)

    async def _range(self, key: bytes, **fields: Any) -> Any:
        try:
            return await self._client.call(wire.RANGE, wire.request(wire.RANGE, key=key, **fields))
        except History as error:
            asked = int(fields.get("revision", 0))
            raise Compacted(await compacted_at(self._client) or asked + 1) from error

    async def get(self, key: str, *, revision: int = 0) -> Record | None:
        """Read a key now, linearizable, or at ``revision``. Raises Compacted, FutureRevision."""
        found = await self._range(self._keys.encode(key), revision=revision)
        return self._keys.record(found.kvs[0]) if found.kvs else None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Read keys in order, now or at ``revision``. Raises Compacted, FutureRevision."""
        where = self._keys.span(prefix, start)
        records: list[Record] = []
        count = 0
        while True:
            size = min(_PAGE, limit - len(records)) if limit else _PAGE
            found = await self._range(**where, limit=size, revision=revision)
            records.extend(map(self._keys.record, found.kvs))
            count = count or int(found.count)
            revision = revision or int(found.header.revision)
            if not found.more or len(records) == limit:
                return RangeResult(records, revision, bool(found.more), count)
            where["key"] = found.kvs[-1].key + b"\0"

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys there were at ``revision``, and when they were written. Raises as ``range``."""
        where = self._keys.span(prefix)
        revisions: list[tuple[str, int]] = []
        while True:
            found = await self._range(**where, limit=_PAGE, revision=revision, keys_only=True)
            records = map(self._keys.record, found.kvs)
            revisions.extend((record.key, record.mod_revision) for record in records)
            if not found.more:
                return revisions
            where["key"] = found.kvs[-1].key + b"\0"

    @asynccontextmanager
    async def _watch(self, prefix: str, start: int) -> AsyncIterator[AsyncIterator[list[Event]]]:
        if not start:
            await self.confirm()
            start = self._seen + 1
        elif start <= self._seen:
            await self._range(b"\0", count_only=True, revision=max(1, start - 1))
        async with self._feed.watch(prefix, start, self._seen) as stream:
            yield stream

    def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Stream events from ``start_revision`` (0: from now) on. Raises Compacted on entering."""
        return self._watch(prefix, start_revision)

    async def history(self, prefix: str, first: int, last: int, limit: int = 1 << 62) -> list[Event]:
        """Read events of revisions ``first``..``last``, about ``limit`` at most. Raises Compacted."""
        return await self._past.read(prefix, first, last, limit) if first <= last else []

    # -- writing

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Apply all or nothing. Raises CompareFailed, StoreUnavailable (not done, or nobody can tell)."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(writes) > 1 and len({write.key for write in writes}) != len(writes):
            raise ValueError("a transaction names a key twice")
        for write in writes:
            if isinstance(write, Delete) and write.expect == 0:  # compares well, yet deletes nothing
                raise CompareFailed(write.key, await self.get(write.key))
        revision = await self._transact(writes)
        with suppress(TimeoutError, StoreUnavailable):  # it is done, whether we hear of it or not
            await self._shown(revision)
        return revision

    async def _transact(self, writes: Sequence[Put | Delete]) -> int:
        """Send until the outcome is known.

        A write that expects a version to be there cannot be done twice: revisions never return. Sending it
        again is safe, and a failed compare then may be our own doing.
        """
        request = self._keys.transaction(writes)
        base = self._seen
        once = any(write.expect for write in writes)
        unsure = False
        deadline = asyncio.get_running_loop().time() + self._client.timeout_s
        while True:
            try:
                response = await self._client.call(wire.TXN, request, repeatable=False)
            except Unsure as error:
                unsure = True
                if once and asyncio.get_running_loop().time() < deadline:
                    await asyncio.sleep(_SETTLE_S[1])
                    continue
                return await self._settle(writes, base, error)
            if response.succeeded:
                return int(response.header.revision)
            if unsure and (landed := await self._landed(writes, base)):
                return landed
            raise self._compare_failed(writes, response)

    def _compare_failed(self, writes: Sequence[Put | Delete], response: Any) -> CompareFailed:
        compared = [write for write in writes if write.expect is not None]
        for write, current in zip(compared, self._keys.compared(response), strict=True):
            if write.expect != (current.mod_revision if current is not None else 0):
                return CompareFailed(write.key, current)
        raise StoreError("etcd refused a transaction whose compares hold")

    async def _settle(self, writes: Sequence[Put | Delete], base: int, cause: Exception) -> int:
        """Look for a write whose answer got lost. Raises StoreUnavailable when it is not to be found."""
        for pause in _SETTLE_S:
            await asyncio.sleep(pause)
            landed = await self._landed(writes, base)
            if landed:
                log.info("interrupted write is done revision=%d", landed)
                return landed
        raise StoreUnavailable(f"the write was interrupted: {cause}") from cause

    async def _landed(self, writes: Sequence[Put | Delete], base: int) -> int:
        """Return the revision after ``base`` at which all of ``writes`` were done together, or 0."""
        wanted = {write.key: write for write in writes}
        first = max([base, *(write.expect or 0 for write in writes)]) + 1
        try:
            events = await self.history("", first, await self._present())
        except Compacted as error:
            raise StoreUnavailable("the write was interrupted; history is gone") from error
        done: dict[int, set[str]] = {}
        for event in events:
            write = wanted.get(event.record.key)
            if write is not None and _did(write, event):
                done.setdefault(event.record.mod_revision, set()).add(write.key)
        return next((revision for revision, keys in done.items() if len(keys) == len(wanted)), 0)

    # -- leases, history

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease; etcd deletes its keys when it runs out. Raises StoreUnavailable."""
        granted = await self._client.call(wire.LEASE_GRANT, wire.request(wire.LEASE_GRANT, TTL=ttl_s))
        return int(granted.ID)

    async def lease_left_s(self, lease: int) -> int:
        """Return for how long a lease still holds; 0 or less: it is over. Raises StoreUnavailable."""
        found = await self._client.call(wire.LEASE_LEFT, wire.request(wire.LEASE_LEFT, ID=lease))
        return int(found.TTL)

    async def revoke_lease(self, lease: int) -> None:
        """End a lease now: its keys are deleted. Raises StoreUnavailable."""
        await self._client.call(wire.LEASE_REVOKE, wire.request(wire.LEASE_REVOKE, ID=lease))

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Raises Compacted, FutureRevision."""
        try:
            await self._client.call(wire.COMPACT, wire.request(wire.COMPACT, revision=revision))
        except History as error:
            self._compacted = max(self._compacted, await compacted_at(self._client) or revision)
            raise Compacted(self._compacted) from error
        self._compacted = max(self._compacted, revision)

    async def _compact_by_age(self) -> None:
        """Keep between one and two spans of history; several API servers may do so at once."""
        while True:
            revision = self._seen
            await asyncio.sleep(self._compact_every_s)
            try:
                await self.compact(revision)
            except Compacted:
                pass
            except (FutureRevision, StoreError) as error:
                log.warning("compaction failed revision=%d: %s", revision, error)


def _did(write: Put | Delete, event: Event) -> bool:
    """Tell whether ``event`` is what ``write`` does."""
    previous = event.previous.mod_revision if event.previous is not None else 0
    if write.expect is not None and write.expect != previous:
        return False
    if isinstance(write, Delete):
        return event.deleted
    return not event.deleted and (event.record.value, event.record.lease) == (write.value, write.lease)


def _heard(task: asyncio.Task[None]) -> None:
    """Take a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
