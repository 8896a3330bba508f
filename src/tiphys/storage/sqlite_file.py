"""The SQLite file under ``storage.sqlite``: its log, and every statement that writes or reads it.

Blocking; called from the store's threads only, never from the event loop. One process has a file at a time
(an exclusive lock on ``<file>.lock``). A file that holds less than was acknowledged (``high_water``) is not
opened. What keeps the file in shape is in ``sqlite_upkeep``.

A row's id is its revision times ``_SLOTS`` plus its place in the transaction: ids order the log by revision,
and reading from a revision on needs no index of its own.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage import sqlite_upkeep as upkeep
from tiphys.storage.base import Event, RangeResult, Record, StoreUnavailable
from tiphys.storage.high_water import HighWater
from tiphys.storage.keyspace import FIRST_REVISION, MAX_WRITES, prefix_end
from tiphys.storage.retention import Mark
from tiphys.storage.snapshot import take_staged

_SLOTS: Final = MAX_WRITES
_COLUMNS: Final = 7
_WIDEST_ROWS: Final = 64
_WIDEST_BYTES: Final = 256 * 1024
"""What one statement takes at most: it keeps its values until it is used again."""
_LATEST: Final = (
    "SELECT key, id, create_rev, lease, value FROM log JOIN"
    " (SELECT max(id) AS id FROM log GROUP BY key) USING (id) WHERE deleted = 0 ORDER BY key"
)
_AT: Final = (
    "SELECT key, id, create_rev, lease, value FROM log JOIN"
    " (SELECT max(id) AS id FROM log WHERE key >= ? AND key < ? AND id < ? GROUP BY key) USING (id)"
    " WHERE deleted = 0 ORDER BY key"
)
_KEYS_AT: Final = _AT.replace("key, id, create_rev, lease, value", "key, id")
_HISTORY: Final = (
    "SELECT l.key, l.id, l.create_rev, l.lease, l.value, l.deleted, l.prev_rev,"
    " p.create_rev, p.lease, p.value FROM log l LEFT JOIN log p"
    f" ON p.key = l.key AND l.prev_rev > 0 AND p.id >= l.prev_rev * {_SLOTS}"
    f" AND p.id < (l.prev_rev + 1) * {_SLOTS}"
    " WHERE l.id >= ? AND l.id < ? AND l.key >= ? AND l.key < ? ORDER BY l.id"
)
_LAST_KEY: Final = "\U0010ffff"

_Row = tuple[Any, ...]
"""Values in the order of a statement's columns."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a file held when it was opened."""

    revision: int
    compacted: int
    records: list[Record]
    leases: dict[int, float]
    """Lease to its end, in seconds since 1970."""
    marks: list[Mark]
    """Theirs is the same clock."""


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """A lease to write down (``expires_at``) or to strike out (None)."""

    lease: int
    expires_at: float | None


class SqliteFile:
    """One open file: a connection that writes, one that reads, one that copies the write-ahead log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None
        self._acknowledged: HighWater | None = None
        self._places: dict[Path, int] = {}
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._copier: sqlite3.Connection | None = None

    def open(self) -> Recovered:
        """Lock, create or check, and read the present. Raises StoreUnavailable."""
        lock = self._take_lock()
        try:
            self._acknowledged = known = HighWater(lock)
            take_staged(self._path, known.revision)
            if known.revision and not self._path.exists():
                raise StoreUnavailable(f"it is gone, and {_lacking(self._path, known.revision)}")
            self._writer = self._connect()
            upkeep.prepare(self._writer)
            self._reader, self._copier = self._connect(), self._connect()
            found = self._recover(self._writer)
            if found.revision < known.revision:
                raise StoreUnavailable(
                    f"it ends at revision {found.revision}, and {_lacking(self._path, known.revision)}"
                )
            known.note(found.revision)
            log = self._path.with_name(f"{self._path.name}-wal")
            self._places = {path: path.stat().st_ino for path in (self._path, log)}
            return found
        except (sqlite3.Error, OSError, StoreUnavailable) as error:
            self.close()
            raise StoreUnavailable(f"cannot open {self._path}: {error}") from error

    def _take_lock(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"cannot open {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise StoreUnavailable(f"{self._path} is in use by another process") from error
        self._lock = lock
        return lock

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        connection.execute("PRAGMA cache_size = -4096")
        return connection

    def _recover(self, connection: sqlite3.Connection) -> Recovered:
        (newest,) = connection.execute("SELECT max(id) FROM log").fetchone()
        compacted = upkeep.read_meta(connection).get("compacted", 0)
        # Compaction may take away the very newest row (a deletion): its revision stays used.
        revision = max((newest or 0) // _SLOTS, compacted, FIRST_REVISION)
        records = [_record(row) for row in connection.execute(_LATEST)]
        leases = dict(connection.execute("SELECT id, expires_at FROM leases"))
        return Recovered(revision, compacted, records, leases, upkeep.read_marks(connection))

    def close(self) -> None:
        """Close the connections and give the lock up. Idempotent."""
        for connection in (self._copier, self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._copier = self._reader = self._writer = None
        if self._acknowledged is not None:
            self._acknowledged.close()
            self._acknowledged = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def taken_away(self) -> Path | None:
        """Return which of the open files is no longer at its place: what is written to it is lost."""
        for path, inode in self._places.items():
            try:
                if path.stat().st_ino != inode:
                    return path
            except OSError:
                return path
        return None

    # -- the writer thread

    def append(self, events: Sequence[Event], leases: Sequence[LeaseChange] = ()) -> None:
        """Write one batch durably, or nothing. Raises StoreUnavailable.

        A statement gives the interpreter's lock up while it runs and must wait for a busy event loop to get
        it back. So many rows go into one statement, which is its own transaction where it is the only one.
        """
        writer = self._open(self._writer)
        groups = list(_groups(_rows(events)))
        self._write(writer, groups, leases)
        if events and self._acknowledged is not None:
            self._acknowledged.note(events[-1].record.mod_revision)

    def _write(
        self, writer: sqlite3.Connection, groups: list[list[_Row]], leases: Sequence[LeaseChange]
    ) -> None:
        try:
            if len(groups) == 1 and not leases:
                _insert(writer, groups[0])
                return
            writer.execute("BEGIN IMMEDIATE")
            for rows in groups:
                _insert(writer, rows)
            for change in leases:
                if change.expires_at is None:
                    writer.execute("DELETE FROM leases WHERE id = ?", (change.lease,))
                else:
                    writer.execute("INSERT INTO leases VALUES (?, ?)", (change.lease, change.expires_at))
            writer.execute("COMMIT")
        except BaseException as error:
            self._roll_back(writer)
            if isinstance(error, sqlite3.Error):
                raise _unavailable(self._path, "write", error) from error
            raise

    @staticmethod
    def _roll_back(writer: sqlite3.Connection) -> None:
        if writer.in_transaction:
            try:
                writer.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # a failed commit has rolled back already; what is on disk is looked at before going on

    def newest(self) -> int:
        """Return the newest revision that is on disk. Raises StoreUnavailable."""
        with self._told("read"):
            (newest,) = self._open(self._writer).execute("SELECT max(id) FROM log").fetchone()
        return (newest or 0) // _SLOTS

    def add_mark(self, mark: Mark) -> None:
        """Keep a mark, in seconds since 1970. Raises StoreUnavailable."""
        with self._told("write"):
            upkeep.add_mark(self._open(self._writer), mark)

    def begin_compaction(self, revision: int) -> None:
        """Promise that nothing before ``revision`` is asked for again. Raises StoreUnavailable."""
        with self._told("write"):
            upkeep.begin_compaction(self._open(self._writer), revision)

    def compact_step(self, size: int) -> upkeep.Step:
        """Do a step of the compaction that was promised. Raises StoreUnavailable."""
        with self._told("write"):
            return upkeep.compact_step(self._open(self._writer), size)

    def finish_checkpoint(self) -> tuple[int, int]:
        """Copy the last of the write-ahead log while nobody writes: the next write begins it anew."""
        with self._told("write"):
            return upkeep.checkpoint(self._open(self._writer))

    def _open(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreUnavailable("the store is closed")
        return connection

    @contextmanager
    def _told(self, do: str) -> Iterator[None]:
        """Say what went wrong in words of ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise _unavailable(self._path, do, error) from error

    # -- the copier's thread

    def checkpoint(self) -> tuple[int, int]:
        """Copy the write-ahead log into the file, beside writers; see ``sqlite_upkeep.checkpoint``."""
        with self._told("write"):
            return upkeep.checkpoint(self._open(self._copier))

    # -- the reader thread

    def range_at(self, prefix: str, start: str, limit: int, revision: int) -> RangeResult:
        """Read keys as they were at ``revision``."""
        end = prefix_end(prefix) or _LAST_KEY
        rows = self._read(_AT, (max(prefix, start), end, (revision + 1) * _SLOTS))
        taken = rows[:limit] if limit else rows
        return RangeResult([_record(row) for row in taken], revision, len(taken) < len(rows), len(rows))

    def revisions_at(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys there were at ``revision``, and at which they were written."""
        end = prefix_end(prefix) or _LAST_KEY
        rows = self._read(_KEYS_AT, (prefix, end, (revision + 1) * _SLOTS))
        return [(key, place // _SLOTS) for key, place in rows]

    def get_at(self, key: str, revision: int) -> Record | None:
        """Read one key as it was at ``revision``."""
        rows = self._read(
            "SELECT key, id, create_rev, lease, value, deleted FROM log WHERE key = ? AND id < ?"
            " ORDER BY id DESC LIMIT 1",
            (key, (revision + 1) * _SLOTS),
        )
        return _record(rows[0]) if rows and not rows[0][5] else None

    def history(self, prefix: str, first: int, last: int, limit: int) -> list[Event]:
        """Read events of whole revisions ``first``..``last``, about ``limit`` at most."""
        events: list[Event] = []
        end = prefix_end(prefix) or _LAST_KEY
        query = (first * _SLOTS, (last + 1) * _SLOTS, prefix, end)
        with self._told("read"), closing(self._open(self._reader).execute(_HISTORY, query)) as rows:
            for row in rows:
                event = _event(row)
                full = len(events) >= limit
                if full and event.record.mod_revision != events[-1].record.mod_revision:
                    break
                events.append(event)
        return events

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[_Row]:
        with self._told("read"):
            return self._open(self._reader).execute(statement, values).fetchall()


def _rows(events: Iterable[Event]) -> Iterator[_Row]:
    revision = slot = 0
    for event in events:
        record = event.record
        slot = slot + 1 if record.mod_revision == revision else 0
        revision = record.mod_revision
        previous = event.previous.mod_revision if event.previous is not None else 0
        value = None if event.deleted else record.value
        yield (
            revision * _SLOTS + slot, record.key, record.create_revision, previous,
            int(event.deleted), record.lease, value,
        )  # fmt: skip


def _groups(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Yield the rows of one statement after the other."""
    group: list[_Row] = []
    size = 0
    for row in rows:
        weight = len(row[-1] or b"")
        if group and (len(group) == _WIDEST_ROWS or size + weight > _WIDEST_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += weight
    if group:
        yield group


@cache
def _insertion(rows: int) -> str:
    """Return the statement that writes so many rows; those without an id are left out."""
    values = ",".join([f"({','.join('?' * _COLUMNS)})"] * rows)
    return (
        "INSERT INTO log (id, key, create_rev, prev_rev, deleted, lease, value)"
        f" SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"
    )


def _insert(writer: sqlite3.Connection, rows: Sequence[_Row]) -> None:
    """Write rows by one statement. There are few of them to prepare: each takes a power of two."""
    width = 1 << (len(rows) - 1).bit_length()
    nothing = (None,) * (_COLUMNS * (width - len(rows)))
    writer.execute(_insertion(width), [*chain.from_iterable(rows), *nothing])


def _record(row: _Row) -> Record:
    return Record(row[0], row[4], row[1] // _SLOTS, row[2], row[3])


def _event(row: _Row) -> Event:
    key, id_, created, lease, value, deleted, prev_rev, prev_created, prev_lease, prev_value = row
    previous = None
    if prev_created is not None:
        previous = Record(key, prev_value, prev_rev, prev_created, prev_lease)
    if deleted:
        value = prev_value if prev_value is not None else b""
    return Event(Record(key, value, id_ // _SLOTS, created, lease), bool(deleted), previous)


def _lacking(path: Path, acknowledged: int) -> str:
    name = path.name
    return (
        f"revision {acknowledged} had been acknowledged: writes are missing. Put the file back as it was, and"
        f" its {name}-wal; or restore a snapshot. Once {name}.lock is removed, it is opened as it is"
    )


def _unavailable(path: Path, do: str, error: sqlite3.Error) -> StoreUnavailable:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return StoreUnavailable(f"no space left for {path}: free some and writes go on by themselves")
    return StoreUnavailable(f"cannot {do} {path}: {error}")
