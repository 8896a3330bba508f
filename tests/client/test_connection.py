"""Connections against a scripted server on loopback: framing, reuse, deadlines, faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tiphys.client import connection as connections
from tiphys.client.connection import Address, Connection, Pool, Unanswered

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok"
CLOSE = b"close"
"""At the end of an answer: so does the connection."""


class Scripted:
    """Answers requests, of any connection, one after the other from a script of byte strings."""

    def __init__(self, script: list[bytes]) -> None:
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.done = asyncio.Event()
        self.connections = 0
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._script:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                self.asked.set()
                answer = self._script.pop(0)
                writer.write(answer.removesuffix(CLOSE))
                await writer.drain()
                if answer.endswith(CLOSE):
                    return
            await self.done.wait()  # keep quiet, but stay
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*script: bytes) -> AsyncIterator[tuple[Scripted, Pool]]:
    """A server that follows the script, and a pool of connections to it."""
    server = Scripted(list(script))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    pool = Pool(Address("127.0.0.1", listening.sockets[0].getsockname()[1]), 5.0)
    try:
        async with asyncio.timeout(10):
            yield server, pool
    finally:
        server.done.set()
        pool.close()
        listening.close()


async def fetch(pool: Pool, *, bodyless: bool = False, timeout_s: float = 5.0) -> tuple[int, bytes]:
    connection = await pool.take()
    try:
        body = await connection.fetch(REQUEST, timeout_s, bodyless=bodyless)
        return connection.status, body
    finally:
        pool.give(connection)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
ANSWERS = {
    "length": (OK, (200, b"ok"), True),
    "nothing": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", (404, b""), True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), True),
    "chunked": (CHUNKED, (200, b"abcde"), True),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok"), True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), False),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nall of itclose", (200, b"all of it"), False),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name: str) -> None:
    script, expected, reused = ANSWERS[name]
    async with scripted(script, OK) as (server, pool):
        assert await fetch(pool) == expected
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == (1 if reused else 2)
        assert server.requests == [REQUEST, REQUEST]


async def test_repeated_headers_are_joined() -> None:
    async with scripted(OK) as (_, pool):
        connection = await pool.take()
        await connection.fetch(REQUEST, 5)
        assert connection.headers == {"content-length": "2", "x-a": "1, 2"}
        pool.give(connection)


async def test_answers_in_single_bytes() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(_Transport())
    waiting = asyncio.ensure_future(connection.fetch(REQUEST, 5))
    await asyncio.sleep(0)
    for at in range(len(CHUNKED)):
        connection.data_received(CHUNKED[at : at + 1])
    assert await waiting == b"abcde"
    assert connection.reusable


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.paused = self.aborted = False

    def write(self, data: object) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def test_a_head_has_no_body() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", OK) as (server, pool):
        assert await fetch(pool, bodyless=True) == (200, b"")
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == 2


FAULTS = {
    "no answer": (b"close", ConnectionResetError),
    "half a head": (b"HTTP/1.1 200 OK\r\nContclose", ConnectionResetError),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalfclose", ConnectionResetError),
    "half a chunk": (CHUNKED[:50] + CLOSE, ConnectionResetError),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", ConnectionError),
    "silence": (b"HTTP/1.1 200 OK\r\n", TimeoutError),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_faults_end_the_connection(name: str) -> None:
    script, error = FAULTS[name]
    async with scripted(script, OK) as (server, pool):
        with pytest.raises(error) as raised:
            await fetch(pool, timeout_s=0.05 if error is TimeoutError else 5)
        assert not isinstance(raised.value, Unanswered)
        if error is not TimeoutError:
            assert await fetch(pool) == (200, b"ok")
            assert server.connections == 2


@pytest.mark.parametrize("script", [OK, CHUNKED], ids=["length", "chunked"])
async def test_answers_have_the_size_that_is_wanted(script: bytes) -> None:
    most = 5 if script is CHUNKED else 2
    async with scripted(script, script, OK) as (server, pool):
        connection = await pool.take()
        assert await connection.fetch(REQUEST, 5.0, most_bytes=most)
        with pytest.raises(ConnectionError, match=f"the response is larger than {most - 1} bytes"):
            await connection.fetch(REQUEST, 5.0, most_bytes=most - 1)
        pool.give(connection)
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == 2, "what is left of it is nobody's answer"


async def test_a_kept_connection_that_ends_says_so() -> None:
    async with scripted(OK, b"close", OK) as (server, pool):
        await fetch(pool)
        with pytest.raises(Unanswered):
            await fetch(pool)
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == 2


async def test_an_answer_to_nothing_ends_the_connection() -> None:
    transport = _Transport()
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(transport)
    connection.data_received(OK)
    assert transport.aborted
    assert not connection.reusable


async def test_a_cancelled_caller_takes_its_connection_along() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n", OK) as (server, pool):
        waiting = asyncio.ensure_future(fetch(pool))
        await server.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == 2


async def test_idle_connections_grow_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(OK, OK, OK) as (server, pool):
        await fetch(pool)
        await fetch(pool)
        assert server.connections == 1
        monkeypatch.setattr(connections, "IDLE_S", 0.0)
        await fetch(pool)
        assert server.connections == 2


async def test_streams_are_read_as_they_come_and_used_again() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with scripted(head + b"3\r\nabc\r\n0\r\n\r\n", OK) as (server, pool):
        connection = await pool.take()
        await connection.start(REQUEST, 5)
        assert connection.status == 200
        body = b""
        while data := await connection.read(5):
            body += data
        assert body == b"abc"
        pool.give(connection)
        assert await fetch(pool) == (200, b"ok")
        assert server.connections == 1


async def test_what_was_left_of_a_stream_is_not_the_next_answer() -> None:
    async with scripted(CHUNKED, OK) as (_, pool):
        connection = await pool.take()
        await connection.start(REQUEST, 5)
        pool.give(connection)
        assert await fetch(pool) == (200, b"ok")


async def test_a_stream_that_nobody_read_leaves_nothing_behind() -> None:
    transport = _Transport()
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(transport)
    waiting = asyncio.ensure_future(connection.start(REQUEST, 5))
    await asyncio.sleep(0)
    connection.data_received(OK)
    await waiting
    again = asyncio.ensure_future(connection.fetch(REQUEST, 5))
    await asyncio.sleep(0)
    connection.data_received(OK)
    assert await again == b"ok"


async def test_a_silent_stream_times_out() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") as (_, pool):
        connection = await pool.take()
        await connection.start(REQUEST, 5)
        assert await connection.read(5) == b"abc"
        with pytest.raises(TimeoutError):
            await connection.read(0.02)
        assert not connection.reusable
        pool.give(connection)


async def test_an_unread_stream_makes_the_server_wait() -> None:
    transport = _Transport()
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(transport)
    waiting = asyncio.ensure_future(connection.start(REQUEST, 5))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
    await waiting
    connection.data_received(b"x" * connections.BUFFER_BYTES)
    assert not transport.paused
    connection.data_received(b"x")
    assert transport.paused
    assert len(await connection.read(5)) == connections.BUFFER_BYTES + 1
    assert not transport.paused


async def test_closing_ends_what_is_under_way() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n", OK) as (server, pool):
        waiting = asyncio.ensure_future(fetch(pool))
        await server.asked.wait()
        pool.close()
        with pytest.raises(ConnectionError):
            await waiting
        with pytest.raises(ConnectionError, match="closed"):
            await pool.take()


async def test_many_at_once() -> None:
    async with scripted(*[OK] * 50) as (server, pool):
        answers = await asyncio.gather(*(fetch(pool) for _ in range(20)))
        assert answers == [(200, b"ok")] * 20
        assert server.connections == 20
        await asyncio.gather(*(fetch(pool) for _ in range(20)))
        assert server.connections == 20
