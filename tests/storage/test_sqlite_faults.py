"""What goes wrong under a SQLite store: disks, clocks, versions; and what upkeep does with time and space."""

import asyncio
import errno
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.base import Compacted, Delete, Event, Put, StoreUnavailable
from tiphys.storage.check import check_file
from tiphys.storage.retention import Mark, Marks, Retention
from tiphys.storage.sqlite import SqliteStore
from tiphys.storage.sqlite_upkeep import Step
from tiphys.storage.upkeep import Pace, next_size


async def opened(path: Path, **options: object) -> SqliteStore:
    store = SqliteStore(path, **options)  # type: ignore[arg-type]
    await store.open()
    return store


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let writes beyond a length fail, as an I/O error does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_io_error_is_told_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    heard: list[Event] = []
    store.subscribe(heard.extend)
    await store.commit([Put("/a", b"1")])
    with files_no_longer_than((tmp_path / "store.db-wal").stat().st_size + 5000):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"cannot write .*: disk I/O error"):
                await store.commit([Put("/big", b"x" * 50_000)])
        assert (await store.get("/a")).value == b"1"
        assert await store.get("/big") is None
        assert len(await store.history("/", 2, 2)) == 1
    assert await store.commit([Put("/b", b"2")]) == 3
    await store.close()
    assert [event.record.key for event in heard] == ["/a", "/b"]
    assert check_file(path) == []
    store = await opened(path)
    assert [record.key for record in (await store.range("/")).records] == ["/a", "/b"]
    await store.close()


async def test_compaction_and_checkpoints_outlive_an_io_error(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path, pace=Pace(checkpoint_bytes=1 << 40))
    for number in range(30):
        await store.commit([Put("/a", b"%d" % number * 500)])
    with files_no_longer_than(4096):
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            await store.compact(20)
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            await store._upkeep.checkpoint()
    await store.compact(25)
    await store.commit([Put("/b", b"")])
    await store._upkeep.checkpoint()
    await store.close()
    assert check_file(path) == []


async def test_a_write_that_failed_after_all_was_done_is_taken_over(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    heard: list[int] = []
    store.subscribe(lambda events: heard.extend(event.record.mod_revision for event in events))
    append = store._file.append

    def lying(*batch: object) -> None:
        append(*batch)  # type: ignore[arg-type]
        raise StoreUnavailable("cannot write: lost")

    store._file.append = lying  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.commit([Put("/a", b"1", expect=0)])
    store._file.append = append  # type: ignore[method-assign]
    assert await store.commit([Put("/a", b"2", expect=2)]) == 3
    assert heard == [2, 3]
    await store.close()


async def test_what_was_missed_and_cannot_be_taken_over_stops_the_store(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    append = store._file.append

    def lying(*batch: object) -> None:
        append(*batch)  # type: ignore[arg-type]
        raise StoreUnavailable("cannot write: lost")

    store._file.append = lying  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.commit([Put("/a", b"1")])
    store.subscribe(lambda events: 1 / 0)  # type: ignore[arg-type, return-value]
    for _ in range(2):
        async with asyncio.timeout(60):
            with pytest.raises(StoreUnavailable, match="the store has stopped"):
                await store.commit([Put("/b", b"1")])
    await store.close()


async def test_reading_history_from_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    for number in range(40):
        await store.commit([Put(f"/{number}", b"x" * 3000)])
    await store._upkeep.checkpoint()
    os.truncate(path, 8192)
    with pytest.raises(StoreUnavailable, match="cannot read"):
        await store.history("/", 2, 40)
    assert (await store.get("/3")).value == b"x" * 3000
    await store.close()


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.EROFS, "Read-only file system"), (errno.EACCES, "Permission denied")],
    ids=["read-only", "forbidden"],
)
async def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreUnavailable, match=f"cannot open .*store.db: {text}"):
        await opened(tmp_path / "store.db")


async def test_a_file_of_a_newer_release_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await opened(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 9 WHERE name = 'format'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="newer release"):
        await opened(path)
    assert path.read_bytes() == before


async def test_a_file_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    for number in range(10):
        await store.commit([Put("/a", b"%d" % number)])
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE marks; DELETE FROM meta; INSERT INTO meta VALUES ('compacted', 5);"
        )
    store = await opened(path)
    with pytest.raises(Compacted):
        await store.get("/a", revision=4)
    await store.compact(9)
    assert store._file._read("SELECT count(*) FROM log", ()) == [(3,)]
    await store.close()
    assert check_file(path) == []


# -- retention


def shifted(clock: FakeClock, **by: float) -> FakeClock:
    """Return the clock after a restart: steady seconds begin anew, the time of day is off by so much."""
    return FakeClock(clock.now() + timedelta(**by))


@pytest.mark.parametrize(
    ("away", "compacted"),
    [
        pytest.param({"seconds": 5}, 0, id="young"),
        pytest.param({"seconds": 40}, 2, id="the oldest is too old now"),
        pytest.param({"days": 9}, 3, id="all of it is"),
        pytest.param({"days": -9}, 0, id="the clock was set back"),
    ],
)
async def test_history_keeps_its_age_over_a_restart(
    tmp_path: Path, away: dict[str, float], compacted: int
) -> None:
    path, clock, retention = tmp_path / "store.db", FakeClock(), Retention(age_s=100)
    store = await opened(path, clock=clock, retention=retention)
    for _ in range(2):
        await store.commit([Put("/a", b"")])
        await store.retain()
        clock.advance(50)
    clock.advance(-10)
    await store.close()
    store = await opened(path, clock=shifted(clock, **away), retention=retention)
    await store.retain()
    assert store._upkeep.compacted == compacted
    await store.close()


async def test_history_keeps_its_size_over_a_restart(tmp_path: Path) -> None:
    path, retention = tmp_path / "store.db", Retention(size_bytes=5000)
    for _ in range(5):
        store = await opened(path, retention=retention)
        await store.commit([Put("/a", b"x" * 2000)])
        await store.retain()
        await store.close()
    assert store._upkeep.compacted == 3
    assert check_file(path) == []


def test_marks_stay_few() -> None:
    marks = Marks(Retention(age_s=3600, size_bytes=1000))
    kept = [second for second in range(7200) if marks.note(Mark(second + 2, float(second), 0))]
    assert len(kept) == 720
    assert not marks.note(Mark(kept[-1] + 2, 1e6, 0)), "nothing was written since"
    assert marks.due(7200, 0) == kept[360] + 2


@pytest.mark.parametrize("kept", [0, 4], ids=["puts", "and deletions"])
async def test_compaction_leaves_what_is_alive(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    for number in range(40):
        await store.commit([Put(f"/{number % 8}", b"%d" % number), Put(f"/n/{number}", b"")])
        if kept and number % 8 > kept:
            await store.commit([Delete(f"/{number % 8}"), Delete(f"/n/{number}")])
    middle = store.revision - 11
    at_middle = (await store.range("/", revision=middle)).records
    later = await store.history("/", middle + 1, store.revision)
    await store.compact(middle)
    assert (await store.range("/", revision=middle)).records == at_middle
    assert await store.history("/", middle + 1, store.revision) == later
    await store.compact(store.revision)
    live = (await store.range("/")).records
    assert store._file._read("SELECT count(*) FROM log", ()) == [(len(live),)]
    await store.close()
    assert check_file(path) == []


async def test_compaction_goes_in_steps_between_which_others_write(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db", pace=Pace(pause_s=0))
    steps: list[int] = []
    step = store._file.compact_step
    store._file.compact_step = lambda size: steps.append(store.revision) or step(size)  # type: ignore[method-assign, func-returns-value]
    for number in range(200):
        await store.commit([Put(f"/{number % 3}", b"x" * 5000)])
    compacting = asyncio.create_task(store.compact(store.revision))
    while not compacting.done():
        await store.commit([Put("/other", b"")])
    await compacting
    assert len(steps) > 3
    assert len(set(steps)) > 1, "nobody wrote in between"
    await store.close()


async def test_what_is_freed_is_not_written_once_more(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db", pace=Pace(checkpoint_bytes=1 << 40, pause_s=0))
    for number in range(100):
        await store.commit([Put("/a", b"%d" % number * 20_000)])
    pages, copied = store._file.checkpoint()
    assert copied == pages > 500
    store._file.checkpoint = lambda: (0, 0)  # type: ignore[method-assign]
    await store.compact(store.revision)
    written, _ = store._file.finish_checkpoint()
    assert 0 < written < pages / 5
    await store.close()


@pytest.mark.parametrize(
    ("size", "took_s", "following"),
    [
        pytest.param(100, 0.0021, 95, id="a little long"),
        pytest.param(400, 0.020, 40, id="ten times as long"),
        pytest.param(20, 1.0, 16, id="never nothing"),
        pytest.param(100, 0.0015, 100, id="as meant"),
        pytest.param(100, 0.0005, 200, id="short"),
        pytest.param(400, 0.0005, 512, id="never too much"),
    ],
)
def test_the_size_of_steps_follows_their_time(size: int, took_s: float, following: int) -> None:
    assert next_size(size, took_s, 0.002) == following


async def test_a_step_moves_few_pages_at_once(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db", pace=Pace(checkpoint_bytes=1 << 40, pause_s=0))
    for number in range(100):
        await store.commit([Put("/a", b"%d" % number * 20_000)])
    step, moved = store._file.compact_step, []

    def noted(size: int) -> Step:
        done = step(512)
        moved.append(done.pages)
        return done

    store._file.compact_step = noted  # type: ignore[method-assign]
    await store.compact(store.revision)
    await store.close()
    assert sum(moved) > 500
    assert max(moved) == 64


async def test_the_file_shrinks_while_the_store_serves(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path, pace=Pace(pause_s=0))
    for number in range(60):
        await store.commit([Put(f"/{number % 3}", b"%d" % number * 40_000)])
    await store._upkeep.checkpoint()
    before = path.stat().st_size
    await store.compact(store.revision)
    assert before > 3_000_000 > 1_800_000 > path.stat().st_size
    assert await store.commit([Put("/after", b"")]) == 62
    await store.close()
    assert check_file(path) == []


async def test_a_write_ahead_log_that_was_long_is_cut(tmp_path: Path) -> None:
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    store = await opened(path, pace=Pace(checkpoint_bytes=1 << 40))
    for number in range(25):
        await store.commit([Put("/a", b"%d" % (number % 10) * 1_000_000)])
    assert wal.stat().st_size > 20_000_000
    await store._upkeep.checkpoint()
    await store.commit([Put("/b", b"")])
    assert wal.stat().st_size == Pace().wal_pages * 4096
    await store.close()


async def test_the_log_before_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    store = await opened(path, pace=Pace(checkpoint_bytes=200_000, wal_pages=100, wal_bytes=800_000))
    sizes: list[int] = []

    async def write(worker: int) -> None:
        for number in range(150):
            await store.commit([Put(f"/{worker}/{number}", b"x" * 4000)])
            sizes.append(wal.stat().st_size)

    await asyncio.gather(*(write(worker) for worker in range(4)))
    await store.close()
    assert max(sizes) < 2_000_000  # of some 7 MB written
    assert check_file(path) == []


@pytest.mark.parametrize("broken", [False, True])
async def test_writers_wait_for_a_checkpoint_that_cannot_keep_up(tmp_path: Path, *, broken: bool) -> None:
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    store = await opened(path, pace=Pace(checkpoint_bytes=1 << 40, wal_bytes=300_000))
    finish, calls = store._file.finish_checkpoint, 0

    def counted() -> tuple[int, int]:
        nonlocal calls
        calls += 1
        if broken:
            raise StoreUnavailable("no space left")
        return finish()

    store._file.finish_checkpoint = counted  # type: ignore[method-assign]
    for number in range(100):
        await store.commit([Put(f"/{number}", b"x" * 8000)])
    assert calls >= 2
    size = wal.stat().st_size
    assert size > 1_000_000 if broken else size < 700_000
    await store.close()
    assert check_file(path) == []


async def test_checkpoints_of_the_usual_pace_are_small(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    loop, copied = asyncio.get_running_loop(), asyncio.Event()
    checkpoint = store._file.checkpoint

    def told() -> tuple[int, int]:
        result = checkpoint()
        loop.call_soon_threadsafe(copied.set)
        return result

    store._file.checkpoint = told  # type: ignore[method-assign]
    for number in range(6):
        await store.commit([Put(f"/{number}", b"x" * 1_000_000)])
        if number % 3 == 2:
            async with asyncio.timeout(60):
                await copied.wait()
            copied.clear()
    await store.close()


async def test_every_task_of_the_store_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.storage.sqlite._HOUSEKEEPING_S", 0)
    store = await opened(tmp_path / "store.db", pace=Pace(checkpoint_bytes=1))
    failures = iter([True] * 3)
    done = asyncio.Event()

    def failing(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object) -> object:
            if next(failures, False):
                raise StoreUnavailable("no space left")
            store_loop.call_soon_threadsafe(done.set)
            return call(*arguments)

        return wrapped

    store_loop = asyncio.get_running_loop()
    store._file.add_mark = failing(store._file.add_mark)  # type: ignore[method-assign, assignment]
    store._file.checkpoint = failing(store._file.checkpoint)  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(60):
        while not done.is_set():
            await store.commit([Put("/a", b"")])
    assert not any(task.done() for task in store._tasks)
    await store.close()
