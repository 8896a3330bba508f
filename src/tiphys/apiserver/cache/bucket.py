"""Every live object of one storage prefix, its recent past, and its watchers.

Applies committed events in order, answers lists of now and of a moment ago from memory. Several resource rows
(versions of one kind, core and ``events.k8s.io`` events) share a bucket.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.selectable import INDEXED
from tiphys.apiserver.cache.corrupt import CorruptObject, unreadable
from tiphys.apiserver.cache.entry import ClosedEntry, Entry, RawEntry
from tiphys.apiserver.cache.foreign import KEPT_AS_SENT, NotStored, Read, StoredForm
from tiphys.apiserver.cache.pages import KeptBytes, PageItems, Pages
from tiphys.apiserver.cache.watchers import BucketEvent, Watchers
from tiphys.apiserver.encryption.providers import ENCRYPTED, Identity, Unreadable
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Event, Record
from tiphys.storage.keyorder import KeyOrder
from tiphys.storage.keyspace import prefix_end

log = logging.getLogger(__name__)

_SAMPLE: Final = 8
"""Objects that are looked at for how large one is."""
RING_EVENTS: Final = 20_000
RING_BYTES: Final = 16 * 1024 * 1024


class ReadFields(Protocol):
    """Returns an object's selectable fields for a resource row."""

    def __call__(self, resource: Resource, obj: Object) -> dict[str, str]: ...


class Seal(Protocol):
    """What seals values at rest below the cache."""

    def is_stale(self, key: str) -> bool: ...

    def unseal(self, key: str, value: bytes) -> bytes:
        """Raises Unreadable."""
        ...


class Bucket:
    """Live entries by key, in key order, as of ``revision``."""

    def __init__(
        self,
        prefix: str,
        read_fields: ReadFields,
        kept: KeptBytes,
        watchers: Watchers,
        seal: Seal | None = None,
    ) -> None:
        self._seal = seal
        self._form: StoredForm | None = None
        self._kind: type[Entry] = Entry
        self.sealed: set[str] = set()
        """Keys whose values did not come open: no list can be told while there is one."""
        self._foreign: set[str] = set()
        """Keys whose values lie in the store in another form than they would be written in."""
        self.prefix = prefix
        self.loaded = False
        self._loaded_at = 0
        self.waiting: list[Event] = []
        self.watchers = watchers
        self.counts = watchers.counts
        self.floor = 0
        """The ring holds every event after this revision."""
        self.entries: dict[str, Entry] = {}
        self._read_fields = read_fields
        self._rows: list[Resource] = []
        self.has_fields = False
        self._indexed = False
        """Whether every object is asked for the value of a field."""
        self.custom = False
        self._keys = KeyOrder()
        self._ring: deque[BucketEvent] = deque()
        self._ring_bytes = 0
        self._aged = 0
        self._indexes: dict[str, dict[str, set[str]]] = {}
        self.pages = Pages(kept)
        self._wholes: dict[str, tuple[Entry, ...]] = {}

    def admit(self, row: Resource) -> None:
        """Learn a row that is served from here."""
        if row not in self._rows:
            self._rows = [known for known in self._rows if known.gvr != row.gvr] + [row]
            self._form = StoredForm(row)
            self._kind = RawEntry if (row.group, row.kind) in KEPT_AS_SENT else Entry
            self.custom = row.custom
            self._indexed = row.plural in INDEXED and not row.custom
            self.has_fields = any(known.selectable_fields for known in self._rows)
            for entry in self.entries.values():
                entry.forget_fields()

    def let_go(self) -> None:
        """Keep nothing: entries that somebody holds still know their bucket, and it would know the rest."""
        self._rows, self._form, self.loaded = [], None, False
        self.entries, self._keys, self._indexes = {}, KeyOrder(), {}
        self._ring.clear()
        self._ring_bytes = 0
        self._wholes.clear()
        self.pages.clear()

    def read_fields(self, obj: Object) -> dict[str, str]:
        """Read the selectable fields that any row of this bucket has."""
        values: dict[str, str] = {}
        for row in self._rows:
            values.update(self._read_fields(row, obj))
        return values

    def is_stale(self, key: str) -> bool:
        """Tell whether the stored form of a key's value is out of date."""
        return key in self._foreign or (self._seal is not None and self._seal.is_stale(key))

    def unseal(self, key: str, value: bytes, revision: int) -> bytes:
        """Open what came sealed: other keys may have been configured since. Raises CorruptObject."""
        try:
            found = value
            if value.startswith(ENCRYPTED):
                found = Identity().open(key, value) if self._seal is None else self._seal.unseal(key, value)
            return found if self._form is None else self._form.read(found).value
        except (Unreadable, NotStored) as error:
            self.counts.undecodable += isinstance(error, NotStored)
            raise CorruptObject(key, revision, error) from error

    def refuse_sealed(self, resource: Resource, root: str, start: str, last: str = "") -> None:
        """Raise StatusError when something under ``root``, ``start`` to ``last``, cannot be read still."""
        faults = []
        for key in sorted(self.sealed):
            try:
                _ = self.entries[key].raw
            except CorruptObject as error:
                if key.startswith(root) and start <= key and (not last or key <= last):
                    faults.append(error)
            else:
                self.sealed.discard(key)
        if faults:
            raise unreadable(resource, faults)

    def entry_of(self, record: Record, obj: Object | None = None) -> Entry:
        """Make an entry of a record; namespace and name are in its key.

        ``obj``: what was written, where that is at hand; else the value is decoded, to see whether it can be
        read. What selectors ask for is taken from it where somebody surely will: it is not decoded again.
        """
        namespace, _, name = record.key[len(self.prefix) :].rpartition("/")
        read = self._read(record) if obj is None else Read(record.value, obj)
        kind, value = (ClosedEntry, record.value) if read is None else (self._kind, read.value)
        revision, lease = record.mod_revision, record.lease
        entry = kind(self, record.key, namespace, name, value, revision=revision, lease=lease)
        if read is not None and (obj is not None or self._indexed):
            entry.extract(read.obj)
        return entry

    def _read(self, record: Record) -> Read | None:
        """Return what a record holds, in this server's form; None where it cannot be read."""
        if record.value.startswith(ENCRYPTED) or self._form is None:
            return None
        try:
            return self._form.read(record.value)
        except NotStored as error:
            log.error("stored value unreadable key=%s why=%s", record.key, error)
            return None

    def load(self, records: Sequence[Record], revision: int) -> None:
        """Take the state of ``revision``, then what was committed since."""
        self.entries = {record.key: self.entry_of(record) for record in records}
        self._keys = KeyOrder(self.entries)
        entries = self.entries
        self.sealed = {key for key, entry in entries.items() if isinstance(entry, ClosedEntry)}
        self._foreign = {one.key for one in records if entries[one.key].value is not one.value}
        self._foreign |= self.sealed
        self.floor = self._loaded_at = revision
        self._wholes.clear()
        self.loaded = True
        self.counts.loads += 1
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            self.apply(event, None)

    def apply(self, event: Event, obj: Object | None, *, keep: bool = False) -> None:
        """Make a committed event the present and tell the watchers.

        ``obj`` is its object if at hand; ``keep``: reading it again need not decode the value.
        """
        if not self.loaded:
            self.waiting.append(event)
            return
        if event.record.mod_revision <= self._loaded_at:
            return
        self.counts.received += 1
        if self._wholes:
            self._wholes.clear()
        key = event.record.key
        previous = self.entries.get(key)
        entry = None
        if event.deleted:
            if previous is None:
                return
            del self.entries[key]
            self._keys.remove(key)
            self._foreign.discard(key)
        else:
            entry = self.entry_of(event.record, obj)
            if entry.value is not event.record.value or isinstance(entry, ClosedEntry):
                self._foreign.add(key)
            elif self._foreign:
                self._foreign.discard(key)
            if obj is not None and keep:
                entry.keep(obj)
            if previous is None:
                self._keys.add(key)
            self.entries[key] = entry
        if key in self.sealed or isinstance(entry, ClosedEntry):
            self._apply_sealed(key, entry, event.record.mod_revision)
            return
        if self._indexes:
            self._reindex(key, entry, previous)
        self.pages.clear()
        happened = BucketEvent(key, event.record.mod_revision, entry, previous)
        self._remember(happened)
        self.watchers.tell(happened)

    def _apply_sealed(self, key: str, entry: Entry | None, revision: int) -> None:
        """A value came that cannot be opened, or went: nobody can be told what it was, so watches end."""
        if isinstance(entry, ClosedEntry):
            self.sealed.add(key)
        else:
            self.sealed.discard(key)
        self._indexes.clear()
        self.pages.clear()
        self._ring.clear()
        self._ring_bytes = 0
        self.floor = revision
        for watcher in list(self.watchers):
            watcher.end()

    def _remember(self, event: BucketEvent) -> None:
        ring = self._ring
        ring.append(event)
        if event.previous is not None:
            self._ring_bytes += event.weight
        while len(ring) > RING_EVENTS or self._ring_bytes > RING_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._ring.popleft()
        self._ring_bytes -= oldest.weight
        self.floor = oldest.revision

    def age(self) -> None:
        """Drop the events that were there at the call before: who still wants them reads the store's log."""
        ring = self._ring
        while ring and ring[0].revision <= self._aged:
            self._drop_oldest()
        if ring:
            self._aged = ring[-1].revision

    def revisions(self) -> list[tuple[str, int]]:
        """Return every key with its revision, in order."""
        entries = self.entries
        return [(key, entries[key].revision) for key in self._keys.islice(0, len(self._keys))]

    def since(self, revision: int) -> list[BucketEvent]:
        """Return the events after ``revision``, which must not lie before ``floor``."""
        if not self._ring or self._ring[-1].revision <= revision:
            return []
        events = list(self._ring)
        return events[bisect_right(events, revision, key=_revision_of) :]

    def event_of(self, event: Event) -> BucketEvent:
        """Make of an event from the store's log what watchers are told of."""
        record = event.record
        entry = None if event.deleted else self.entry_of(record)
        previous = self.entry_of(event.previous) if event.previous is not None else None
        return BucketEvent(record.key, record.mod_revision, entry, previous)

    # -- indexes

    def _index(self, path: str) -> dict[str, set[str]]:
        """Return the index of a field, built when it is first asked for."""
        index = self._indexes.get(path)
        if index is None:
            index = self._indexes[path] = {}
            for key, entry in self.entries.items():
                if key not in self.sealed:
                    index.setdefault(entry.fields.get(path, ""), set()).add(key)
        return index

    def _reindex(self, key: str, entry: Entry | None, previous: Entry | None) -> None:
        for path, index in self._indexes.items():
            before = previous.fields.get(path, "") if previous is not None else None
            after = entry.fields.get(path, "") if entry is not None else None
            if before == after:
                continue
            if before is not None:
                keys = index.get(before, set())
                keys.discard(key)
                if not keys:
                    index.pop(before, None)
            if after is not None:
                index.setdefault(after, set()).add(key)

    # -- lists

    def root(self, selection: Selection) -> str:
        """Return the prefix of the keys that a selection's namespace leaves."""
        return f"{self.prefix}{selection.namespace}/" if selection.namespace else self.prefix

    def count(self, root: str, start: str) -> int:
        """Return how many live keys there are under ``root`` from ``start`` on."""
        return self._keys.bisect_left(prefix_end(root)) - self._keys.bisect_left(start)

    def average_bytes(self) -> int:
        """Return about how large an object is, by a few of them."""
        keys = self._keys
        sample = [keys[at] for at in range(0, len(keys), -(-len(keys) // _SAMPLE) or 1)]
        return sum(len(self.entries[key].value) for key in sample) // len(sample) if sample else 0

    def page(self, root: str, start: str, limit: int) -> PageItems:
        """Return the live entries under ``root`` from ``start`` on, at most ``limit`` (0: all)."""
        found = self.pages.get(root, start, limit)
        if found is not None:
            return found
        low, high = self._keys.bisect_left(start), self._keys.bisect_left(prefix_end(root))
        end = min(high, low + limit) if limit else high
        entries = [self.entries[key] for key in self._keys.islice(low, end)]
        return self.pages.add(root, start, limit, entries, more=end < high)

    def candidates(self, selection: Selection, start: str) -> Iterator[Entry]:
        """Yield live entries that may match, in key order from ``start`` on."""
        root = self.root(selection)
        entries = self.entries
        if selection.name and (selection.namespace or f"{self.prefix}{selection.name}" in entries):
            entry = entries.get(root + selection.name)
            if entry is not None and entry.key >= start:
                yield entry
            return
        if selection.field_equals is not None:
            path, value = selection.field_equals
            keys = sorted(
                key for key in self._index(path).get(value, ()) if key >= start and key.startswith(root)
            )
            yield from [entries[key] for key in keys]
            return
        low, high = self._keys.bisect_left(start), self._keys.bisect_left(prefix_end(root))
        yield from [entries[key] for key in self._keys.islice(low, high)]

    def whole(self, namespace: str) -> tuple[Entry, ...]:
        """Return the live entries of a namespace, or all, in key order; kept until one changes."""
        found = self._wholes.get(namespace)
        if found is None:
            selection = Selection(namespace)
            found = tuple(self.candidates(selection, self.root(selection)))
            self._wholes[namespace] = found
        return found

    def past(self, revision: int, selection: Selection, start: str) -> list[Entry]:
        """Return the entries as of ``revision`` (not before ``floor``), in key order from ``start`` on."""
        root = self.root(selection)
        undone: dict[str, Entry | None] = {}
        for event in self.since(revision):
            if event.key.startswith(root) and event.key >= start:
                undone.setdefault(event.key, event.previous)
        low, high = self._keys.bisect_left(start), self._keys.bisect_left(prefix_end(root))
        found = [self.entries[key] for key in self._keys.islice(low, high) if key not in undone]
        if undone:
            found += [entry for entry in undone.values() if entry is not None]
            found.sort(key=_key_of)
        return found


def _revision_of(event: BucketEvent) -> int:
    return event.revision


def _key_of(entry: Entry) -> str:
    return entry.key
