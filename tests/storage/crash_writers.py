"""Run by ``test_crash``: forks, for each line on standard input, a process that writes until it is killed.

Forking from a parent that has imported everything makes a round cheap. A child reports on standard output:
its process id, ``a REVISION KEY`` for what was acknowledged to it, ``w REVISION KEY`` for what a watch
showed.
"""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any

from tiphys.storage.base import Compacted, Delete, Put
from tiphys.storage.retention import Retention
from tiphys.storage.sqlite import SqliteStore
from tiphys.storage.upkeep import Pace

WRITERS = 6


def tell(text: str) -> None:
    os.write(1, text.encode())


async def write(store: SqliteStore, run: str, worker: int) -> None:
    count = 0
    while True:
        key = f"/{run}/{worker}/{count}"
        hot = Put(f"/hot/{worker}", key.encode() * (1 + count % 200))
        revision = await store.commit([Put(key, key.encode() * 20, expect=0), hot])
        tell(f"a {revision} {key}\n")
        if count >= 3:
            await store.commit([Delete(f"/{run}/{worker}/{count - 3}")])
        count += 1


async def follow(store: SqliteStore) -> None:
    async with store.watch("/") as stream:
        async for events in stream:
            tell("".join(f"w {event.record.mod_revision} {event.record.key}\n" for event in events))


async def compact(store: SqliteStore) -> None:
    while True:
        await asyncio.sleep(0.005)
        if store.revision > 60:
            with suppress(Compacted):  # the retention went further, or nothing was written since
                await store.compact(store.revision - 50)


async def main(path: str, run: str) -> None:
    pace = Pace(pause_s=0.0005, checkpoint_bytes=60_000, wal_pages=40)
    store = SqliteStore(path, retention=Retention(size_bytes=20_000), pace=pace)
    await store.open()
    jobs: list[Any] = [write(store, run, worker) for worker in range(WRITERS)]
    async with asyncio.TaskGroup() as group:
        for job in [follow(store), compact(store), *jobs]:
            group.create_task(job)


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            tell(f"{os.getpid()}\n")
            asyncio.run(main(sys.argv[1], line.strip()))
        os.waitpid(child, 0)
        tell("end\n")
