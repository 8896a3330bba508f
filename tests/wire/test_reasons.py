"""Why a connection failed, in Go's words."""

import asyncio
import errno
import os
import socket
import ssl

import pytest

from tiphys.wire import client
from tiphys.wire.reasons import reason_of


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.com ESMTP\r\n"])
async def test_a_peer_that_speaks_no_tls(said: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    context = ssl.create_default_context()
    async with asyncio.timeout(60), await asyncio.start_server(speak, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(client.ConnectFailed) as caught:
            await client.send("127.0.0.1", port, "GET", "/", {}, ssl_context=context)
    assert reason_of(caught.value) == "tls: first record does not look like a TLS handshake"
    assert reason_of(caught.value, of_client=True) == "http: server gave HTTP response to HTTPS client"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "dial tcp: lookup h.example: no such host",
        ),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
            "dial tcp: lookup h.example: server misbehaving",
        ),
        (errno.ECONNREFUSED, "dial tcp h.example:1: connect: connection refused"),
        (errno.EHOSTUNREACH, "dial tcp h.example:1: connect: no route to host"),
        (errno.ENETUNREACH, "dial tcp h.example:1: connect: network is unreachable"),
        (errno.ETIMEDOUT, "dial tcp h.example:1: connect: connection timed out"),
    ],
)
def test_nobody_is_reached(cause: Exception | int, text: str) -> None:
    if isinstance(cause, int):
        cause = OSError(cause, os.strerror(cause))
    error = client.ConnectFailed(f"dial tcp h.example:1: {cause}")
    error.__cause__ = cause
    assert reason_of(error) == text


async def test_what_is_no_name_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_args: object, **_more: object) -> None:
        "h..".encode("idna")

    monkeypatch.setattr(client, "dial", refused)
    with pytest.raises(client.ConnectFailed) as caught:
        await client.send("h..", 1, "GET", "/", {})
    assert reason_of(caught.value) == "dial tcp: lookup h..: no such host"


async def test_what_cannot_be_said_in_a_head() -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(client.ConnectFailed):
            await client.send("127.0.0.1", port, "GET", "/\u03a9", {})
