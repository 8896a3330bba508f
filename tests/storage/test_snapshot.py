"""Snapshots: taken under load, put back, refused, and what a crash leaves in between."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from tiphys.cmd.snapshot import snapshot
from tiphys.ctl import state
from tiphys.ctl.layout import Cluster
from tiphys.storage import snapshot as snapshots
from tiphys.storage.base import Compacted, Delete, Put, StoreUnavailable
from tiphys.storage.check import check_file
from tiphys.storage.snapshot import LEAP, SnapshotError, look, save, stage
from tiphys.storage.sqlite import SqliteStore


async def with_store(path: Path, *values: bytes) -> None:
    """Make a store whose one key has had these values."""
    store = SqliteStore(path)
    await store.open()
    for value in values:
        await store.commit([Put("/a", value)])
    await store.close()


async def test_a_snapshot_under_load_has_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    store = SqliteStore(path)
    await store.open()
    done: list[str] = []

    async def write(worker: int) -> None:
        for number in range(150):
            key = f"/{worker}/{number}"
            await store.commit([Put(key, b"x" * 500), Put("/hot", key.encode())])
            done.append(key)

    writing = [asyncio.create_task(write(worker)) for worker in range(4)]
    async with store.watch("/hot", start_revision=40) as stream:
        await anext(stream)
    before = list(done)
    found = await asyncio.to_thread(save, path, file)
    await asyncio.gather(*writing)
    await store.close()
    assert check_file(file) == []
    assert found == look(file)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("saved.db.")]

    stage(file, tmp_path / "other" / "store.db")
    restored = SqliteStore(tmp_path / "other" / "store.db")
    await restored.open()
    records = {record.key: record for record in (await restored.range("/")).records}
    assert before
    assert set(before) <= set(records)
    assert len(records) == found.keys
    assert max(record.mod_revision for record in records.values()) == found.revision
    await restored.close()
    assert check_file(tmp_path / "other" / "store.db") == []


async def test_no_revision_that_anyone_saw_comes_back(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"1", b"2")
    save(path, file)
    await with_store(path, b"later", b"last")
    stage(file, path)
    store = SqliteStore(path)
    await store.open()
    assert store.revision == 5 + LEAP
    assert (await store.get("/a")).value == b"2"
    for old in (3, 5, store.revision - 1):
        with pytest.raises(Compacted):
            await store.get("/a", revision=old)
        with pytest.raises(Compacted):
            async with store.watch("/", start_revision=old):
                pass
    assert (await store.range("/", revision=store.revision)).count == 1
    assert await store.commit([Delete("/a", expect=3)]) == 6 + LEAP
    await store.compact(store.revision)
    await store.close()
    assert check_file(path) == []
    assert look(tmp_path / "store.db.before-restore").revision == 5


async def test_restoring_twice_leaps_twice(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"1")
    save(path, file)
    for _ in range(2):
        stage(file, path)
        await with_store(path)
    assert look(path).revision == 2 + 2 * LEAP


@pytest.mark.parametrize("loss", ["gone", "damaged"])
async def test_the_old_store_may_be_lost(tmp_path: Path, loss: str) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"1")
    save(path, file)
    if loss == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\0" * 8192)
    stage(file, path)
    await with_store(path)
    assert look(path).revision == 2 + LEAP


@pytest.mark.parametrize("renames", range(4))
async def test_a_crash_while_a_snapshot_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"old")
    save(path, file)
    await with_store(path, b"new")
    (tmp_path / "store.db-wal").write_bytes(b"")
    stage(file, path)
    replace, calls = os.replace, []

    def failing(source: object, target: object) -> None:
        calls.append(source)
        if len(calls) > renames:
            raise OSError(5, "Input/output error")
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", failing)
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        await with_store(path)
    monkeypatch.undo()
    await with_store(path)
    assert look(path).revision >= 3 + LEAP
    assert check_file(path) == []
    store = SqliteStore(path)
    await store.open()
    assert (await store.get("/a")).value == b"old"
    await store.close()


async def test_refusals(tmp_path: Path) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"1" * 50_000)
    save(path, file)
    (tmp_path / "text").write_text("no database" * 500)
    with pytest.raises(SnapshotError, match="is no snapshot of a store: file is not a database"):
        stage(tmp_path / "text", path)
    with pytest.raises(SnapshotError, match="is no snapshot of a store"):
        look(tmp_path / "none")
    with pytest.raises(SnapshotError, match=r"cannot save .* No such file or directory"):
        save(path, tmp_path / "none" / "saved.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE log SET prev_rev = 7")
        connection.commit()
    with pytest.raises(SnapshotError, match="is damaged: /a at 2"):
        stage(file, path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
        connection.commit()
    with pytest.raises(SnapshotError, match="newer release"):
        stage(file, path)
    assert not [name for name in os.listdir(tmp_path) if ".restore" in name]


async def test_a_full_disk_leaves_no_half_of_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    await with_store(path, b"1")
    save(path, file)
    before = file.read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots, "_sync", full)
    with pytest.raises(SnapshotError, match="No space left on device"):
        save(path, file)
    assert file.read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith("saved.db.")]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(snapshot, [str(argument) for argument in arguments])
    return result.exit_code, result.output


async def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, file = tmp_path / "store.db", tmp_path / "saved.db"
    store = SqliteStore(path)
    await store.open()
    await store.commit([Put("/a", b"1")])
    told = await asyncio.to_thread(run, "save", file, "--store", path)
    assert (told[0], told[1][:-1].partition(": ")[2]) == (
        0,
        f"revision 2, 1 keys, {file.stat().st_size} bytes",
    )
    assert run("status", file)[1].startswith(f"{file}: revision 2, 1 keys")
    await store.commit([Put("/b", b"2")])
    code, text = await asyncio.to_thread(run, "restore", file, "--store", path)
    assert code == 0
    assert "is in use: the API server takes the snapshot when it starts next" in text
    assert await store.get("/b") is not None
    await store.close()
    await with_store(path)
    assert look(path).keys == 1
    code, text = run("restore", file, "--store", path)
    assert (code, "in use" in text) == (0, False)
    assert look(path).revision == 3 + 2 * LEAP
    assert (
        run("save", file, "--store", tmp_path / "none")[1]
        == f"Error: there is no store at {tmp_path / 'none'}\n"
    )


async def test_a_cluster_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    folder = tmp_path / "blue"
    folder.mkdir()
    state.save(Cluster("blue", 3, folder, 1, outbound=False, store="sqlite"))
    await with_store(folder / "store.db", b"1")
    assert run("save", tmp_path / "saved.db", "--name", "blue")[0] == 0
    assert run("save", tmp_path / "x", "--name", "red")[1] == "Error: no cluster 'red'\n"
    assert run("restore", tmp_path / "saved.db", "--name", "blue")[0] == 0
    assert look(folder / "store.db").revision == 2 + LEAP
