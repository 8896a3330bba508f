"""Server side of RFC 6455 over a ``ByteStream``: handshake headers, messages both ways.

Control frames are answered here (ping, close); fragments are joined. Limits guard against a peer that
sends more than it may.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.wire.message import ByteStream, Request, Response

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_NORMAL: Final = 1000
_VERSION: Final = "13"
_UPGRADE: Final = re.compile(r"(?:^|,\s*)upgrade(?:$|\s*,)")


class WebSocketError(TiphysError):
    """The peer broke the protocol."""


def is_websocket(request: Request) -> bool:
    """Say whether a request asks for a websocket."""
    return _wants_websocket(request) and bool(request.headers.get("sec-websocket-key"))


def _wants_websocket(request: Request) -> bool:
    headers = request.headers
    return (
        headers.get("upgrade", "").lower() == "websocket"
        and _UPGRADE.search(headers.get("connection", "").lower()) is not None
    )


def refused_handshake(request: Request) -> Response | None:
    """Return what answers a request for a websocket that lacks what it takes; None for any other request."""
    if not _wants_websocket(request):
        return None
    if not request.headers.get("sec-websocket-key"):
        return Response(400, {}, b"mismatch challenge/response")
    if request.headers.get("sec-websocket-version") != _VERSION:
        return Response(400, {"Sec-WebSocket-Version": _VERSION}, b"missing or bad WebSocket Version")
    return None


def offered_protocols(request: Request) -> list[str]:
    """Return the subprotocols that the client offers, in its order."""
    text = request.headers.get("sec-websocket-protocol", "")
    return [part.strip() for part in text.split(",") if part.strip()]


def accept_headers(request: Request, protocol: str = "") -> dict[str, str]:
    """Return the headers of the 101 answer."""
    key = request.headers["sec-websocket-key"].encode()
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode(),
    }
    if protocol:
        headers["Sec-WebSocket-Protocol"] = protocol
    return headers


@dataclass(frozen=True, slots=True)
class _Frame:
    opcode: int
    final: bool
    payload: bytes


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return one unmasked, final frame, as servers send them."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Undo the client's masking."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class WebSocket:
    """An accepted connection. One reader; any number of writers."""

    def __init__(self, stream: ByteStream, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._stream = stream
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._lock = asyncio.Lock()
        self._closed = False
        self._used_s = asyncio.get_running_loop().time()

    async def until_idle(self, idle_s: float) -> None:
        """Return once no message has come or gone for so long. What keeps it awake is no message."""
        now = asyncio.get_running_loop().time
        while (left := self._used_s + idle_s - now()) > 0:  # noqa: ASYNC110 - waits for nothing to happen
            await asyncio.sleep(left)

    async def receive(self) -> bytes | None:
        """Return the next message (text as bytes); None once the peer has closed. Raises WebSocketError."""
        parts: list[bytes] = []
        total = 0
        while (frame := await self._frame()) is not None:
            if frame.opcode == PING:
                await self._write(encode_frame(PONG, frame.payload))
            elif frame.opcode == CLOSE:
                await self.close()
                return None
            elif frame.opcode != PONG:
                total += len(frame.payload)
                if total > self._max:
                    raise WebSocketError("message too large")
                if frame.payload:  # of empty ones there may be any number
                    parts.append(frame.payload)
                if frame.final:
                    self._used_s = asyncio.get_running_loop().time()
                    return b"".join(parts)
        return None

    async def ignore(self) -> None:
        """Read messages that nobody wants until the peer is gone, and keep nothing of them."""
        try:
            while (frame := await self._frame()) is not None:
                if frame.opcode == PING:
                    await self._write(encode_frame(PONG, frame.payload))
                elif frame.opcode == CLOSE:
                    await self.close()
                    return
                elif frame.opcode != PONG:
                    self._used_s = asyncio.get_running_loop().time()
        except (ConnectionError, WebSocketError):
            return

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Send one message. Raises ConnectionError when the peer is gone."""
        self._used_s = asyncio.get_running_loop().time()
        await self._write(encode_frame(TEXT if text else BINARY, data))

    async def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Send a close frame, once."""
        if not self._closed:
            self._closed = True
            try:
                await self._write(encode_frame(CLOSE, struct.pack(">H", code) + reason.encode()))
            except ConnectionError:
                return

    async def _write(self, frame: bytes) -> None:
        async with self._lock:
            await self._stream.write(frame)

    async def _need(self, size: int) -> bool:
        while len(self._buffer) < size:
            data = await self._stream.read()
            if not data:
                return False
            self._buffer += data
        return True

    async def _frame(self) -> _Frame | None:
        if not await self._need(2):
            return None
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70 or not second & 0x80:
            raise WebSocketError("reserved bits set or frame not masked")
        size, head = second & 0x7F, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if not await self._need(head):
                return None
            size = int.from_bytes(self._buffer[2:head], "big")
        if size > self._max:
            raise WebSocketError("frame too large")
        if not await self._need(head + 4 + size):
            return None
        mask = bytes(self._buffer[head : head + 4])
        payload = unmask(bytes(self._buffer[head + 4 : head + 4 + size]), mask)
        del self._buffer[: head + 4 + size]
        return _Frame(first & 0x0F, bool(first & 0x80), payload)
