"""The live keys in memory, and what a transaction would do to them.

Pure bookkeeping: no I/O, no clock. The single-writer stores (memory, sqlite) plan every transaction against
it, make the plan durable in their own way, and only then apply it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiphys.storage.base import CompareFailed, Delete, Event, Put, RangeResult, Record
from tiphys.storage.keyorder import KeyOrder

FIRST_REVISION = 1
"""Of an empty store, as in etcd: the first write makes revision 2."""

KEYS_ROOT = "/registry"
"""What the keys of an API server begin with."""

MAX_WRITES = 4096
"""In one transaction."""

Overlay = dict[str, Record | None]
"""Records that are planned but not yet applied; None: deleted."""


def prefix_end(prefix: str) -> str:
    """Return the first key after all that begin with ``prefix`` ("" when there is no such key)."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""


class Keyspace:
    """Live records by key and in key order, at one revision."""

    def __init__(self, revision: int = FIRST_REVISION, records: Iterable[Record] = ()) -> None:
        self.revision = revision
        self._records = {record.key: record for record in records}
        self._keys = KeyOrder(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def copy(self) -> Keyspace:
        return Keyspace(self.revision, self._records.values())

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def range(self, prefix: str, start: str, limit: int) -> RangeResult:
        """Read live keys with ``prefix`` from ``start`` on."""
        keys = self._keys
        first = keys.bisect_left(max(prefix, start))
        end = prefix_end(prefix)
        last = max(first, keys.bisect_left(end) if end else len(keys))
        count = last - first
        stop = min(last, first + limit) if limit else last
        records = [self._records[key] for key in keys.islice(first, stop)]
        return RangeResult(records, self.revision, stop < last, count)

    def plan(self, writes: Sequence[Put | Delete], revision: int, overlay: Overlay) -> list[Event]:
        """Return what ``writes`` do as ``revision`` and note it in ``overlay``. Empty: nothing to write.

        Raises CompareFailed, with ``overlay`` untouched.
        """
        events: list[Event] = []
        if len(writes) > 1:
            if len(writes) > MAX_WRITES:
                raise ValueError(f"a transaction has more than {MAX_WRITES} writes")
            if len({write.key for write in writes}) != len(writes):
                raise ValueError("a transaction names a key twice")
        for write in writes:
            key, expect = write.key, write.expect
            current = overlay[key] if key in overlay else self._records.get(key)
            if expect is not None:
                found = current.mod_revision if current is not None else 0
                if expect != found or (current is None and type(write) is Delete):
                    raise CompareFailed(key, current)
            if type(write) is Put:
                created = current.create_revision if current is not None else revision
                record = Record(key, write.value, revision, created, write.lease)
                events.append(Event(record, False, current))
            elif current is not None:
                record = Record(key, current.value, revision, current.create_revision, current.lease)
                events.append(Event(record, True, current))
        for record, deleted, _ in events:
            overlay[record.key] = None if deleted else record
        return events

    def apply(self, events: Iterable[Event]) -> None:
        """Make planned events the present. They come in revision order."""
        records = self._records
        for record, deleted, _ in events:
            key = record.key
            if deleted:
                if records.pop(key, None) is not None:
                    self._keys.remove(key)
            else:
                if key not in records:
                    self._keys.add(key)
                records[key] = record
            self.revision = record.mod_revision
