"""Records of large answers are collected: real TLS over a socket pair, whole servers with slow readers."""

import asyncio
import contextlib
import ctypes
import socket
import ssl
from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.wire.test_tls_loopback import DEADLINE_S, PAIR, client_context, connect, get, read_body

from tiphys.wire import gather, openssl, pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

SERVER_CONTEXT = pki.server_context(PAIR, None)
ANSWER = b"".join(b"%07d " % number for number in range(400_000))
"""3.2 MB of which no part is like another."""


@pytest.fixture
def ends() -> Iterator[tuple[Any, ssl.SSLSocket]]:
    """A connection: the inner object of its server's end, which does not block, and its client's end."""
    near, far = socket.socketpair()
    server = SERVER_CONTEXT.wrap_socket(near, server_side=True, do_handshake_on_connect=False)
    client = client_context().wrap_socket(far, server_hostname="localhost", do_handshake_on_connect=False)
    for end in (server, client):
        end.setblocking(False)
    left = {server, client}
    while left:
        for end in tuple(left):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                left.discard(end)
    client.settimeout(DEADLINE_S)
    yield cast(Any, server)._sslobj, client
    server.close()
    client.close()
    assert not gather._lent, "every buffer was given back"


def lend(session: Any) -> gather.Buffer:
    buffer = gather.lend(session)
    assert buffer is not None
    return buffer


def read_exactly(client: ssl.SSLSocket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size and (data := client.recv(65536)):
        parts += data
    return bytes(parts)


def test_records_wait_for_the_flush(ends: tuple[Any, ssl.SSLSocket]) -> None:
    session, client = ends
    session.write(b"before")
    buffer = lend(session)
    session.write(ANSWER[:100_000])
    assert buffer.pending() > 100_000
    assert client.recv(65536) == b"before"
    buffer.flush()
    assert buffer.pending() == 0
    assert read_exactly(client, 100_000) == ANSWER[:100_000]
    buffer.leave()
    session.write(b"after")
    assert client.recv(65536) == b"after"


def test_a_peer_that_does_not_read_makes_the_writer_wait(ends: tuple[Any, ssl.SSLSocket]) -> None:
    session, client = ends
    buffer = lend(session)
    with pytest.raises(ssl.SSLWantWriteError):
        session.write(ANSWER)
    with pytest.raises(ssl.SSLWantWriteError):
        buffer.flush()
    got = bytearray()
    sent = False
    while not sent or buffer.pending():
        got += client.recv(65536)
        with contextlib.suppress(ssl.SSLWantWriteError):
            if not sent:
                session.write(ANSWER)
                sent = True
            buffer.flush()
    got += read_exactly(client, len(ANSWER) - len(got))
    assert bytes(got) == ANSWER
    buffer.leave()


def test_a_peer_that_is_gone_is_noticed(ends: tuple[Any, ssl.SSLSocket]) -> None:
    session, client = ends
    buffer = lend(session)
    session.write(b"x" * 1000)
    client.close()
    with pytest.raises(ConnectionError):
        buffer.flush()
    buffer.leave()


def test_a_buffer_is_used_again_but_not_one_with_bytes_of_another(ends: tuple[Any, ssl.SSLSocket]) -> None:
    session, client = ends
    for word, flushed in ((b"first", True), (b"lost", False)):
        buffer = lend(session)
        session.write(word)
        if flushed:
            buffer.flush()
        buffer.leave()
        assert (buffer._bio in gather._free) is flushed
    assert client.recv(100) == b"first"


def test_so_many_have_one_and_the_others_do_without(
    ends: tuple[Any, ssl.SSLSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MAX_LENT", 1)
    session, _ = ends
    buffer = lend(session)
    assert gather.lend(session) is None
    buffer.leave()
    lend(session).leave()


def test_what_is_not_an_inner_object_of_ssl_is_left_alone() -> None:
    assert gather.lend(object()) is None


def test_a_python_that_is_not_known_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[Any, ssl.SSLSocket]
) -> None:
    monkeypatch.setattr(openssl, "_library", lambda: None)
    gather._library.cache_clear()
    try:
        assert gather.lend(ends[0]) is None
    finally:
        gather._library.cache_clear()


def test_keys_may_change_meanwhile(ends: tuple[Any, ssl.SSLSocket]) -> None:
    """The client asks for new keys: the answer to that, and what follows in new keys, keep their order."""
    session, client = ends
    inner = cast(Any, client)._sslobj
    connection = ctypes.c_void_p.from_address(id(inner) + object.__basicsize__ + 8)
    library = ctypes.CDLL(gather._library()._name)
    asked_too = 1
    assert library.SSL_key_update(connection, asked_too) == 1
    client.sendall(b"request")
    buffer = lend(session)
    session.write(ANSWER[:50_000])
    assert session.read(100) == b"request"
    session.write(ANSWER[50_000:90_000])
    buffer.flush()
    assert read_exactly(client, 90_000) == ANSWER[:90_000]
    buffer.leave()


async def answer(request: Request) -> Response:
    return Response(200, {}, ANSWER[int(request.path[1:]) :])


@pytest.mark.parametrize("most", [0, 1, gather.MAX_LENT], ids=["none", "one", "all"])
async def test_slow_and_fast_readers_all_get_their_bytes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Each asks twice at once; the slow ones stop reading until the fast ones are done."""
    monkeypatch.setattr(gather, "MAX_LENT", most)
    async with asyncio.timeout(DEADLINE_S), serve(answer, ssl_context=SERVER_CONTEXT) as server:

        async def ask(start: int, read: asyncio.Event) -> None:
            reader, writer = await connect(server)
            writer.write(get(f"/{start}") + get(f"/{start + 1}"))
            await read.wait()
            for first in (start, start + 1):
                assert await read_body(reader) == ANSWER[first:]
            writer.close()

        now, later = asyncio.Event(), asyncio.Event()
        now.set()
        slow = [asyncio.create_task(ask(start, later)) for start in range(2)]
        await asyncio.gather(*(ask(start, now) for start in range(10, 12)))
        later.set()
        await asyncio.gather(*slow)
    assert not gather._lent


async def test_readers_that_go_away_leave_no_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(DEADLINE_S), serve(answer, ssl_context=SERVER_CONTEXT) as server:
        _, writer = await connect(server)
        writer.write(get("/0"))
        while not gather._lent:  # noqa: ASYNC110
            await asyncio.sleep(0)
        writer.transport.abort()
        while server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not gather._lent


async def test_a_server_that_stops_takes_its_buffers_back() -> None:
    async with asyncio.timeout(DEADLINE_S):
        async with serve(answer, ssl_context=SERVER_CONTEXT, grace_s=0) as server:
            _, writer = await connect(server)
            writer.write(get("/0"))
            while not gather._lent:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not gather._lent
        writer.transport.abort()
