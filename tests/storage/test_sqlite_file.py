"""Batches on their way into the file: however many rows share a statement, what is written is the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiphys.storage import sqlite_file
from tiphys.storage.base import Event, Record, StoreUnavailable
from tiphys.storage.sqlite_file import LeaseChange, SqliteFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    made = SqliteFile(tmp_path / "store.db")
    made.open()
    yield made
    made.close()


def put(revision: int, value: bytes = b"{}", *, key: str = "", lease: int = 0) -> Event:
    return Event(Record(key or f"/k/{revision}", value, revision, revision, lease), False, None)


def deletion(revision: int, of: Record) -> Event:
    return Event(Record(of.key, of.value, revision, of.create_revision, of.lease), True, of)


def statements(file: SqliteFile) -> list[str]:
    """Return a list that grows by the first word of every statement that writes."""
    seen: list[str] = []
    assert file._writer is not None
    file._writer.set_trace_callback(lambda text: seen.append(text.split(None, 1)[0]))
    return seen


SIZES = st.lists(st.integers(0, 90_000), min_size=1, max_size=150)


@given(sizes=SIZES, deleted=st.integers(2, 9))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_arrives_once_and_in_order(tmp_path: Path, sizes: list[int], deleted: int) -> None:
    path = tmp_path / "property.db"
    for left in (path, Path(f"{path}.lock")):
        left.unlink(missing_ok=True)
    file = SqliteFile(path)
    file.open()
    events: list[Event] = []
    for at, size in enumerate(sizes):
        revision = at + 2
        event = put(revision, b"x" * size, lease=at % 3)
        if at and at % deleted == 0 and not events[-1].deleted:
            event = deletion(revision, events[-1].record)
        events.append(event)
    file.append(events)
    assert file.history("", 0, len(sizes) + 2, 1 << 30) == events
    file.close()


@pytest.mark.parametrize("count", [1, 2, 3, 31, 33, 64])
def test_a_batch_is_one_statement(file: SqliteFile, count: int) -> None:
    seen = statements(file)
    file.append([put(revision) for revision in range(2, count + 2)])
    assert seen == ["INSERT"]
    assert file.newest() == count + 1


@pytest.mark.parametrize(
    ("sizes", "inserts"),
    [([1] * 65, 2), ([200_000, 200_000], 2), ([1_500_000] * 3, 3), ([100] * 300, 5)],
    ids=["rows", "bytes", "each too big to share", "many"],
)
def test_a_larger_batch_is_one_transaction(file: SqliteFile, sizes: list[int], inserts: int) -> None:
    seen = statements(file)
    file.append([put(revision, b"x" * size) for revision, size in enumerate(sizes, 2)])
    assert seen == ["BEGIN", *["INSERT"] * inserts, "COMMIT"]


def test_leases_are_written_with_the_rows_or_alone(file: SqliteFile) -> None:
    file.append([put(2, lease=1)], [LeaseChange(1, 50.0)])
    file.append([], [LeaseChange(2, 60.0)])
    file.append([], [LeaseChange(1, None)])
    assert file._reader is not None
    assert file._reader.execute("SELECT id, expires_at FROM leases").fetchall() == [(2, 60.0)]
    assert file.newest() == 2


@pytest.mark.parametrize("count", [2, 100])
def test_of_a_batch_that_fails_nothing_is_written(file: SqliteFile, count: int) -> None:
    events = [put(revision) for revision in range(2, count + 2)]
    with pytest.raises(StoreUnavailable, match="UNIQUE constraint failed"):
        file.append([*events, put(2)])
    assert file.newest() == 0
    file.append(events)
    assert file.newest() == count + 1


def test_few_statements_are_prepared(file: SqliteFile) -> None:
    sqlite_file._insertion.cache_clear()
    revision = 2
    for count in range(1, 65):
        file.append([put(revision + at) for at in range(count)])
        revision += count
    assert sqlite_file._insertion.cache_info().currsize == 7
