"""Outgoing connections: every byte arrives, whatever the ends do; failures are the caller's to read."""

import asyncio
import gc
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvloop

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import client, pki
from tiphys.wire.client import ConnectFailed, send
from tiphys.wire.dial import dial
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import Server, serve
from tiphys.wire.tls_handshake import Handshake

DEADLINE_S = 60
NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
PAIR = pki.issue_server(CA, "server", ["127.0.0.1"], NOW)
LARGE = bytes(range(256)) * 16_000
UPGRADE = {"Connection": "Upgrade", "Upgrade": "raw"}


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=CA.certificate.decode())


async def talk(stream: ByteStream) -> None:
    """Say a lot, then end at once."""
    await stream.write(LARGE)


async def echo(stream: ByteStream) -> None:
    while data := await stream.read():
        await stream.write(data)


async def app(request: Request) -> Response:
    return Response(101, UPGRADE, upgrade=talk if request.path == "/talk" else echo)


@asynccontextmanager
async def serving(*, tls: bool) -> AsyncIterator[Server]:
    context = pki.server_context(PAIR, None) if tls else None
    async with asyncio.timeout(DEADLINE_S), serve(app, ssl_context=context) as server:
        yield server


async def upgraded(server: Server, path: str, *, tls: bool) -> ByteStream:
    context = trusting() if tls else None
    answer = await send("127.0.0.1", server.port, "GET", path, UPGRADE, ssl_context=context)
    assert answer.status == 101
    return answer.raw


async def slowly(stream: ByteStream) -> bytes:
    """Read with many turns of the loop between reads, so that the end is there long before the reader."""
    parts = []
    while data := await stream.read():
        parts.append(data)
        for _ in range(5):
            await asyncio.sleep(0)
    return b"".join(parts)


async def write_forever(stream: ByteStream) -> None:
    while True:
        await stream.write(LARGE)
        await asyncio.sleep(0)


async def last_bytes(*, tls: bool) -> None:
    async with serving(tls=tls) as server:
        stream = await upgraded(server, "/talk", tls=tls)
        await asyncio.sleep(0.05)  # the server has said all and ended by now; the reader has not begun
        assert await slowly(stream) == LARGE
        await stream.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_slow_reader_gets_all_that_was_said_before_the_end(tls: bool) -> None:
    uvloop.run(last_bytes(tls=tls))


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
async def test_both_ways(tls: bool) -> None:
    async with serving(tls=tls) as server:
        stream = await upgraded(server, "/echo", tls=tls)
        got = bytearray()
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.write(LARGE))
            while len(got) < len(LARGE):
                got += await stream.read()
        assert bytes(got) == LARGE
        await stream.close()
        await stream.close()
        with pytest.raises(ConnectionError):
            await stream.write(b"more")


async def test_an_unknown_authority_is_told() -> None:
    async with serving(tls=True) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await dial("127.0.0.1", server.port, ssl_context=ssl.create_default_context())
        context = ssl.create_default_context()
        with pytest.raises(ConnectFailed, match=r"dial tcp 127\.0\.0\.1:\d+: .*certificate verify failed"):
            await send("127.0.0.1", server.port, "GET", "/", {}, ssl_context=context)


async def test_an_address_with_colons_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the header ``Host``, and in what is said where nobody listens."""
    asked = []

    async def said(request: Request) -> Response:
        asked.append(request.headers["host"])
        return Response(200, {}, b"")

    async with asyncio.timeout(DEADLINE_S), serve(said) as server:

        async def elsewhere(_host: str, port: int, **_options: Any) -> ByteStream:
            return await dial("127.0.0.1", port)

        monkeypatch.setattr(client, "dial", elsewhere)
        answer = await send("fd00::1", server.port, "GET", "/", {})
        await answer.close()
        assert asked == [f"[fd00::1]:{server.port}"]

    async def refused(*_where: Any, **_options: Any) -> ByteStream:
        raise ConnectionRefusedError

    monkeypatch.setattr(client, "dial", refused)
    with pytest.raises(ConnectFailed, match=r"^dial tcp \[fd00::1\]:1: "):
        await send("fd00::1", 1, "GET", "/", {})


async def test_the_certificate_may_be_for_another_name() -> None:
    async with serving(tls=True) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            await dial("127.0.0.1", server.port, ssl_context=trusting(), server_name="web.default.svc")
        stream = await dial("127.0.0.1", server.port, ssl_context=trusting(), server_name="127.0.0.1")
        await stream.close()


@pytest.mark.parametrize("context", [None, trusting()], ids=["plain", "tls"])
async def test_nobody_listens(context: ssl.SSLContext | None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await dial("127.0.0.1", taken.getsockname()[1], ssl_context=context)


async def test_a_peer_that_never_shakes_hands() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TimeoutError):
            await dial("127.0.0.1", silent.getsockname()[1], ssl_context=trusting(), timeout_s=0.05)


async def test_a_peer_that_goes_while_it_is_written_to() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with asyncio.timeout(DEADLINE_S), server:
        stream = await dial("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(ConnectionError):
            await write_forever(stream)
        assert await stream.read() == b""
        await stream.close()


async def test_told_to_stop_in_the_turn_in_which_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLSocket] = []
    dialing: asyncio.Task[object]

    class Unlucky(Handshake):
        def __init__(self, loop: Any, sock: ssl.SSLSocket, limit_s: float, ended: Any) -> None:
            def stopped(handshake: Handshake, shaken: ssl.SSLSocket | None) -> None:
                ended(handshake, shaken)
                dialing.cancel()

            made.append(sock)
            super().__init__(loop, sock, limit_s, stopped)

    monkeypatch.setattr("tiphys.wire.dial.Handshake", Unlucky)
    async with serving(tls=True) as server:
        dialing = asyncio.ensure_future(dial("127.0.0.1", server.port, ssl_context=trusting()))
        with pytest.raises(asyncio.CancelledError):
            await dialing
    assert [sock.fileno() for sock in made] == [-1]


@contextmanager
def silent_peer() -> Iterator[int]:
    """A peer that shakes hands, and neither says anything nor ends before it is let go."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        over = threading.Event()

        def attend() -> None:
            plain, _ = listening.accept()
            with pki.server_context(PAIR, None).wrap_socket(plain, server_side=True):
                over.wait(DEADLINE_S)

        attending = threading.Thread(target=attend)
        attending.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            attending.join()


def test_a_loop_that_ends_before_the_peer_does_leaves_nothing_open(recwarn: pytest.WarningsRecorder) -> None:
    async def talk_briefly(port: int) -> None:
        stream = await dial("127.0.0.1", port, ssl_context=trusting())
        await stream.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    gc.freeze()  # what is there already would take a second to look through
    with silent_peer() as port:
        asyncio.run(talk_briefly(port))
    gc.collect()
    gc.unfreeze()
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
    if before:
        assert len(os.listdir("/proc/self/fd")) <= len(before)
