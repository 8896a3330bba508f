"""The upkeep of a SQLite file under ``storage.upkeep``: format, compaction, giving disk back, checkpoints.

Blocking; on connections that ``sqlite_file`` opened. Nothing here is waited for by whoever commits: steps are
bounded by time, and their transactions are not synced by themselves (losing the last of them to a power
failure only means that they are done again).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage.base import StoreUnavailable
from tiphys.storage.keyspace import MAX_WRITES
from tiphys.storage.retention import Mark

FORMAT: Final = 2
"""Of the tables. 1 had no marks, and no record of how far compaction had come."""

_STEP_BYTES: Final = 256 * 1024
"""A step ends with the value that reaches this: big ones take long to drop."""
_STEP_PAGES: Final = 64
"""Given back in one step: one takes 5 µs or ten times as long, which cannot be told before."""
_SPARE_PAGES: Final = 256
"""Free pages that stay with the file: the next writes take them."""
_WAL_BYTES: Final = 16 * 1024 * 1024
"""What the write-ahead log shrinks to when it begins anew after a time of much writing."""

_clock: Final = RealClock()

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, create_rev INTEGER NOT NULL, prev_rev INTEGER NOT NULL,
    deleted INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB
);
CREATE INDEX IF NOT EXISTS log_key ON log (key, id);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS marks (revision INTEGER PRIMARY KEY, at REAL NOT NULL, written INTEGER NOT NULL);
INSERT OR REPLACE INTO meta VALUES ('format', {FORMAT});
"""

_BEFORE: Final = (
    f"p.key = l.key AND l.prev_rev > 0 AND p.id >= l.prev_rev * {MAX_WRITES}"
    f" AND p.id < (l.prev_rev + 1) * {MAX_WRITES}"
)
_STRETCH: Final = (
    "SELECT max(id), count(*) FROM (SELECT id, size, sum(size) OVER (ORDER BY id) AS total FROM"
    " (SELECT id, coalesce(length(value), 0) AS size FROM log WHERE id > ? AND id < ? ORDER BY id LIMIT ?))"
    f" WHERE total - size < {_STEP_BYTES}"
)
_SWEEP: Final = (
    f"DELETE FROM log WHERE id IN (SELECT p.id FROM log l JOIN log p ON {_BEFORE}"
    " WHERE l.id > ?1 AND l.id <= ?2"
    " UNION ALL SELECT id FROM log WHERE id > ?1 AND id <= ?2 AND deleted = 1)"
)
_NOTE: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of compaction did, and how long it took."""

    rows: int
    pages: int
    took_s: float
    is_last: bool


def prepare(writer: sqlite3.Connection) -> None:
    """Set the connection that writes up, and make what is missing. Raises StoreUnavailable, sqlite3.Error."""
    known = writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    found = read_meta(writer).get("format", 1) if known else 0
    if found > FORMAT:
        raise StoreUnavailable(
            f"the file was written by a newer release (format {found}; this one knows up to {FORMAT})"
        )
    writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    # Debian's SQLite overwrites all that is freed by itself; so only where the page is written anyway.
    writer.execute("PRAGMA secure_delete = FAST")
    if found != FORMAT:
        writer.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")


def read_meta(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the numbers that a file keeps about itself."""
    return dict(connection.execute("SELECT name, value FROM meta"))


def read_marks(connection: sqlite3.Connection) -> list[Mark]:
    """Return the marks on the log; ``at`` is in seconds since 1970."""
    rows = connection.execute("SELECT revision, at, written FROM marks ORDER BY revision")
    return [Mark(*row) for row in rows]


@contextmanager
def _not_waiting(writer: sqlite3.Connection) -> Iterator[None]:
    """Let transactions reach the disk with the next commit that is synced."""
    writer.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        writer.execute("PRAGMA synchronous = FULL")


@contextmanager
def _unsynced(writer: sqlite3.Connection) -> Iterator[None]:
    """Run one transaction that reaches the disk with the next commit that is synced."""
    with _not_waiting(writer):
        try:
            writer.execute("BEGIN IMMEDIATE")
            yield
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise


def add_mark(writer: sqlite3.Connection, mark: Mark) -> None:
    """Keep a mark; ``at`` in seconds since 1970."""
    with _unsynced(writer):
        writer.execute(
            "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (mark.revision, mark.at, mark.written)
        )


def begin_compaction(writer: sqlite3.Connection, revision: int) -> None:
    """Promise that nothing before ``revision`` is asked for again."""
    with _unsynced(writer):
        writer.execute(_NOTE, ("compacted", revision))
        writer.execute("DELETE FROM marks WHERE revision <= ?", (revision,))


def leap(connection: sqlite3.Connection, revision: int) -> None:
    """Go on at ``revision`` with no history: what is there now is what was there then."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {SCHEMA} DELETE FROM marks;"
        f"INSERT OR REPLACE INTO meta VALUES ('compacted', {revision}); COMMIT;"
    )


def compact_step(writer: sqlite3.Connection, size: int) -> Step:
    """Drop what is dead in the next stretch of the log, or give free pages back when nothing is left.

    Up to the promised revision, every version that another one followed goes, and every deletion. Where a
    step ended is kept with what it did: compaction goes on there, after a crash too. ``size`` bounds the rows
    looked at, or the pages given back. Few statements do it all: each asks for the interpreter's lock once.
    """
    began = _clock.monotonic()
    meta = read_meta(writer)
    after, end = meta.get("swept", 0), (meta.get("compacted", 0) + 1) * MAX_WRITES
    last, rows = writer.execute(_STRETCH, (after, end, size)).fetchone()
    pages, is_last = 0, False
    if rows:
        with _unsynced(writer):
            writer.execute(_SWEEP, (after, last))
            writer.execute(_NOTE, ("swept", last))
    else:
        pages, is_last = _give_back(writer, size)
    return Step(rows, pages, _clock.monotonic() - began, is_last)


def _give_back(writer: sqlite3.Connection, most: int) -> tuple[int, bool]:
    """Move pages from the end of the file to free ones before them, so that it can be cut there."""
    (free,) = writer.execute("PRAGMA freelist_count").fetchone()
    surplus = max(0, free - _SPARE_PAGES)
    given = min(surplus, most, _STEP_PAGES)
    if given:
        with _not_waiting(writer):  # a script steps to its end without the interpreter's lock
            writer.executescript(f"PRAGMA incremental_vacuum({given})")
    return given, given == surplus


def checkpoint(connection: sqlite3.Connection) -> tuple[int, int]:
    """Copy the write-ahead log into the file as far as nobody is in the way.

    Returns how many pages the log has and how many of them are copied.
    """
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return pages, copied
