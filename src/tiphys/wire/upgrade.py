"""The raw connection after an upgrade: a ``ByteStream`` over an asyncio transport.

Made by ``wire.connection`` when a handler answers with ``Response.upgrade``, and by ``wire.dial``; used by
websocket, SPDY and plain TCP forwarding. Reading is bounded: past the high mark the transport stops reading.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

HIGH_WATER_BYTES: Final = 256 * 1024


class RawStream:
    """Bytes both ways; one reader and any number of writers."""

    def __init__(self, transport: asyncio.Transport, drain: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._drain = drain
        self._chunks: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._reading_paused = False
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def certificate(self) -> bytes | None:
        """What the peer has shown, as DER; None without TLS or where it showed none."""
        sock = self._transport.get_extra_info("ssl_object")
        found: bytes | None = None if sock is None else sock.getpeercert(True)
        return found

    def feed(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if not data:
            return
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes > HIGH_WATER_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def unread(self, data: bytes) -> None:
        """Put bytes back: they are the next to be read."""
        if data:
            self._chunks.appendleft(data)
            self._buffered_bytes += len(data)

    def feed_eof(self) -> None:
        """The peer will send no more."""
        self._finished = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` once the peer has finished."""
        while not self._chunks:
            if self._finished:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._chunks.popleft()
        self._buffered_bytes -= len(data)
        if self._reading_paused and self._buffered_bytes <= HIGH_WATER_BYTES // 2:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the peer is slow. Raises ConnectionError when it is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        await self._drain()

    @property
    def is_silent(self) -> bool:
        """True while the connection stands and all that came has been read."""
        return not (self._finished or self._chunks or self._transport.is_closing())

    def abandon(self) -> None:
        """Send what is buffered, then close both ways. Idempotent."""
        self.feed_eof()
        if not self._transport.is_closing():
            self._transport.close()

    async def close(self) -> None:
        """As ``abandon``: for whoever closes any stream."""
        self.abandon()
