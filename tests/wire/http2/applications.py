"""Handlers that tests of connections put behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests.wire.http2.peer import Peer

from tiphys.apimachinery.errors import NotFound
from tiphys.wire.message import Request, Response
from tiphys.wire.outlet import Outlet


class App:
    """A handler that waits until it is told, and notes what happens to it."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.told: dict[str, asyncio.Future[Response]] = {}
        self.done: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path.startswith("/now"):
            return Response(200, {}, request.path.encode())
        if request.path == "/missing":
            raise NotFound("no such thing")
        if request.path == "/broken":
            raise RuntimeError("broken")
        waiting = self.told[request.path] = asyncio.get_running_loop().create_future()
        try:
            response = await waiting
        except asyncio.CancelledError:
            self.cancelled.append(request.path)
            raise
        self.done.append(request.path)
        return response

    def tell(self, path: str, response: Response | None = None) -> None:
        self.told[path].set_result(response or Response(200, {}, path.encode()))


class Chunks:
    """A stream that is fed by hand."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.outlet: Outlet | None = None
        self.closed = False

    def attach(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.queue.get()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self.closed = True


def watching(count: int = 1, **options: Any) -> tuple[Peer, list[Chunks], list[int]]:
    streams: list[Chunks] = []

    async def handler(request: Request) -> Response:
        if request.path == "/now":
            return Response(200, {}, b"now")
        streams.append(Chunks())
        return Response(200, {"content-type": "application/json"}, stream=streams[-1])

    peer = Peer(handler, **options)
    return peer, streams, [peer.ask("/watch") for _ in range(count)]
