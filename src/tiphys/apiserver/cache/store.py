"""``CachedStore``: the ``ObjectStore`` of the handlers over any ``Store``.

Reads and watches are answered from memory, which ``Feed`` keeps at what the store holds; writes go through.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    NotFound,
    ServiceUnavailable,
)
from tiphys.apimachinery.field_errors import render
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.names import is_path_segment_name
from tiphys.apimachinery.resource import Resource
from tiphys.apis.selectable import field_values
from tiphys.apiserver.cache import versions
from tiphys.apiserver.cache.bucket import Bucket, ReadFields
from tiphys.apiserver.cache.counts import CREATE, DELETE, LIST, UPDATE, KindCounts
from tiphys.apiserver.cache.entry import Entry, bookmark, change
from tiphys.apiserver.cache.feed import Feed, hint_of
from tiphys.apiserver.cache.lanes import Outbox, Watcher
from tiphys.apiserver.cache.leases import SharedLeases
from tiphys.apiserver.cache.listing import index_of, page_of, portions, readable, refuse_closed, select
from tiphys.apiserver.cache.watchers import BucketEvent, Ticker, told_of
from tiphys.apiserver.observe.durations import Durations
from tiphys.apiserver.registry.objects import Cached, Change, EventOutlet, Page, Selection
from tiphys.storage.base import (
    Compacted,
    CompareFailed,
    Delete,
    FutureRevision,
    Put,
    Record,
    Store,
    StoreUnavailable,
)

_FIRST_BATCH: Final = 100
_HISTORY_BATCH: Final = 1000
_HISTORY_BYTES: Final = 2 * 1024 * 1024
"""How much of the log is read at a time for one watch: by what came the last time, from the second on."""
_BOOKMARK_S: Final = 60.0


class CachedStore:
    """Objects in memory, writes through to the store. ``open`` first, ``close`` at the end."""

    def __init__(
        self,
        store: Store,
        *,
        read_fields: ReadFields = field_values,
        clock: Clock | None = None,
        bookmark_s: float = _BOOKMARK_S,
        leased: Durations | None = None,
        lenient: bool = False,
    ) -> None:
        """``leased``: where several caches count the objects of leases together. ``lenient``: what there was
        is ``seen`` while the store is away, so that requests to others are judged.
        """
        self._store = store
        self._clock = clock or RealClock()
        self._outbox = Outbox()
        self._leases = SharedLeases(store, self._clock, leased)
        self._feed = Feed(store, read_fields, self._clock, self._outbox, self._leases.forget)
        self._lenient = lenient
        self._confirm_seen = self._feed.confirm_if_it_answers if lenient else self._feed.confirm
        self._bookmark_s = bookmark_s
        self.collect = self._leases.collect
        """Yields what is counted that is of no kind."""

    # -- life

    async def open(self) -> None:
        """Begin to follow the (opened) store."""
        await self._feed.open()

    async def close(self) -> None:
        """End every watch and stop following. The store is its owner's to close. Idempotent."""
        await self._feed.close()
        self._outbox.close()

    def end_watches(self, resource: Resource) -> None:
        """End the watches of a kind that is no longer served; nothing of it is kept."""
        bucket = self._feed.buckets.get(resource.storage_prefix)
        if bucket is not None:
            for watcher in list(bucket.watchers):
                watcher.end()
        self._feed.forget(resource)

    @property
    def revision(self) -> int:
        """The newest revision that reads from here show."""
        return self._feed.revision

    def revision_of(self, resource: Resource) -> int:
        """Return the newest revision that reads of a kind show."""
        return self._feed.revision

    # -- reading

    def count(self, resource: Resource, namespace: str = "") -> int:
        """Return how many live objects of a kind are in memory; 0 for one that nobody has read yet."""
        bucket = self._feed.buckets.get(resource.storage_prefix)
        if bucket is None or not bucket.loaded:
            return 0
        root = bucket.root(Selection(namespace))
        return bucket.count(root, root)

    def revisions(self, resource: Resource) -> builtins.list[tuple[str, int]] | None:
        """Return every key of a kind with its revision, in order; None for one that nobody has read yet."""
        bucket = self._feed.buckets.get(resource.storage_prefix)
        return bucket.revisions() if bucket is not None and bucket.loaded else None

    def distrust(self, resource: Resource, revision: int) -> None:
        """Tell nothing from memory of moments up to this one: the store is asked about those."""
        bucket = self._feed.buckets.get(resource.storage_prefix)
        if bucket is not None:
            bucket.floor = max(bucket.floor, revision)

    def average_bytes(self, resource: Resource) -> int:
        """Return about how large an object of a kind is; 0 where none is in memory."""
        bucket = self._feed.buckets.get(resource.storage_prefix)
        return bucket.average_bytes() if bucket is not None and bucket.loaded else 0

    def counts(self, resource: Resource) -> KindCounts | None:
        """Return what is counted of a kind; None for one that nobody has read yet."""
        return self._feed.counts.get(resource.storage_prefix)

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        """Read one object, linearizable. Raises NotFound."""
        known = self._feed.known.get(id(resource))
        bucket = known[1] if known is not None else await self._feed.load(resource)
        if not self._feed.alone:
            await self._feed.confirm(bucket)
        entry = bucket.entries.get(_key(resource, namespace, name))
        if entry is None:
            raise _missing(resource, name)
        return entry

    async def seen(self, resource: Resource, namespace: str, name: str) -> Cached:
        """Read what a request is judged by: as ``get``, or as last known (``lenient``). Raises NotFound."""
        if self._lenient:
            bucket = await self._feed.bucket(resource)
            await self._confirm_seen(bucket)
            if (entry := bucket.entries.get(_key(resource, namespace, name))) is not None:
                return entry
        return await self.get(resource, namespace, name)

    def key_of(self, resource: Resource, namespace: str, name: str) -> str:
        """Return the key that an object of a kind is kept under."""
        return _key(resource, namespace, name)

    @property
    def alone(self) -> bool:
        """Nobody else writes to the store: what is in memory is what there is, at every moment."""
        return self._feed.alone

    def at_hand(self, resource: Resource, key: str) -> Cached | None:
        """Read one object, linearizable, without waiting; None where it is not there or others write too."""
        known = self._feed.known.get(id(resource))
        return known[1].entries.get(key) if known is not None and self._feed.alone else None

    def all_at_hand(self, resource: Resource, namespace: str) -> Sequence[Cached] | None:
        """Return what ``all`` would, without waiting; None where others write too or nobody has asked yet."""
        known = self._feed.known.get(id(resource))
        if known is None or not self._feed.alone:
            return None
        return known[1].whole(namespace) if known[1].entries else ()

    async def list(
        self,
        resource: Resource,
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page:
        """Read a consistent page. Raises Expired, BadRequest, Timeout (a revision yet to come)."""
        bucket = await self._as_of_now(resource)
        counts = bucket.counts
        if not (continue_token or resource_version):
            counts.consistent += 1
        if not (bucket.entries or continue_token or resource_version):
            counts.listed().add(0, 0)
            return Page([], self.revision)  # admission asks on every write for kinds that few clusters have
        if resource_version == "0" and not continue_token:
            limit = 0  # what is in memory anyway is told at once: upstream's cache knows no pages of it
        root = start = bucket.root(selection)
        token = None
        begun = int(self._clock.now().timestamp()) if limit else 0
        if continue_token:
            token = versions.decode_token(continue_token)
            start = root + token.start
            revision, begun = self._continued(token, resource_version, begun)
        else:
            revision = await self._list_revision(resource_version, resource_version_match, limit)
        if revision < (oldest := min(self._store.compacted, self.revision)):
            raise _too_old(token, oldest)
        entries: Iterable[Entry]
        total: int | None = None
        on_disk = revision < bucket.floor and revision < self.revision
        if bucket.sealed and not on_disk and selection.whole:
            refuse_closed(bucket, resource, selection, start, limit)
        if on_disk:
            past, total = await self._past_on_disk(bucket, selection, start, revision, token)
            entries = readable(past, resource, limit)
        elif bucket.since(revision):
            past = bucket.past(revision, selection, start)
            entries, total = past, len(past)
        elif selection.matches is None and not selection.name and selection.field_equals is None:
            page = page_of(bucket, root, start, limit, revision=revision, begun=begun)
            counts.listed().add(len(page.items), len(page.items))
            return page
        else:
            entries = past = [*bucket.candidates(selection, start)]
        items: builtins.list[Cached] = [*select(entries, selection, limit)]
        lists = counts.stored if on_disk else counts.listed(index_of(selection))
        lists.add(len(past), len(items))
        # Whatever follows a full page makes another one, whether it matches or not: nobody has looked.
        full = limit and len(items) == limit and not selection.names_one(resource)
        if not full or items[-1].key == past[-1].key:
            return Page(items, revision, stored=on_disk)
        narrowed = selection.matches is not None or bool(selection.name)
        remaining = None if total is None or narrowed else total - limit
        following = versions.encode_token(revision, items[-1].key[len(root) :] + "\0", begun)
        return Page(items, revision, following, remaining, stored=on_disk)

    async def all(self, resource: Resource, namespace: str = "") -> Sequence[Cached]:
        """Return every object as ``seen``. What admission asks for on each write is kept until it changes."""
        known = self._feed.known.get(id(resource))
        bucket = known[1] if known is not None else await self._feed.load(resource)
        if not self._feed.alone:
            await self._confirm_seen(bucket)
        return bucket.whole(namespace) if bucket.entries else ()

    async def _as_of_now(self, resource: Resource) -> Bucket:
        """Return what there is of a kind; where others write to the store, it is asked what is newest."""
        bucket = await self._feed.bucket(resource)
        if not self._feed.alone:
            began = self._clock.monotonic()
            await self._feed.confirm(bucket)
            bucket.counts.waits.observe(self._clock.monotonic() - began)
        return bucket

    async def _list_revision(self, text: str, match: str, limit: int) -> int:
        """Return the revision that a first page shows."""
        wanted = versions.parse_version(text)
        await self._feed.caught_up_or_refuse(wanted)
        exact = match == "Exact" or (not match and limit > 0)
        return wanted if exact and wanted else self.revision

    def _continued(self, token: versions.Token, resource_version: str, begun: int) -> tuple[int, int]:
        """Return the revision of a further page, and when its list began (``begun``: this page did).

        Raises BadRequest, Expired.
        """
        if resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        if token.expired(begun or int(self._clock.now().timestamp())):
            raise _too_old(token, self._store.compacted)
        if token.revision == versions.LATEST:
            return self.revision, begun
        return token.revision, token.begun

    async def _past_on_disk(
        self, bucket: Bucket, selection: Selection, start: str, revision: int, token: versions.Token | None
    ) -> tuple[builtins.list[Entry], int]:
        began = self._clock.monotonic()
        try:
            found = await self._store.range(bucket.root(selection), start=start, revision=revision)
        except Compacted as error:
            raise _too_old(token, error.oldest) from error
        except FutureRevision as error:
            raise versions.too_large(revision, self.revision) from error
        except StoreUnavailable as error:
            bucket.counts.failed(LIST)
            raise ServiceUnavailable(str(error)) from error
        finally:
            bucket.counts.requested(LIST, self._clock.monotonic() - began)
        return [bucket.entry_of(record) for record in found.records], found.count

    # -- watching

    async def watch(
        self,
        resource: Resource,
        selection: Selection,
        *,
        resource_version: str = "",
        send_initial_events: bool | None = None,
        bookmarks: bool = False,
        lasts_s: float = 0,
        outlet: EventOutlet | None = None,
    ) -> AsyncIterator[builtins.list[Change]]:
        """Yield batches until closed or cut off. Raises Expired on the first step when history is gone."""
        wanted = versions.parse_version(resource_version)
        bucket = await self._feed.bucket(resource)
        await self._feed.confirm(bucket, wanted)
        initial = wanted == 0 if send_initial_events is None else send_initial_events
        if initial:
            await self._feed.caught_up_or_refuse(wanted)
        watcher = Watcher(selection, outlet)
        bucket.watchers.add(watcher)
        ticker = None
        if bookmarks:
            ticker = Ticker(watcher, lambda: bookmark(resource, self.revision), self._bookmark_s, lasts_s)
        current = self.revision
        try:
            if initial:
                for batch in _present(bucket, selection):
                    yield batch
                if bookmarks and send_initial_events:
                    yield [bookmark(resource, current, initial_end=True)]
                wanted = current
            elif not wanted:
                wanted = current
            else:
                async with aclosing(self._replay(bucket, selection, wanted, current)) as replayed:
                    async for batch in replayed:
                        yield batch
            watcher.live = wanted <= current
            batch = []
            while batch := await watcher.next():
                if not watcher.live:
                    watcher.live = batch[-1].revision >= wanted
                    batch = [one for one in batch if one.revision > wanted - (one.cached is None)]
                if batch:
                    yield batch
                batch = []  # while it waits, a watch keeps nothing of what it told
            self._feed.refuse_outlived(watcher, current)
        finally:
            bucket.counts.cut += watcher.too_slow
            bucket.watchers.remove(watcher)
            if ticker is not None:
                ticker.cancel()

    async def _replay(
        self, bucket: Bucket, selection: Selection, wanted: int, current: int
    ) -> AsyncGenerator[builtins.list[Change], None]:
        """Yield what happened after ``wanted`` up to ``current``: from memory, or from the store's log."""
        if wanted >= current:
            return
        if wanted >= bucket.floor:
            for events in portions(list(bucket.since(wanted)), _size_of_event):
                if told := told_of(events, selection):
                    yield told
            return
        history = getattr(self._store, "history", None)
        if history is None:
            raise versions.watch_expired(wanted, bucket.floor)
        following, limit = wanted + 1, _FIRST_BATCH
        while following <= current:
            try:
                events = await history(bucket.prefix, following, current, limit)
            except Compacted as error:
                raise versions.watch_expired(wanted, error.oldest) from error
            except StoreUnavailable as error:
                raise ServiceUnavailable(str(error)) from error
            following = events[-1].record.mod_revision + 1 if events else current + 1
            found = [bucket.event_of(event) for event in events]
            size = sum(map(_size_of_event, found)) or 1
            limit = max(1, min(_HISTORY_BATCH, len(found) * _HISTORY_BYTES // size))
            for run in portions(found, _size_of_event):
                if told := told_of(run, selection):
                    yield told

    # -- writing

    async def create(
        self, resource: Resource, obj: Object, *, ttl_s: int = 0, value: bytes | None = None
    ) -> Cached:
        """Write a new object. Raises AlreadyExists, ServiceUnavailable."""
        known = self._feed.known.get(id(resource))
        bucket = known[1] if known is not None else await self._feed.load(resource)
        meta = obj["metadata"]
        name = meta["name"]
        key = _key(resource, meta.get("namespace", ""), name)
        lease = await self._leases.of(ttl_s) if ttl_s else 0
        hint = hint_of(resource, obj, value)
        put = Put(key, hint.value, expect=0, lease=lease)
        try:
            revision = await self._feed.commit(bucket, CREATE, put, hint)
        except CompareFailed as error:
            raise AlreadyExists.of(resource.group, resource.plural, name) from error
        return self._written(bucket, put, revision)

    async def update(
        self,
        resource: Resource,
        obj: Object,
        expect_revision: int,
        *,
        ttl_s: int = 0,
        value: bytes | None = None,
    ) -> Cached:
        """Replace an object; writing what is there already writes nothing (and gives it no more time).

        Raises Conflict, NotFound, ServiceUnavailable.
        """
        known = self._feed.known.get(id(resource))
        bucket = known[1] if known is not None else await self._feed.load(resource)
        meta = obj["metadata"]
        name = meta["name"]
        key = _key(resource, meta.get("namespace", ""), name)
        entry = bucket.entries.get(key)
        hint = hint_of(resource, obj, value, None if entry is None else entry.at_hand)
        if (
            entry is not None
            and entry.revision == expect_revision
            and entry.value == hint.value
            and not entry.stale
        ):
            await self._feed.confirm(bucket)
            if bucket.entries.get(key) is entry:
                return entry
        if ttl_s:
            lease = await self._leases.of(ttl_s)
        else:
            lease = entry.lease if entry is not None else 0
        put = Put(key, hint.value, expect=expect_revision, lease=lease)
        try:
            revision = await self._feed.commit(bucket, UPDATE, put, hint)
        except CompareFailed as error:
            raise _refused(resource, name, error) from error
        return self._written(bucket, put, revision)

    async def delete(self, resource: Resource, namespace: str, name: str, expect_revision: int) -> Cached:
        """Remove; return the last state as of the deletion. Raises Conflict, NotFound, ServiceUnavailable."""
        bucket = await self._feed.bucket(resource)
        await self._feed.confirm(bucket)
        key = _key(resource, namespace, name)
        entry = bucket.entries.get(key)
        if entry is None:
            raise _missing(resource, name)
        if entry.revision != expect_revision:
            raise Conflict.of(resource.group, resource.plural, name)
        try:
            revision = await self._feed.commit(bucket, DELETE, Delete(key, expect=expect_revision), None)
        except CompareFailed as error:
            raise _refused(resource, name, error) from error
        return entry.ended(revision)

    @staticmethod
    def _written(bucket: Bucket, put: Put, revision: int) -> Cached:
        entry = bucket.entries.get(put.key)
        if entry is not None and entry.revision == revision:
            return entry
        return bucket.entry_of(Record(put.key, put.value, revision, 0, put.lease))


def _present(bucket: Bucket, selection: Selection) -> Iterator[builtins.list[Change]]:
    """Yield what there is, as a watch that begins with it is told."""
    live = select(bucket.candidates(selection, bucket.root(selection)), selection, 0)
    bucket.counts.initial += len(live)
    for entries in portions(live, lambda entry: len(entry.value)):
        yield [change("ADDED", entry) for entry in entries]


def _size_of_event(event: BucketEvent) -> int:
    entry = event.entry or event.previous
    return len(entry.value) if entry is not None else 0


def _key(resource: Resource, namespace: str, name: str) -> str:
    prefix = resource.storage_prefix
    return f"{prefix}{namespace}/{name}" if namespace and resource.namespaced else prefix + name


def _too_old(token: versions.Token | None, oldest: int) -> Expired:
    """Say that a list cannot be shown as it was, however much of that is still in memory."""
    if token is None:
        return versions.ListExpired(oldest)
    return versions.ContinueExpired(versions.encode_token(versions.LATEST, token.start))


def _missing(resource: Resource, name: str) -> NotFound | BadRequest:
    """Say that an object is not there, or cannot be."""
    if faults := is_path_segment_name(name):
        return BadRequest(f"Name parameter invalid: {render(name)}: {';'.join(faults)}")
    return NotFound.of(resource.group, resource.plural, name)


def _refused(resource: Resource, name: str, error: CompareFailed) -> Conflict | NotFound:
    if error.current is None:
        return NotFound.of(resource.group, resource.plural, name)
    return Conflict.of(resource.group, resource.plural, name)
