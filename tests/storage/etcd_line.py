"""A line to etcd that a test can cut, or have stand still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tiphys.storage.etcd import EtcdStore


class Line:
    """A TCP line to an etcd that can lose an answer, or be cut."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallow: Callable[[], bool] | None = None
        self.is_down = False
        self.moving = asyncio.Event()
        self.moving.set()

    async def open(self) -> str:
        """Listen; gives the URL of this end."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        pair = (writer, far_writer)
        self._pairs.add(pair)
        for source, target, answers in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, target, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while data := await source.read(65536):
                await self.moving.wait()
                if answers and self.swallow is not None and self.swallow():
                    self.swallow = None
                    self.cut()
                    return
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    def lead(self, url: str) -> None:
        """Lead to another etcd from now on."""
        self._port = int(url.rpartition(":")[2])
        self.cut()

    def cut(self) -> None:
        """Break every connection; new ones are let through unless ``is_down``."""
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()
        self._pairs.clear()

    async def close(self) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def opened(*urls: str, **options: Any) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(urls, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
