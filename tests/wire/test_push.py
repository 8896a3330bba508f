"""Streams that write past their readers, and the connections that nobody looks at while they stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.outlet import NotNowError, Outlet
from tiphys.wire.server import Server, serve

DEADLINE_S = 60


class Pushed:
    """A stream that writes past its reader."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.outlet: Outlet | None = None

    def attach(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def __aiter__(self) -> "Pushed":
        return self

    async def __anext__(self) -> bytes:
        return await self.chunks.get()


class App:
    """Streams, pushes or upgrades, by path."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.pushed = Pushed()

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/upgrade":
            return Response(101, {"Upgrade": "echo"}, upgrade=self._listen)
        return Response(200, {}, stream=self.pushed if request.path == "/pushed" else self._endless())

    async def _endless(self) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async def _listen(self, raw: ByteStream) -> None:
        while await raw.read():
            pass


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[Server]:
    async with asyncio.timeout(DEADLINE_S), serve(app) as server:
        yield server


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: here", *lines, "", ""]).encode()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_stream_may_write_past_its_reader() -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/pushed"))
        await reader.readuntil(b"\r\n\r\n")
        outlet = app.pushed.outlet
        assert outlet is not None
        assert not outlet.anywhere  # the transport is the loop's
        write = outlet.writer(lambda: None)
        assert write is not None
        write(outlet.framed(b"one"))
        assert await reader.readexactly(8) == b"3\r\none\r\n"
        app.pushed.chunks.put_nowait(b"two")
        assert await reader.readexactly(8) == b"3\r\ntwo\r\n"
        (connection,) = server.connections
        connection.pause_writing()
        assert outlet.writer(lambda: None) is None
        with pytest.raises(NotNowError) as refused:
            write(outlet.framed(b"held"))
        assert not outlet.rescue(b"held", refused.value)  # it is the task's to send
        assert connection in server.timed
        connection.resume_writing()
        assert connection not in server.timed
        write(outlet.framed(b"six"))
        assert await reader.readexactly(8) == b"3\r\nsix\r\n"
        writer.transport.abort()
        await until(lambda: not server.connections)
        assert outlet.writer(lambda: None) is None


async def test_nothing_is_pushed_to_http_1_0() -> None:
    app = App()
    async with running(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /pushed HTTP/1.0\r\n\r\n")
        await until(lambda: bool(app.requests) and any(one._streaming for one in server.connections))
        assert app.pushed.outlet is None
        writer.transport.abort()


async def test_the_same_chunk_is_framed_once() -> None:
    server = Server(App())
    chunk = b"event"
    assert server.framed(chunk) is server.framed(chunk)
    assert server.framed(b"other") == b"5\r\nother\r\n"


async def test_who_streams_or_is_upgraded_is_not_looked_at_each_second() -> None:
    app = App()
    async with running(app) as server:
        pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        pairs[0][1].write(get("/endless"))
        pairs[1][1].write(get("/upgrade", "Connection: Upgrade", "Upgrade: echo"))
        for reader, _ in pairs[:2]:
            await reader.readuntil(b"\r\n\r\n")
        await until(lambda: len(server.connections) == 3 and len(server.timed) == 1)
        for _, writer in pairs:
            writer.transport.abort()
        await until(lambda: not server.connections and not server.timed)
