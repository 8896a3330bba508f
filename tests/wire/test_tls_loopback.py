"""TLS of the server: real handshakes and bytes on loopback."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import weakref
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki, tls
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import Server, ServerLimits, serve
from tiphys.wire.tls import RECORD_BYTES

DEADLINE_S = 60
NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
PAIR = pki.issue_server(CA, "server", ["127.0.0.1", "localhost"], NOW)
LARGE = bytes(range(256)) * 20_000


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=CA.certificate.decode())


class App:
    """Answers by path."""

    def __init__(self) -> None:
        self.streamed = 0
        self.closed = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        if request.path == "/large":
            return Response(200, {}, LARGE)
        if request.path == "/parts":
            return Response(200, {}, [b"<", LARGE, b">"])
        if request.path == "/flood":
            return Response(200, {}, stream=self._flood())
        if request.path == "/upgrade":
            return Response(101, {"Upgrade": "echo"}, upgrade=self._echo)
        return Response(200, {}, request.body or b"hello")

    async def _flood(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.streamed += 1
                yield bytes(RECORD_BYTES)
        finally:
            self.closed.set()

    async def _echo(self, raw: ByteStream) -> None:
        while data := await raw.read():
            await raw.write(data)
        self.closed.set()


@contextlib.asynccontextmanager
async def running(app: App, limits: ServerLimits | None = None) -> AsyncIterator[Server]:
    async with asyncio.timeout(DEADLINE_S):
        context = pki.server_context(PAIR, None)
        async with serve(app, ssl_context=context, limits=limits) as server:
            yield server


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context())


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: here", *lines, "", ""]).encode()


async def read_body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(length))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def converse(server: Server) -> None:
    reader, writer = await connect(server)
    writer.write(get("/hello") + get("/large") + get("/parts") + get("/hello", "Connection: close"))
    assert await read_body(reader) == b"hello"
    assert await read_body(reader) == LARGE
    assert await read_body(reader) == b"<" + LARGE + b">"
    assert await read_body(reader) == b"hello"
    assert await reader.read() == b""  # our end came in order
    await close(writer)


async def test_pipelined_requests_with_large_answers() -> None:
    async with running(App()) as server:
        await converse(server)


def fetch(port: int) -> bytes:
    """Talk as other people's clients do: blocking, and to the end."""
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
        client_context().wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(get("/parts") + get("/large", "Connection: close"))
        parts = []
        while data := sock.recv(1 << 20):
            parts.append(data)
        return b"".join(parts)


def test_large_answers_on_uvloop() -> None:
    async def main() -> bytes:
        async with running(App()) as server:
            return await asyncio.to_thread(fetch, server.port)

    answer = uvloop.run(main())
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"<" + LARGE + b">HTTP/1.1" in answer
    assert answer.endswith(LARGE)


async def test_a_large_request_arrives_whole() -> None:
    body = bytes(range(256)) * 8000
    async with running(App()) as server:
        reader, writer = await connect(server)
        writer.write(b"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert await read_body(reader) == body
        await close(writer)


async def flooded(app: App, server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for much and reads nothing, until the server waits for it."""
    reader, writer = await connect(server)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(get("/flood"))
    held = -1
    while held != app.streamed or not all(one._paused for one in server.connections):
        held = app.streamed
        for _ in range(5):
            await asyncio.sleep(0)
    return reader, writer


async def test_a_slow_reader_holds_a_stream_back_and_then_reads_on() -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await flooded(app, server)
        held = app.streamed
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        while app.streamed == held:  # what lies in buffers between them comes first, and may be megabytes
            assert await reader.read(1 << 16)
        writer.transport.abort()
        await app.closed.wait()


async def test_who_takes_nothing_is_cut_off_and_who_takes_something_is_not() -> None:
    app = App()
    async with running(app) as server:
        _, writer = await flooded(app, server)
        (connection,) = server.connections
        begun = server.tick
        for seconds, unsent, closing in ((1, -1, False), (20, -1, False), (28, 0, False), (30, 0, True)):
            connection._unsent += unsent  # -1: as if it had taken a byte since the last sweep
            connection.sweep(begun + seconds, idle_s=99, read_s=99, stall_s=9)
            assert connection._transport.is_closing() is closing
        writer.transport.abort()


async def test_an_upgraded_connection_ends_with_the_peers_end() -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await connect(server)
        writer.write(get("/upgrade", "Connection: Upgrade", "Upgrade: echo"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        await close(writer)
        await app.closed.wait()
        await until(lambda: not server.connections)


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with running(App(), ServerLimits(max_body_bytes=10)) as server:
        reader, writer = await connect(server)
        writer.write(b"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n" + bytes(500_000))
        assert b"413 Request Entity Too Large" in await reader.readuntil(b"\r\n\r\n")
        await close(writer)


async def test_who_shakes_no_hands_does_not_keep_others_waiting() -> None:
    async with running(App()) as server:
        silent, first = await asyncio.open_connection("127.0.0.1", server.port)
        reader, second = await connect(server)
        second.write(get("/hello"))
        assert await read_body(reader) == b"hello"
        ((handshake,),) = [one._shaking for one in server._listeners]  # type: ignore[union-attr]
        handshake.drop()  # its time is up
        assert await silent.read() == b""
        await close(first)
        await close(second)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"Client sent an HTTP request to an HTTPS server.\n"),
        (b"\x00\x01nonsense, and more of it\r\n", b""),
    ],
    ids=["plain HTTP", "nonsense"],
)
async def test_what_is_no_tls(sent: bytes, answer: bytes) -> None:
    async with running(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        seen = b""
        with contextlib.suppress(ConnectionError):
            seen = await reader.read()
        assert seen.partition(b"\r\n\r\n")[2] == answer
        await close(writer)


async def test_stopping_drops_unfinished_handshakes() -> None:
    async with running(App()) as server:
        silent, writer = await asyncio.open_connection("127.0.0.1", server.port)
        (listener,) = server._listeners
        await until(lambda: bool(listener._shaking))  # type: ignore[union-attr]
        await server.stop()
        assert await silent.read() == b""
        await close(writer)
        listener.close()


async def test_renegotiation_is_off() -> None:
    context = pki.server_context(PAIR, None)
    async with serve(App(), ssl_context=context):
        assert context.options & ssl.OP_NO_RENEGOTIATION


async def test_old_tls_is_refused_and_1_2_is_served() -> None:
    async with running(App()) as server:
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(get("/large", "Connection: close"))
        assert await read_body(reader) == LARGE
        assert await reader.read() == b""
        await close(writer)


def test_one_read_takes_a_whole_record() -> None:
    """Nothing may stay inside OpenSSL, where no poll would tell of it."""
    from tiphys.wire import server

    assert server._READ_BYTES >= tls.RECORD_BYTES


async def test_handshakes_that_fail_are_counted() -> None:
    now = RealClock().now()
    pair = pki.issue_server(pki.make_ca("ca", now), "localhost", ["127.0.0.1"], now)

    async def handler(_request: Request) -> Response:
        return Response(200)

    async with asyncio.timeout(20), serve(handler, ssl_context=pki.server_context(pair, None)) as server:
        assert server.handshake_errors == 0
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"this is no handshake\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            await close(writer)
        assert server.handshake_errors == 2


@pytest.mark.parametrize(
    "path", ["/hello", "/flood", "/large", ""], ids=["idle", "stream", "unread", "half asked"]
)
@pytest.mark.parametrize("reset", [True, False])
async def test_nothing_of_a_connection_waits_for_the_collector(path: str, reset: bool) -> None:
    gc.disable()
    try:
        async with running(App()) as server:
            reader, writer = await connect(server)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode() if path else b"GET /hel")
            while not (path or server.connections):  # noqa: ASYNC110
                await asyncio.sleep(0)
            if path:
                await reader.readexactly(1)
            (connection,) = server.connections
            left = weakref.ref(connection)
            del connection
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                await close(writer)
            while left() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()
