"""Nothing acknowledged is lost: processes killed at random, and power lost at any byte."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiphys.storage.base import Compacted, Delete, Put
from tiphys.storage.check import check_file
from tiphys.storage.sqlite import SqliteStore
from tiphys.storage.upkeep import Pace

NEVER = Pace(checkpoint_bytes=1 << 60)


@contextmanager
def writers(path: Path) -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("crash_writers.py")
    nursery = subprocess.Popen(
        [sys.executable, str(script), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield nursery
    finally:
        nursery.kill()
        nursery.communicate()


def killed(nursery: subprocess.Popen[str], run: int, lines: int) -> list[list[str]]:
    """Let one child write, kill it after so many of its lines; gives all that it told."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"{run}\n")
    nursery.stdin.flush()
    child = int(nursery.stdout.readline())
    told = [nursery.stdout.readline() for _ in range(lines)]
    os.kill(child, signal.SIGKILL)
    while (line := nursery.stdout.readline()) != "end\n":
        told.append(line.removesuffix("end\n"))  # the last line may have been cut off
        if line != told[-1]:
            break
    return [line.split() for line in told if line.endswith("\n")]


async def examine(path: Path, acknowledged: dict[int, str], seen: dict[int, set[str]], newest: int) -> int:
    """Find all that was told, in the present or in the history; returns the newest revision."""
    assert check_file(path) == []
    store = SqliteStore(path)
    await store.open()
    try:
        oldest = max(1, store._upkeep.compacted)
        history = await store.history("/", oldest + 1, store.revision)
        assert store.revision >= max([newest, *acknowledged, *seen])
        revisions = sorted({event.record.mod_revision for event in history})
        assert revisions == list(range(oldest + 1, store.revision + 1))
        found: dict[int, set[str]] = {}
        for event in history:
            found.setdefault(event.record.mod_revision, set()).add(event.record.key)
        for revision, keys in seen.items():
            assert revision <= oldest or keys <= found[revision]
        for revision, key in acknowledged.items():
            assert revision <= oldest or key in found[revision]
        return store.revision
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("rounds", "seed"),
    [pytest.param(6, 1, id="few"), pytest.param(300, 2, id="many", marks=pytest.mark.slow)],
)
async def test_kill_nine_loses_nothing_acknowledged(tmp_path: Path, rounds: int, seed: int) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(seed)
    used: set[int] = set()
    newest = 0
    with writers(path) as nursery:
        for run in range(rounds):
            acknowledged: dict[int, str] = {}
            seen: dict[int, set[str]] = {}
            for kind, revision, key in killed(nursery, run, chance.randrange(1, 250)):
                if kind == "a":
                    assert int(revision) not in used, "a revision was used twice"
                    used.add(int(revision))
                    acknowledged[int(revision)] = key
                else:
                    seen.setdefault(int(revision), set()).add(key)
            assert min([newest + 1, *acknowledged]) > newest
            newest = await examine(path, acknowledged, seen, newest)
    assert len(used) > rounds


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, pace=NEVER)
    await store.open()
    return store


async def contents(path: Path) -> tuple[int, dict[str, bytes]]:
    """Check a file and read what it holds."""
    assert check_file(path) == []
    store = await opened(path)
    records = (await store.range("/")).records
    await store.close()
    return store.revision, {record.key: record.value for record in records}


class Machine:
    """A store on a disk that remembers each revision's state, and how much of the log was synced then."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.path = folder / "live" / "store.db"
        self.wal = folder / "live" / "store.db-wal"
        self._dark = folder / "dark"
        self._chance = chance
        self.states: dict[int, dict[str, bytes]] = {}
        self.synced: dict[int, int] = {}

    async def work(self, store: SqliteStore, writes: int) -> None:
        for number in range(writes):
            key = f"/{self._chance.randrange(8)}"
            value = self._chance.randbytes(self._chance.choice([20, 900, 9000]))
            if number % 7 == 6 and await store.get(key) is not None:
                await store.commit([Delete(key)])
            else:
                await store.commit([Put(key, value), Put("/always", b"%d" % number)])
            records = (await store.range("/")).records
            self.states[store.revision] = {record.key: record.value for record in records}
            self.synced[store.revision] = self.wal.stat().st_size

    async def after_power_loss(self, database: bytes, wal: bytes) -> int:
        """Start again from what the disk had; gives the revision, whose state must be whole."""
        shutil.rmtree(self._dark, ignore_errors=True)
        self._dark.mkdir()
        (self._dark / "store.db").write_bytes(database)
        (self._dark / "store.db-wal").write_bytes(wal)
        revision, found = await contents(self._dark / "store.db")
        assert found == self.states[revision]
        return revision


CASES = pytest.mark.parametrize(
    ("cuts", "seed"), [pytest.param(12, 1, id="few"), pytest.param(250, 2, id="many", marks=pytest.mark.slow)]
)


@CASES
async def test_power_lost_while_the_log_is_written(tmp_path: Path, cuts: int, seed: int) -> None:
    """Whatever of the log comes after the last sync may be there, half there, or garbage."""
    chance = random.Random(seed)
    machine = Machine(tmp_path, chance)
    store = await opened(machine.path)
    machine.states[1] = {}
    await machine.work(store, 30)
    database, wal = machine.path.read_bytes(), machine.wal.read_bytes()
    await store.close()
    for _ in range(cuts):
        acknowledged = chance.choice(list(machine.synced))
        kept = machine.synced[acknowledged]
        tail = bytearray(wal[kept : chance.randrange(kept, len(wal) + 1)])
        for at in range(0, len(tail), 512):
            if chance.random() < 0.2:
                tail[at : at + 512] = bytes(len(tail[at : at + 512]))
        assert await machine.after_power_loss(database, wal[:kept] + bytes(tail)) >= acknowledged
    for _ in range(cuts):  # a disk that lied about syncing loses the end, and nothing is half there
        await machine.after_power_loss(database, wal[: chance.randrange(machine.synced[2], len(wal))])


@CASES
async def test_power_lost_during_a_checkpoint(tmp_path: Path, cuts: int, seed: int) -> None:
    """Pages of the file reach the disk in any order; the log holds all of them until they are synced."""
    chance = random.Random(seed)
    machine = Machine(tmp_path, chance)
    store = await opened(machine.path)
    await machine.work(store, 10)
    await store._upkeep.checkpoint()
    await machine.work(store, 20)
    before, wal = machine.path.read_bytes(), machine.wal.read_bytes()
    await store._upkeep.checkpoint()
    after = machine.path.read_bytes()
    newest = store.revision
    for _ in range(cuts):
        mixed = b"".join(
            (after if chance.random() < 0.5 else before.ljust(len(after), b"\0"))[at : at + 4096]
            for at in range(0, len(after), 4096)
        )
        assert await machine.after_power_loss(mixed, wal) == newest
    await machine.work(store, 10)  # the log begins anew over the old one
    new = machine.wal.read_bytes()
    await store.close()
    assert new[:32] != wal[:32]
    for _ in range(cuts):
        cut = chance.randrange(len(wal))
        assert await machine.after_power_loss(after, new[:cut] + wal[cut:]) >= newest


@CASES
async def test_power_lost_during_compaction(tmp_path: Path, cuts: int, seed: int) -> None:
    """Steps of compaction are not synced: any number of them is lost, and done again."""
    chance = random.Random(seed)
    machine = Machine(tmp_path, chance)
    store = await opened(machine.path)
    await machine.work(store, 30)
    kept = machine.synced[store.revision]
    await store.compact(store.revision - 3)
    newest = store.revision
    database, wal = machine.path.read_bytes(), machine.wal.read_bytes()
    await store.close()
    assert len(wal) > kept
    for _ in range(cuts):
        cut = chance.randrange(kept, len(wal) + 1)
        assert await machine.after_power_loss(database, wal[:cut]) == newest
        again = await opened(tmp_path / "dark" / "store.db")
        try:
            await again.compact(newest - 3)
        except Compacted:
            await again._upkeep._sweep()
        assert len(await again.history("/", newest - 2, newest)) >= 3
        await again.close()
        assert check_file(tmp_path / "dark" / "store.db") == []


async def test_nothing_is_left_to_compact_after_a_crash_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    for number in range(20):
        await store.commit([Put("/a", b"%d" % number)])
    store._file.begin_compaction(20)
    await store.close()
    store = await opened(path)
    await store.commit([Put("/a", b"last")])
    await store.compact(22)
    rows = store._file._read("SELECT count(*) FROM log", ())
    await store.close()
    assert rows == [(1,)]


def test_the_writers_do_not_hang(tmp_path: Path) -> None:
    with writers(tmp_path / "store.db") as nursery:
        told = killed(nursery, 0, 30)
        assert {kind for kind, *_ in told} == {"a", "w"}
        assert asyncio.run(contents(tmp_path / "store.db"))[0] >= 2
