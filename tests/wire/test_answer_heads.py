"""Heads of answers that are none, and notices before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tiphys.wire.client import ConnectFailed, NothingSaid, send

BROKEN = "net/http: HTTP/1.x transport connection broken: "
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def saying(said: bytes, *, stays: bool = False) -> AsyncIterator[int]:
    """Listen, and answer the first request of each connection so; ``stays``: the connection does."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        if stays:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"SSH-2.0-a\r\n", f'{BROKEN}malformed HTTP response "SSH-2.0-a"'),
        (b"\x15\x03\x01\x00\r\n", rf'{BROKEN}malformed HTTP response "\x15\x03\x01\x00"'),
        (b"GET / HTTP/1.1\r\n\r\n", f'{BROKEN}malformed HTTP status code "/"'),
        (b"HTTP/1.1 abc OK\r\n\r\n", f'{BROKEN}malformed HTTP status code "abc"'),
        (b"HTTP/1.1 20\r\n\r\n", f'{BROKEN}malformed HTTP status code "20"'),
        (b"HTTQ/1.1 200 OK\r\n\r\n", f'{BROKEN}malformed HTTP version "HTTQ/1.1"'),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 6 + OK, "net/http: too many 1xx informational responses"),
    ],
)
async def test_what_is_no_http(said: bytes, why: str) -> None:
    """It is told at once: who speaks something else may wait for more."""
    async with saying(said, stays=True) as port:
        with pytest.raises(ConnectFailed) as caught:
            await send("127.0.0.1", port, "GET", "/", {})
    assert str(caught.value) == f"GET 127.0.0.1:{port}: {why}"


async def test_half_a_head() -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nConte") as port:
        with pytest.raises(ConnectFailed) as caught:
            await send("127.0.0.1", port, "GET", "/", {})
    assert not isinstance(caught.value, NothingSaid)
    assert str(caught.value) == f"GET 127.0.0.1:{port}: {BROKEN}unexpected EOF"


@pytest.mark.parametrize(
    "notices",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
    ],
)
async def test_notices_are_no_answers(notices: bytes) -> None:
    async with saying(notices + OK) as port:
        answer = await send("127.0.0.1", port, "POST", "/", {}, body=b"x")
        assert (answer.status, await answer.read(), answer.header("link")) == (200, b"ok", "")
        await answer.close()
