"""Websocket framing from the server's side: lengths, masks, fragments, control frames, nonsense."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire import websocket
from tiphys.wire.message import Request


class Feed:
    """A connection that reads what it was given and keeps what is written."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.written = b""

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.chunks = []


def client_frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"abcd") -> bytes:
    first = (0x80 if final else 0) | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    return head + mask + websocket.unmask(payload, mask)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_every_length_form(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    frame = client_frame(websocket.BINARY, payload[:size])
    feed = Feed(*(frame[at : at + 1000] for at in range(0, len(frame), 1000)))
    assert await websocket.WebSocket(feed).receive() == payload[:size]


async def test_fragments_are_joined_and_pings_answered_between() -> None:
    feed = Feed(
        client_frame(websocket.BINARY, b"a", final=False)
        + client_frame(websocket.PING, b"hi")
        + client_frame(websocket.CONTINUATION, b"b")
        + client_frame(websocket.CLOSE, struct.pack(">H", 1000))
    )
    socket = websocket.WebSocket(feed)
    assert await socket.receive() == b"ab"
    assert await socket.receive() is None
    assert feed.written == websocket.encode_frame(websocket.PONG, b"hi") + websocket.encode_frame(
        websocket.CLOSE, struct.pack(">H", 1000)
    )


NONSENSE = {
    "not masked": b"\x82\x01a",
    "reserved bits": b"\xf2\x81abcd\x00",
    "too large": b"\x82\xff" + (1 << 40).to_bytes(8, "big"),
}


@pytest.mark.parametrize("raw", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_is_our_error(raw: bytes) -> None:
    with pytest.raises(websocket.WebSocketError):
        await websocket.WebSocket(Feed(raw)).receive()


@given(st.binary(max_size=100))
async def test_any_bytes_give_a_message_or_our_error(raw: bytes) -> None:
    socket = websocket.WebSocket(Feed(raw))
    try:
        while await socket.receive() is not None:
            pass
    except websocket.WebSocketError:
        pass


def test_handshake_as_in_the_rfc() -> None:
    headers = {
        "upgrade": "websocket",
        "connection": "keep-alive, Upgrade",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    request = Request("GET", "/", headers={**headers, "sec-websocket-protocol": "v5.channel.k8s.io, v4"})
    assert websocket.is_websocket(request)
    assert websocket.offered_protocols(request) == ["v5.channel.k8s.io", "v4"]
    assert websocket.accept_headers(request, "v4")["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("connection", "asks"),
    [
        ("Upgrade", True),
        ("upgrade", True),
        ("keep-alive, Upgrade", True),
        ("Upgrade , keep-alive", True),
        ("keep-alive,upgrade", True),
        ("keep-alive", False),
        ("notupgrade", False),
        ("upgraded", False),
        ("", False),
    ],
)
def test_who_asks_for_a_websocket(connection: str, asks: bool) -> None:
    headers = {"upgrade": "WebSocket", "connection": connection, "sec-websocket-key": "a"}
    assert websocket.is_websocket(Request("GET", "/", "", headers, b"")) is asks


async def test_empty_fragments_are_not_kept() -> None:
    """There may be any number of them in a message, and each weighs less on the wire than in a list."""
    empty = client_frame(websocket.CONTINUATION, b"", final=False)
    feed = Feed(*([empty * 1000] * 50), client_frame(websocket.CONTINUATION, b"a"))
    socket = websocket.WebSocket(feed)
    tracemalloc.start()
    try:
        assert await socket.receive() == b"a"
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000


async def test_of_what_nobody_wants_nothing_is_kept() -> None:
    """Not of a message without an end either, be it as large as none that is wanted may be."""
    piece = client_frame(websocket.BINARY, b"x" * 1000, final=False)
    feed = Feed(*([piece] * 100), client_frame(websocket.PING, b"hi"), piece)
    await websocket.WebSocket(feed, max_message_bytes=2000).ignore()
    assert not feed.chunks
    assert feed.written == websocket.encode_frame(websocket.PONG, b"hi")
