"""Streams that go out under a length: whole, cut, or broken off, over either protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.wire.http2.applications import Chunks
from tests.wire.http2.peer import Peer, settle
from tests.wire.test_server import CLOSE, DEADLINE_S, get, split

from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


class Source:
    """Answers with chunks, and notes how often their stream was closed."""

    def __init__(self, chunks: Sequence[bytes], length: int | None, status: int = 200) -> None:
        self._left = list(chunks)
        self._length = length
        self._status = status
        self.closed = 0

    async def __call__(self, request: Request) -> Response:
        if request.path == "/next":
            return Response(200, {}, b"next")
        return Response(self._status, {}, stream=self, length=self._length)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    async def aclose(self) -> None:
        self.closed += 1


async def talk(source: Source, *requests: bytes) -> bytes:
    """Return all that comes back, up to the end however it comes."""
    async with asyncio.timeout(DEADLINE_S), serve(source, grace_s=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"".join(requests))
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                got += data
        writer.close()
    return got


NEXT = get("/next", CLOSE)


@pytest.mark.parametrize("chunks", [[b"one", b"", b"two"], [b"onet", b"wo"]])
async def test_a_length_takes_the_place_of_chunks(chunks: list[bytes]) -> None:
    source = Source(chunks, 6)
    _, headers, rest = split(await talk(source, get("/"), NEXT))
    assert (headers["content-length"], "transfer-encoding" in headers) == ("6", False)
    assert rest.startswith(b"onetwoHTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"next")
    assert source.closed == 1


async def test_older_clients_keep_their_connection_where_the_length_is_known() -> None:
    old = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    _, headers, rest = split(await talk(Source([b"one"], 3), old, NEXT))
    assert (headers["content-length"], headers["connection"]) == ("3", "keep-alive")
    assert rest.endswith(b"next")


@pytest.mark.parametrize("chunks", [[b"onetwo"], [b"one", b"two"], [b"on", b"etwo", b"more"]])
async def test_what_is_longer_is_cut(chunks: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    source = Source(chunks, 3)
    _, _, rest = split(await talk(source, get("/long"), NEXT))
    assert rest.startswith(b"oneHTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"next")
    assert "stream is longer than its Content-Length path=/long" in caplog.text
    assert source.closed == 1


@pytest.mark.parametrize("chunks", [[], [b"on"]])
async def test_what_ends_early_breaks_the_connection_off(chunks: list[bytes]) -> None:
    source = Source(chunks, 3)
    got = await talk(source, get("/"), NEXT)
    assert b"next" not in got
    assert source.closed == 1


@pytest.mark.parametrize(
    ("method", "status", "length", "told"),
    [
        ("HEAD", 200, 3, "3"),
        ("HEAD", 200, None, None),
        ("GET", 204, None, None),
        ("GET", 204, 3, None),
        ("GET", 304, 3, None),
    ],
)
async def test_answers_without_a_body(method: str, status: int, length: int | None, told: str | None) -> None:
    source = Source([b"one"], length, status)
    _, headers, rest = split(await talk(source, get("/", method=method), NEXT))
    assert (headers.get("content-length"), headers.get("transfer-encoding")) == (told, None)
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"next")
    assert source.closed == 1


async def test_a_server_that_ends_leaves_no_part_that_looks_whole() -> None:
    waiting = Chunks()

    async def handle(request: Request) -> Response:
        return Response(200, {}, stream=waiting, length=6)

    peer = Peer(handle)
    stream_id = peer.ask()
    waiting.queue.put_nowait(b"one")
    await settle()
    peer.connection.end()
    await settle()
    answer = peer.answer(stream_id)
    assert (answer.body, answer.ended, answer.reset) == (b"one", False, ErrorCode.INTERNAL_ERROR)
    peer.lose()
    await settle()


@pytest.mark.parametrize(
    ("method", "status", "chunks", "told", "body", "ended", "reset"),
    [
        ("GET", 200, [b"one", b"two"], "6", b"onetwo", True, None),
        ("GET", 200, [b"onetwo", b"more"], "6", b"onetwo", True, None),
        ("GET", 200, [b"one"], "6", b"one", False, ErrorCode.INTERNAL_ERROR),
        ("HEAD", 200, [b"one"], "6", b"", True, None),
        ("GET", 304, [b"one"], None, b"", True, None),
    ],
)
async def test_over_http2(
    method: str,
    status: int,
    chunks: list[bytes],
    told: str | None,
    body: bytes,
    ended: bool,
    reset: int | None,
) -> None:
    source = Source(chunks, 6, status)
    peer = Peer(source)
    stream_id = peer.ask("/", method)
    while not source.closed:
        await settle()
    await settle()
    answer = peer.answer(stream_id)
    assert (answer.status, answer.headers.get("content-length")) == (status, told)
    assert (answer.body, answer.ended, answer.reset) == (body, ended, reset)
    peer.lose()
    await settle()
