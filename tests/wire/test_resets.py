"""Clients that reset their connection, on the loop that servers run on: it is gone in the next turns."""

import asyncio
import gc
import socket
import ssl
import struct
import weakref
from typing import Any

import pytest
import uvloop

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.readable import Reader
from tiphys.wire.server import Server, ServerLimits, serve

DEADLINE_S = 30
LIMITS = ServerLimits(read_s=3600, idle_s=3600, handshake_s=3600)
NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
PAIR = pki.issue_server(CA, "server", ["127.0.0.1"], NOW)
HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
RECORD = b"x" * 16 * 1024
SENT = {
    "nothing": b"",
    "half a line": HEAD[:6],
    "half a head": HEAD,
    "head": HEAD + b"Content-Length: 100\r\n\r\n",
    "head that expects": HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 100\r\n\r\nhello",
    "many records": HEAD + b"Content-Length: 1000000\r\n\r\n" + 12 * RECORD,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "request": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
}


async def hello(request: Request) -> Response:
    return Response(200, {}, b"hello")


def connected(port: int, context: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock if context is None else context.wrap_socket(sock, server_hostname="127.0.0.1")


async def turns_until_gone(server: Server) -> None:
    while server.connections:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def reset_after(sent: bytes, *, tls: bool, protocol: str) -> None:
    """Have the server meet bytes and reset together, as nothing is read until both are there."""
    server_context = context = None
    if tls:
        server_context = pki.server_context(PAIR, None)
        server_context.set_alpn_protocols([protocol])
        context = ssl.create_default_context(cadata=CA.certificate.decode())
        context.set_alpn_protocols([protocol])
    async with asyncio.timeout(DEADLINE_S), serve(hello, ssl_context=server_context, limits=LIMITS) as server:
        sock = await asyncio.to_thread(connected, server.port, context)
        while not server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
        sock.sendall(sent)
        sock.close()
        await turns_until_gone(server)


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_reset_ends_the_connection_at_once(sent: bytes, tls: bool) -> None:
    uvloop.run(reset_after(sent, tls=tls, protocol="http/1.1"))


@pytest.mark.parametrize("size", [0, 10, 24, 39], ids=["nothing", "half the preface", "preface", "settings"])
def test_a_reset_ends_a_connection_of_http2_at_once(size: int) -> None:
    sent = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        + bytes([0, 1, 0, 1, 4, 0, 0])
    )
    uvloop.run(reset_after(sent[:size], tls=True, protocol="h2"))


def test_a_reset_ends_a_handshake_at_once() -> None:
    async def main() -> None:
        context = pki.server_context(PAIR, None)
        async with asyncio.timeout(DEADLINE_S), serve(hello, ssl_context=context, limits=LIMITS) as server:
            sock = await asyncio.to_thread(connected, server.port, None)
            (listener,) = server._listeners
            while not listener._shaking:  # type: ignore[union-attr]  # noqa: ASYNC110
                await asyncio.sleep(0)
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a client's first message
            sock.close()
            while not server.handshake_errors:  # noqa: ASYNC110
                await asyncio.sleep(0)

    uvloop.run(main())


class Forgetful:
    """A loop that lets go of a reader as libuv does, and calls what is due when told to."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.soon: list[tuple[Any, ...]] = []
        self.closed = False

    def add_reader(self, fd: int, call: Any) -> None:
        self.readers[fd] = call

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def call_soon(self, *call: Any) -> None:
        self.soon.append(call)

    def is_closed(self) -> bool:
        return self.closed

    def turn(self) -> None:
        while self.soon:
            call, *arguments = self.soon.pop(0)
            call(*arguments)


def test_who_was_forgotten_reads_again() -> None:
    loop, read = Forgetful(), []
    reader = Reader(loop, 7, lambda: read.append(1))  # type: ignore[arg-type]
    loop.readers[7]()
    loop.readers.clear()
    loop.turn()
    loop.readers[7]()
    assert read == [1, 1]
    reader.stop()
    loop.turn()
    assert (loop.readers, loop.soon) == ({}, [])


@pytest.mark.parametrize("closed", [True, False], ids=["closed loop", "stopped"])
def test_who_stopped_meanwhile_reads_no_more(closed: bool) -> None:
    loop = Forgetful()
    reader = Reader(loop, 7, list)  # type: ignore[arg-type]
    loop.closed = closed
    loop.readers.clear()
    assert bool(loop.soon) is not closed
    if not closed:
        reader.stop()
    loop.turn()
    assert not loop.readers


def test_a_reader_that_stopped_leaves_nothing_for_the_collector() -> None:
    class Owner:
        reader: Reader | None = None

        def ready(self) -> None: ...

    gc.disable()
    try:
        owner = Owner()
        owner.reader = Reader(Forgetful(), 7, owner.ready)  # type: ignore[arg-type]
        left = weakref.ref(owner)
        owner.reader.stop()
        owner.reader = None
        del owner
        assert left() is None
    finally:
        gc.enable()
