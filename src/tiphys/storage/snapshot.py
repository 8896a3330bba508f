"""Snapshots of a SQLite store: one file that holds the store as it was at one revision.

``save`` copies a store that is in use, from a process of its own: a reader of SQLite's write-ahead log sees
one moment and is in nobody's way. ``stage`` puts a snapshot beside a store, and whoever opens the store next
takes it (``take_staged``), under the lock that keeps others out. A crash at any point leaves the old store or
the new one.

A restored store goes on at a revision that nobody has seen, with all history before it compacted: a
resourceVersion that a client remembers never means two things.

Other stores write and read the same files record by record (``drafted``, ``read``; see ``etcd_snapshot``).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage import sqlite_upkeep as upkeep
from tiphys.storage.base import Record, StoreError
from tiphys.storage.check import check_file
from tiphys.storage.keyspace import FIRST_REVISION, MAX_WRITES

LEAP: Final = 1_000_000_000
"""How far a restored store's revision jumps: beyond what was written after the snapshot, known or not."""

_BESIDE: Final = ("-wal", "-shm")
_COUNT: Final = (
    "SELECT count(*) FROM log JOIN (SELECT max(id) AS id FROM log GROUP BY key) USING (id) WHERE deleted = 0"
)

_LIVE: Final = (
    "SELECT key, value, id, create_rev, lease FROM log JOIN (SELECT max(id) AS id FROM log GROUP BY key)"
    " USING (id) WHERE deleted = 0 ORDER BY key"
)


class SnapshotError(StoreError):
    """A snapshot cannot be taken, read or put back; the text says why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a snapshot holds."""

    revision: int
    keys: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All that is alive in a snapshot, and until when leases hold (seconds since 1970)."""

    records: list[Record]
    leases: dict[int, float]


class Draft:
    """A snapshot in the making: records come in any order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._slots: Counter[int] = Counter()

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            revision = record.mod_revision
            id_ = revision * MAX_WRITES + self._slots[revision]
            self._slots[revision] += 1
            row = (id_, record.key, record.create_revision, 0, 0, record.lease, record.value)
            self._connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def add_lease(self, lease: int, expires_at: float) -> None:
        self._connection.execute("INSERT INTO leases VALUES (?, ?)", (lease, expires_at))


@contextmanager
def drafted(target: Path, revision: int) -> Iterator[Draft]:
    """Make a snapshot of what was alive at ``revision``; it appears whole, at the end, or not at all.

    Raises SnapshotError.
    """
    with _appearing(target, "the store") as draft, closing(sqlite3.connect(draft)) as connection:
        upkeep.leap(connection, revision)
        yield Draft(connection)
        connection.commit()


def save(store: Path, target: Path) -> Summary:
    """Copy the store as it is at this moment to ``target``, which appears whole or not at all.

    Raises SnapshotError.
    """
    with (
        _appearing(target, str(store)) as draft,
        closing(_reading(store)) as source,
        closing(sqlite3.connect(draft)) as copy,
    ):
        source.backup(copy)  # in one go: a copy in parts begins anew with every write in between
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it in the one file
    return look(target)


@contextmanager
def _appearing(target: Path, of: str) -> Iterator[Path]:
    """Yield where to write a snapshot, which gets its name once it is whole. Raises SnapshotError."""
    draft = target.with_name(f"{target.name}.part")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield draft
        look(draft)
        _settle(draft, target)
    except (sqlite3.Error, OSError) as error:
        raise SnapshotError(f"cannot save {of} to {target}: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def look(file: Path) -> Summary:
    """Return what a snapshot (or a store) holds. Raises SnapshotError."""
    try:
        with closing(_reading(file)) as connection:
            revision = _revision(connection)
            (keys,) = connection.execute(_COUNT).fetchone()
        return Summary(revision, keys, file.stat().st_size)
    except (sqlite3.Error, OSError) as error:
        raise SnapshotError(f"{file} is no snapshot of a store: {_reason(error)}") from error


def read(file: Path) -> Contents:
    """Return what is alive in a snapshot. Raises SnapshotError."""
    check(file)
    with closing(_reading(file)) as connection:
        records = [
            Record(key, value, id_ // MAX_WRITES, created, lease)
            for key, value, id_, created, lease in connection.execute(_LIVE)
        ]
        return Contents(records, dict(connection.execute("SELECT id, expires_at FROM leases")))


def check(file: Path) -> Summary:
    """Return what a snapshot holds after reading all of it. Raises SnapshotError: it is damaged."""
    summary = look(file)
    faults = check_file(file)
    if faults:
        raise SnapshotError(f"{file} is damaged: {faults[0]}")
    return summary


def stage(file: Path, store: Path) -> Summary:
    """Check a snapshot and lay it beside ``store``: it takes the store's place when that is opened next.

    Raises SnapshotError.
    """
    return stage_at(file, _staged(store))


def stage_at(file: Path, staged: Path) -> Summary:
    """Check a snapshot and copy it to where somebody looks for it. Raises SnapshotError."""
    summary = check(file)
    draft = staged.with_name(f"{staged.name}.part")
    try:
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, draft)
        draft.chmod(0o600)
        _settle(draft, staged)
    except OSError as error:
        raise SnapshotError(f"cannot write {draft}: {_reason(error)}") from error
    return summary


def take_staged(store: Path, acknowledged: int = 0) -> None:
    """Let a staged snapshot take the store's place; the old store stays as ``<store>.before-restore``.

    ``acknowledged``: a revision that the old store had reached, whatever is left of it. The caller holds the
    store's lock. Raises OSError, sqlite3.Error.
    """
    staged = _staged(store)
    if not staged.exists():
        return
    old = acknowledged
    if store.exists():
        # Damaged, or not for us to read: the leap has to do.
        with suppress(sqlite3.Error, SnapshotError), closing(_reading(store)) as connection:
            old = max(old, _revision(connection))
    with closing(sqlite3.connect(staged, isolation_level=None)) as connection:
        upkeep.leap(connection, max(old, _revision(connection)) + LEAP)
    before = store.with_name(f"{store.name}.before-restore")
    for end in ("", *_BESIDE):
        Path(f"{before}{end}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            os.rename(f"{store}{end}", f"{before}{end}")
    _settle(staged, store)


def _staged(store: Path) -> Path:
    return store.with_name(f"{store.name}.restore")


def _reading(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=5)


def _revision(connection: sqlite3.Connection) -> int:
    meta = upkeep.read_meta(connection)
    if meta.get("format", 1) > upkeep.FORMAT:
        raise SnapshotError("it was written by a newer release")
    (newest,) = connection.execute("SELECT max(id) FROM log").fetchone()
    return max((newest or 0) // MAX_WRITES, meta.get("compacted", 0), FIRST_REVISION)


def _settle(draft: Path, target: Path) -> None:
    """Give a finished file its name, durably."""
    _sync(draft)
    os.replace(draft, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
