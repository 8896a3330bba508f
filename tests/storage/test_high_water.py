"""A SQLite file that holds less than was acknowledged is told of; nothing is acknowledged into a lost one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tiphys.storage.base import Put, StoreUnavailable
from tiphys.storage.high_water import HighWater
from tiphys.storage.snapshot import LEAP, look, save, stage
from tiphys.storage.sqlite import SqliteStore


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def copied(folder: Path) -> Path:
    """Return the copy of a store under way: some writes are in the file, the newest in its log only."""
    store = await opened(folder / "served" / "store.db")
    await store.commit([Put("/a", b"1")])
    store._file.checkpoint()
    for number in range(3):
        await store.commit([Put("/a", b"%d" % number)])
    shutil.copytree(folder / "served", folder / "left")
    await store.close()
    return folder / "left" / "store.db"


async def killed(folder: Path) -> Path:
    """Return such a store as a kill leaves it, at its own place."""
    path = await copied(folder)
    handle = os.open(f"{path}.lock", os.O_RDWR)
    acknowledged = HighWater(handle)
    acknowledged.note(5)
    acknowledged.close()
    os.close(handle)
    return path


def lose_log(store: Path) -> None:
    store.with_name("store.db-wal").unlink(missing_ok=True)


def cut_log(store: Path) -> None:
    os.truncate(store.with_name("store.db-wal"), 0)


def lose_all_but_lock(store: Path) -> None:
    lose_log(store)
    store.unlink()


def empty(store: Path) -> None:
    lose_log(store)
    os.truncate(store, 0)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lose_log, "it ends at revision 2, and revision 5 had been acknowledged"),
        (cut_log, "it ends at revision 2, and revision 5 had been acknowledged"),
        (lose_all_but_lock, "it is gone, and revision 5 had been acknowledged"),
        (empty, "it ends at revision 1, and revision 5 had been acknowledged"),
    ],
)
async def test_a_file_that_lacks_writes_is_refused_until_somebody_says_so(
    tmp_path: Path, loss: Callable[[Path], None], told: str
) -> None:
    path = await killed(tmp_path)
    loss(path)
    for _ in range(2):  # the first refusal changes nothing
        with pytest.raises(StoreUnavailable, match=told):
            await opened(path)
    os.unlink(f"{path}.lock")
    store = await opened(path)
    await store.commit([Put("/b", b"")])
    await store.close()
    await (await opened(path)).close()


async def test_of_a_copy_nothing_was_promised(tmp_path: Path) -> None:
    path = await copied(tmp_path)
    lose_log(path)
    store = await opened(path)
    assert store.revision == 2
    await store.commit([Put("/b", b"")])
    await store.close()
    lose_all_but_lock(path)
    with pytest.raises(StoreUnavailable, match="it is gone, and revision 3 had been acknowledged"):
        await opened(path)


async def test_a_log_that_is_put_back_brings_the_writes_back(tmp_path: Path) -> None:
    path = await killed(tmp_path)
    log = path.with_name("store.db-wal")
    kept = log.read_bytes()
    log.unlink()
    with pytest.raises(StoreUnavailable, match="writes are missing"):
        await opened(path)
    log.write_bytes(kept)
    store = await opened(path)
    assert store.revision == 5
    await store.close()


async def test_a_file_from_before_there_were_notes_is_opened(tmp_path: Path) -> None:
    path = await killed(tmp_path)
    os.truncate(f"{path}.lock", 0)
    store = await opened(path)
    assert store.revision == 5
    await store.close()


async def test_a_snapshot_takes_the_place_of_a_lost_file_beyond_all_that_was_told(tmp_path: Path) -> None:
    path = await killed(tmp_path)
    save(path, tmp_path / "saved.db")
    for turn in (1, 2):
        stage(tmp_path / "saved.db", path)
        store = await opened(path)
        await store.commit([Put("/new", b"")])
        await store.close()
        path.write_bytes(b"")  # nobody can read there how far it had come
        assert look(tmp_path / "saved.db").revision == 5
        assert store.revision == 5 + turn + turn * LEAP


@pytest.mark.parametrize("ending", ["", "-wal"])
async def test_nothing_is_acknowledged_into_a_file_that_was_taken_away(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    await store.commit([Put("/a", b"1")])
    await store._look_for_file()
    await store.commit([Put("/a", b"2")])
    os.rename(f"{path}{ending}", tmp_path / "elsewhere")
    await store._look_for_file()
    with pytest.raises(StoreUnavailable, match=f"store.db{ending} was taken away under the server"):
        await store.commit([Put("/a", b"3")])
    if ending:  # the file has it all: even a kill would lose nothing now
        shutil.copy(path, tmp_path / "copy.db")
        assert look(tmp_path / "copy.db").revision == 3
    await store.close()


def test_the_number_survives_and_a_short_file_has_none(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        first = HighWater(handle)
        assert first.revision == 0
        first.note(1 << 62)
        first.close()
        again = HighWater(handle)
        assert again.revision == 1 << 62
        again.close()
    finally:
        os.close(handle)
