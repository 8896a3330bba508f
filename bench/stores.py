"""Row: how long commits to a SQLite store take, at rest and while a long history is compacted."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

from tiphys.storage.base import Put
from tiphys.storage.sqlite import SqliteStore

Row = dict[str, object]
_KEYS = 2_000
_HISTORY = 40_000
_VALUE = os.urandom(2_000)
_WRITERS = 8
_PAUSE_S = 0.01
_SECONDS = 4.0
_DISK_BYTES = 16 * 1024 * 1024


async def _fill(store: SqliteStore) -> None:
    for first in range(0, _HISTORY, 200):
        keys = (f"/registry/configmaps/{number % _KEYS}" for number in range(first, first + 200))
        await asyncio.gather(*(store.commit([Put(key, _VALUE)]) for key in keys))


async def _measured(store: SqliteStore, while_: Awaitable[object]) -> Row:
    """Commit at a steady pace while something happens; gives percentiles of the time a commit took."""
    took: list[float] = []
    ending = asyncio.Event()

    async def write(worker: int) -> None:
        number = worker
        while not ending.is_set():
            began = time.perf_counter()
            await store.commit([Put(f"/registry/configmaps/{number % _KEYS}", _VALUE)])
            took.append(time.perf_counter() - began)
            number += _WRITERS
            await asyncio.sleep(_PAUSE_S)

    writing = [asyncio.create_task(write(worker)) for worker in range(_WRITERS)]
    began = time.perf_counter()
    await while_
    lasted = time.perf_counter() - began
    ending.set()
    await asyncio.gather(*writing)
    return {"commits": len(took), "seconds": round(lasted, 2), **_spread(took)}


def _spread(took: list[float]) -> Row:
    took.sort()
    points = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    row: Row = {name: round(took[int(len(took) * part)] * 1e3, 2) for name, part in points.items()}
    return {**row, "max_ms": round(took[-1] * 1e3, 2)}


def _disk(folder: str) -> Row:
    """Overwrite a file with what a batch of commits writes, and sync: as fast as a commit can be."""
    batch = os.urandom(_WRITERS * 8192)
    took: list[float] = []
    handle = os.open(Path(folder, "disk"), os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(handle, bytes(_DISK_BYTES), 0)
        os.fsync(handle)
        ending = time.perf_counter() + _SECONDS
        while (began := time.perf_counter()) < ending:
            os.pwrite(handle, batch, len(took) * len(batch) % (_DISK_BYTES - len(batch)))
            os.fdatasync(handle)
            took.append(time.perf_counter() - began)
            time.sleep(_PAUSE_S)
    finally:
        os.close(handle)
    return {"syncs": len(took), **_spread(took)}


async def commit_latency() -> AsyncIterator[Row]:
    """Milliseconds a commit takes: with nothing else going on, and while 40,000 versions are compacted.

    Before and after them, what the disk itself takes: a commit cannot be faster, nor steadier.
    """
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
        yield {"row": "commit_latency", "while": "the disk alone", **_disk(folder)}
        path = Path(folder, "store.db")
        store = SqliteStore(path)
        await store.open()
        await _fill(store)
        yield {"row": "commit_latency", "while": "nothing", **await _measured(store, asyncio.sleep(_SECONDS))}
        before = _sizes(path)
        row = await _measured(store, store.compact(store.revision))
        sizes = _sizes(path)
        await store.close()
        yield {"row": "commit_latency", "while": "compaction", **row, "mb_before": before, "mb_after": sizes}
        yield {"row": "commit_latency", "while": "the disk alone", **_disk(folder)}


def _sizes(path: Path) -> dict[str, float]:
    """Return the size of the file and of the log before it, in MB."""
    files = {"file": path, "wal": path.with_name(f"{path.name}-wal")}
    return {name: round(file.stat().st_size / 1e6, 1) for name, file in files.items()}
