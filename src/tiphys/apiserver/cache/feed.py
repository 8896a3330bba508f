"""``Feed``: keeps the kinds' buckets at what the store holds.

Committed events come back from the store, in order, and are applied before the write returns, so that every
read from memory is linearizable. A store that others write to as well has ``confirm``: reads wait until the
cache knows all that was written before. A store that cannot call back (``subscribe``) is followed by its
watch; writes then wait until the cache has caught up with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, cast

import orjson

from tiphys.apimachinery import go_json
from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import ServiceUnavailable, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import entry, versions
from tiphys.apiserver.cache.bucket import Bucket, ReadFields, Seal
from tiphys.apiserver.cache.counts import LIST, KindCounts
from tiphys.apiserver.cache.form import dump, ordered
from tiphys.apiserver.cache.lanes import Outbox, Watcher
from tiphys.apiserver.cache.pages import KeptBytes
from tiphys.apiserver.cache.watchers import Watchers
from tiphys.apiserver.observe import latencies
from tiphys.storage.base import (
    Compacted,
    Delete,
    Event,
    Put,
    Store,
    StoreUnavailable,
    ValueTooLarge,
)

SILENT_S: Final = 1.0
"""A store that answers no sooner is away for those who judge requests to another one."""
_CATCH_UP_S: Final = 3.0
_RETRY_S: Final = 0.5
_FRESH_S: Final = 75.0
"""Events stay in memory so long at least, at most twice as long: watches that broke come back within it."""
_PARTS: Final = 16
"""Decoded objects go a few at a time: all at once would hold up requests."""


class Hint(NamedTuple):
    """What a value that is being written was made of: the cache need not decode what was just encoded."""

    value: bytes
    obj: Object
    exact: bool
    """Decoding the value gives this very object."""


def hint_of(resource: Resource, obj: Object, value: bytes | None = None, known: Object | None = None) -> Hint:
    """Encode an object that is to be written, where that has not been done (``value``).

    ``known``: what it was, where that is at hand.
    """
    if value is not None:
        return Hint(value, obj, not resource.has_fractions)
    made = ordered(obj, known)
    value = dump(made)
    if not resource.has_fractions:
        return Hint(value, made, True)
    # YAML knows numbers that JSON does not, and that are written as null: where a schema lets numbers be.
    written = go_json.written(value)
    return Hint(written, made if written is value else orjson.loads(written), False)


def _failed(asked: asyncio.Future[None]) -> bool:
    return asked.cancelled() or asked.exception() is not None


class Feed:
    """The buckets over one store. ``open`` first, ``close`` at the end."""

    def __init__(
        self,
        store: Store,
        read_fields: ReadFields,
        clock: Clock,
        outbox: Outbox,
        forgot: Callable[[], None] = lambda: None,
    ) -> None:
        """``forgot`` is called when all that was known of the store counts no more."""
        self._store = store
        self._forgot = forgot
        self._outbox = outbox
        self._monotonic = clock.monotonic
        self.counts: dict[str, KindCounts] = {}
        """By prefix; they stay when the buckets are forgotten."""
        self._read_fields = read_fields
        self.buckets: dict[str, Bucket] = {}
        # By id, as a row's hash walks all of it; the row is kept so that its id stays its own.
        self.known: dict[int, tuple[Resource, Bucket]] = {}
        self.alone = False
        """Nobody else writes and every event is heard at once."""
        self.kept = KeptBytes()
        self._loading: dict[str, asyncio.Lock] = {}
        self._hints: dict[str, Hint] = {}
        self._applied = self._lives = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._unsubscribe: Callable[[], None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._overdue: asyncio.Future[None] | None = None
        """An answer that has been waited for too long."""
        self._ageing: asyncio.TimerHandle | None = None
        self._aged = 0
        self._confirm_store: Callable[[], Awaitable[None]] | None = getattr(store, "confirm", None)
        self._seal = cast("Seal", store) if hasattr(store, "unseal") else None

    async def open(self) -> None:
        """Begin to follow the (opened) store."""
        self._applied, self._lives = self._store.revision, self._lives_of_store()
        subscribe = getattr(self._store, "subscribe", None)
        if subscribe is not None and self._confirm_store is not None:
            self._unsubscribe = subscribe(self._apply, self._lost)
        elif subscribe is not None:
            self._unsubscribe = subscribe(self._apply)
            self.alone = True
        else:
            self._following = asyncio.get_running_loop().create_task(self._follow())  # parent: close
        self._age()

    async def close(self) -> None:
        """End every watch and stop following. The store is its owner's to close. Idempotent."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        if self._ageing is not None:
            self._ageing.cancel()
        if self._overdue is not None:
            self._overdue.cancel()
        self._reset()
        self.kept.close()

    def _age(self) -> None:
        self._aged += 1
        if self._aged % _PARTS == 0:
            for bucket in self.buckets.values():
                bucket.age()
        entry.age(_PARTS)
        self._ageing = asyncio.get_running_loop().call_later(_FRESH_S / _PARTS, self._age)

    @property
    def revision(self) -> int:
        """The newest revision that reads from here show."""
        return self._store.revision if self._unsubscribe is not None else self._applied

    def _apply(self, events: list[Event]) -> None:
        """Take committed events over, in order."""
        for event in events:
            key = event.record.key
            bucket = self._bucket_of(key)
            if bucket is None:
                continue
            hint = self._hints.get(key)
            if hint is not None and hint.value == event.record.value:
                bucket.apply(event, hint.obj, keep=hint.exact)
            else:
                bucket.apply(event, None)
        self._applied = events[-1].record.mod_revision
        if self._waiting:
            for revision, waiter in self._waiting:
                if revision <= self._applied and not waiter.done():
                    waiter.set_result(None)
            self._waiting = [item for item in self._waiting if not item[1].done()]

    def _bucket_of(self, key: str) -> Bucket | None:
        """Find whose key it is: prefixes end two to four slashes in."""
        at = key.find("/", 1)
        while (at := key.find("/", at + 1)) > 0:
            bucket = self.buckets.get(key[: at + 1])
            if bucket is not None:
                return bucket
        return None

    async def _follow(self) -> None:
        """Feed the cache from the store's watch; begin anew where it breaks."""
        while True:
            try:
                async with self._store.watch("", start_revision=self._applied + 1) as stream:
                    async for events in stream:
                        self._apply(events)
            except (Compacted, StoreUnavailable):
                pass
            self._reset()
            await asyncio.sleep(_RETRY_S)
            self._applied = self._store.revision

    def _lives_of_store(self) -> int:
        return getattr(self._store, "lives", 0)

    def _lost(self) -> None:
        """Forget everything, as events were lost; where the store went back, watches end with a fault."""
        known, self._lives = self._lives, self._lives_of_store()
        self._reset(outlived=known != self._lives)

    def _reset(self, *, outlived: bool = False) -> None:
        """Forget everything: clients come back and find what is then there."""
        for bucket in self.buckets.values():
            for watcher in list(bucket.watchers):
                watcher.outlived = outlived
                watcher.end()
            bucket.pages.clear()
        self.buckets.clear()
        self.known.clear()
        self._forgot()

    async def caught_up(self, revision: int) -> None:
        """Wait until the cache shows ``revision``. Raises Timeout ("too large") when it takes long."""
        if revision <= self.revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, waiter))
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await waiter
        except TimeoutError:
            raise versions.too_large(revision, self.revision) from None

    async def confirm(self, bucket: Bucket, wanted: int = 0) -> None:
        """Make sure that what is read next is no older than this moment.

        Raises ServiceUnavailable, or Expired where ``refuse_gone`` does for ``wanted``.
        """
        if self.alone:
            return
        try:
            with latencies.spending(latencies.STORE):
                if self._unsubscribe is not None and self._confirm_store is not None:
                    await self._confirm_store()
                    self.refuse_gone(wanted)
                    return
                present = await self._store.range(bucket.prefix, limit=1)
        except StoreUnavailable as error:
            raise ServiceUnavailable(str(error)) from error
        await self.caught_up(present.revision)

    async def confirm_if_it_answers(self, bucket: Bucket) -> None:
        """``confirm``; of a store that is silent nothing is waited for, until it has answered again."""
        overdue = self._overdue
        if overdue is None or overdue.done():
            began = asyncio.ensure_future(self.confirm(bucket))  # parent: close
            began.add_done_callback(_failed)
            known_silent = overdue is not None and _failed(overdue)
            if not known_silent:
                await asyncio.wait((began,), timeout=SILENT_S)
            answered = began.done() and not _failed(began)
            self._overdue = None if answered else began

    async def bucket(self, resource: Resource) -> Bucket:
        """Return the bucket of a kind, loaded. Raises ServiceUnavailable."""
        known = self.known.get(id(resource))
        return known[1] if known is not None else await self.load(resource)

    async def load(self, resource: Resource) -> Bucket:
        """Read a kind that is not ``known`` yet from the store. Raises ServiceUnavailable."""
        prefix = resource.storage_prefix
        async with self._loading.setdefault(prefix, asyncio.Lock()):
            bucket = self.buckets.get(prefix)
            if bucket is None:
                counts = self.counts.setdefault(prefix, KindCounts())
                watchers = Watchers(self._outbox, counts)
                bucket = Bucket(prefix, self._read_fields, self.kept, watchers, self._seal)
                self.buckets[prefix] = bucket
            bucket.admit(resource)
            if not bucket.loaded:
                began = self._monotonic()
                try:
                    found = await self._store.range(prefix)
                except StoreUnavailable as error:
                    bucket.counts.failed(LIST)
                    raise ServiceUnavailable(str(error)) from error
                finally:
                    bucket.counts.requested(LIST, self._monotonic() - began)
                if self.buckets.get(prefix) is not bucket:  # forgotten meanwhile: no events would reach it
                    raise ServiceUnavailable("the cache begins anew; try again")
                bucket.load(found.records, found.revision)
                bucket.counts.stored.add(len(found.records), len(found.records))
            # Definitions of custom kinds bring new rows with each change: the last one of a version counts.
            self._unlearn(resource)
            self.known[id(resource)] = (resource, bucket)
            return bucket

    def forget(self, resource: Resource) -> None:
        """Let go of a version that is no longer served, and with the last one of all that its kind keeps.

        Watches of it are to be ended before.
        """
        self._unlearn(resource)
        prefix = resource.storage_prefix
        if all(row.storage_prefix != prefix for row, _ in self.known.values()):
            bucket = self.buckets.pop(prefix, None)
            if bucket is not None:
                bucket.let_go()

    def _unlearn(self, resource: Resource) -> None:
        """Forget every row of a version."""
        for at, (row, _) in list(self.known.items()):
            if row.gvr == resource.gvr:
                del self.known[at]

    def refuse_gone(self, wanted: int) -> None:
        """Raise Expired for a revision that a store which went back since has yet to write anew."""
        if self.revision < wanted <= getattr(self._store, "went_back_from", 0):
            raise versions.watch_expired(wanted, self.revision)

    def refuse_outlived(self, watcher: Watcher, since: int) -> None:
        """Raise Expired where a watch that began at ``since`` ended because the store went back."""
        if watcher.outlived:
            raise versions.watch_expired(since, self.revision)

    async def caught_up_or_refuse(self, wanted: int) -> None:
        """Wait for a revision that may come. Raises Timeout ("too large") where it cannot."""
        if wanted <= self.revision:
            return
        if self._unsubscribe is not None:  # all there is is known: waiting would bring nothing
            raise versions.too_large(wanted, self.revision)
        await self.caught_up(wanted)

    async def commit(self, bucket: Bucket, operation: str, write: Put | Delete, hint: Hint | None) -> int:
        """Write, and return once the cache shows it. ``operation``: what it is counted as."""
        began = self._monotonic()
        if hint is not None:
            self._hints[write.key] = hint
        try:
            revision = await self._store.commit([write])
        except StoreUnavailable as error:
            bucket.counts.failed(operation)
            raise ServiceUnavailable(str(error)) from error
        except ValueTooLarge as error:
            bucket.counts.failed(operation)
            raise StatusError(str(error)) from error
        finally:
            bucket.counts.requested(operation, self._monotonic() - began)
            if hint is not None and self._hints.get(write.key) is hint:
                del self._hints[write.key]
        if self._unsubscribe is None:
            await self.caught_up(revision)
        return revision
