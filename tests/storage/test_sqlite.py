import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.base import Compacted, Delete, Put, StoreUnavailable
from tiphys.storage.check import check_file, check_log
from tiphys.storage.retention import Retention
from tiphys.storage.sqlite import SqliteStore


@asynccontextmanager
async def opened(path: Path, **options: object) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, **options)  # type: ignore[arg-type]
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    async with opened(path) as store:
        await store.commit([Put("/a", b"1")])
        await store.commit([Put("/a", b"2"), Put("/b", b"3")])
        await store.commit([Delete("/b")])
        before = (await store.range("/")).records
    assert check_file(path) == []
    async with opened(path) as store:
        assert store.revision == 4
        assert (await store.range("/")).records == before
        assert (await store.get("/b", revision=3)).value == b"3"
        assert await store.commit([Put("/c", b"")]) == 5


async def test_no_revision_is_used_twice_after_everything_was_compacted_away(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        await store.commit([Put("/a", b"1")])
        await store.commit([Delete("/a")])
        await store.compact(3)
    async with opened(tmp_path / "store.db") as store:
        assert store.revision == 3
        with pytest.raises(Compacted):
            await store.range("/", revision=2)


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db"):
        with pytest.raises(StoreUnavailable, match="is in use by another process"):
            await SqliteStore(tmp_path / "store.db").open()
    async with opened(tmp_path / "store.db"):
        pass


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        await SqliteStore(tmp_path / "store.db").open()


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        await store.commit([Put("/a", b"1")])
        writer = store._file._writer
        assert writer is not None
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        results = await asyncio.gather(
            *(store.commit([Put(f"/big/{n}", b"x" * 50_000)]) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(result, StoreUnavailable) for result in results)
        assert "no space left" in str(results[0])
        assert [r.key for r in (await store.range("/")).records] == ["/a"]
        assert store.revision == 2
        writer.execute("PRAGMA max_page_count = 1000000")
        assert await store.commit([Put("/b", b"2")]) == 3
    assert check_file(tmp_path / "store.db") == []


async def test_a_cancelled_writer_does_not_take_its_write_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        writing = asyncio.create_task(store.commit([Put("/a", b"1")]))
        await asyncio.sleep(0)
        writing.cancel()
        await store.commit([Put("/b", b"2")])
        assert [r.key for r in (await store.range("/")).records] == ["/a", "/b"]


async def test_concurrent_writes_share_a_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        calls = []
        append = store._file.append
        store._file.append = lambda events, leases: calls.append(len(events)) or append(events, leases)  # type: ignore[method-assign]
        await asyncio.gather(*(store.commit([Put(f"/{n}", b"")]) for n in range(100)))
    assert sum(calls) == 100
    assert len(calls) <= 3


async def test_a_failing_subscriber_stops_the_store_and_hangs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(60), opened(tmp_path / "store.db") as store:
        store.subscribe(lambda events: 1 / 0)  # type: ignore[arg-type, return-value]
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="the store has stopped"):
                await store.commit([Put("/a", b"1")])
    assert "store writer failed" in caplog.text


async def test_leases_survive_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "store.db", clock=clock) as store:
        lease = await store.grant_lease(60)
        await store.commit([Put("/a", b"", lease=lease)])
    clock.advance(30)
    async with opened(tmp_path / "store.db", clock=clock) as store:
        assert await store.grant_lease(5) > lease
        await store.expire_leases()
        assert await store.get("/a") is not None
        clock.advance(31)
        await store.expire_leases()
        assert await store.get("/a") is None


@pytest.mark.parametrize(
    ("retention", "oldest"),
    [(Retention(age_s=100, size_bytes=1 << 30), 3), (Retention(age_s=1e9, size_bytes=150), 5)],
    ids=["age", "size"],
)
async def test_retention(tmp_path: Path, retention: Retention, oldest: int) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "store.db", clock=clock, retention=retention) as store:
        await store.retain()
        for _ in range(6):
            clock.advance(30)
            await store.commit([Put("/a", b"x" * 100)])
            await store.retain()
        assert store._upkeep.compacted == oldest
        assert await store.get("/a", revision=oldest) is not None


async def test_compaction_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        for _ in range(100):
            await store.commit([Put("/a", os.urandom(20_000))])
        await store.compact(store.revision)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (1,)
    connection.close()
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(2 * 4096, "/a", 2, 0, 0, 0), (4 * 4096, "/a", 2, 2, 0, 0)], "revision 3 is missing"),
        ([(2 * 4096, "/a", 2, 0, 0, 0), (3 * 4096, "/a", 2, 1, 0, 0)], "follows 1"),
        ([(2 * 4096, "/a", 2, 0, 1, 1)], "deleted, but not there"),
        ([(2 * 4096, "/a", 2, 0, 0, 1)], "a put has one"),
        ([(2 * 4096 + 1, "/a", 2, 0, 0, 0)], "does not begin"),
        ([(2 * 4096, "/a", 2, 1, 0, 0)], "first version claims"),
    ],
)
def test_checker_finds(rows: list[tuple[object, ...]], fault: str) -> None:
    assert fault in "\n".join(check_log(rows, 0))
