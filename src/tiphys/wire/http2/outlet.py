"""The way past the task of one stream of HTTP/2 (``wire.outlet``): a chunk is one frame of that stream."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.wire.http2.sender import Sender
from tiphys.wire.http2.stream import Stream
from tiphys.wire.outlet import NotNowError, Outlet, Writer


class StreamOutlet(Outlet):
    """One stream's. Chunks are shared as they are; the frame around each is the stream's own.

    Its writers must be called by the loop's own thread: streams of one connection share its window.
    """

    __slots__ = ("_sender", "_stream")

    def __init__(self, sender: Sender, stream: Stream) -> None:
        self._sender = sender
        self._stream = stream
        self.framed = _as_it_is
        self.framing = "data"
        self.anywhere = False

    def writer(self, gone: Callable[[], None]) -> Writer | None:
        """Return what sends chunks; None: not now."""
        return self._write if self._fits(0) else None

    def _fits(self, size: int) -> bool:
        stream = self._stream
        return stream.streaming and self._sender.takes(stream, size)

    def _write(self, framed: bytes) -> None:
        if not self._fits(len(framed)):
            raise NotNowError
        self._sender.data(self._stream, framed)

    def rescue(self, framed: bytes, error: Exception) -> bool:
        """Leave to the task what could not be sent."""
        return False


def _as_it_is(chunk: bytes) -> bytes:
    return chunk
