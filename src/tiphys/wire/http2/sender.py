"""What goes out on a connection: answers of many streams, within the windows that the client gives.

Owns the windows and whose turn it is. A stream whose window is shut keeps what it has and holds up nobody;
where the connection itself takes no more, streams take turns once it does again. Small answers to a client
that keeps up are written at once, in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tiphys.wire.http2 import frames
from tiphys.wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from tiphys.wire.http2.stream import Bytes, Stream

QUANTUM_BYTES: Final = 128 * 1024
"""What a stream may write before another has its turn; it is copied once, into as many frames as it takes."""
TURN_BYTES: Final = 1024 * 1024
"""What one connection may write before the others have their turn."""


class Owner(Protocol):
    """What a sender needs of its connection."""

    @property
    def tick(self) -> float:
        """The time, in seconds."""
        ...

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        ...

    def soon(self, call: Callable[[], None]) -> None:
        """Call in the loop's next turn."""
        ...

    def stream_sent(self, stream: Stream) -> None:
        """The last of an answer has been written."""
        ...


class Sender:
    """``paused`` is set while the transport takes nothing."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.window = frames.FIRST_WINDOW
        self.first_window = frames.FIRST_WINDOW
        self.max_frame_bytes = frames.LEAST_FRAME_BYTES
        self.paused = False
        self._ready: dict[Stream, None] = {}
        """They have something to send and a window for it, in the order of their turns."""
        self._blocked: dict[Stream, None] = {}
        """The client gives them no window."""
        self._called = False

    @property
    def waiting(self) -> list[Stream]:
        """Streams with something unsent."""
        return [*self._ready, *self._blocked]

    def takes(self, stream: Stream, size: int) -> bool:
        """Tell whether so many bytes would go out at once."""
        return (
            not (self.paused or stream.queue or stream.closed or stream.ends)
            and size <= stream.window
            and size <= self.window
        )

    def head(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """Send a header block, which no window holds back."""
        self._owner.write(frames.headers(stream.id, block, end=end, max_frame_bytes=self.max_frame_bytes))
        if end:
            stream.ends = stream.sent = True
            self._owner.stream_sent(stream)

    def answer(self, stream: Stream, block: bytes, body: bytes | Sequence[bytes]) -> None:
        """Send a whole answer."""
        if isinstance(body, bytes) and self._fits(block, body) and self.takes(stream, len(body)):
            self._account(stream, len(body))
            self._owner.write(whole(stream.id, block, body))
            stream.ends = stream.sent = True
            self._owner.stream_sent(stream)
            return
        self.head(stream, block, end=False)
        parts = (body,) if isinstance(body, bytes) else body
        stream.queue.extend([part for part in parts if part])
        stream.queued_bytes += sum(map(len, parts))
        stream.ends = True
        self._queued(stream)

    def data(self, stream: Stream, chunk: bytes) -> None:
        """Send a chunk of an answer that goes on, or keep it in its stream."""
        if stream.closed or not chunk:
            return
        if len(chunk) <= self.max_frame_bytes and self.takes(stream, len(chunk)):
            self._account(stream, len(chunk))
            self._owner.write(frames.data_head(stream.id, len(chunk), end=False) + chunk)
            return
        stream.queue.append(chunk)
        stream.queued_bytes += len(chunk)
        self._queued(stream)

    def finish(self, stream: Stream) -> None:
        """End an answer where its queue ends."""
        if not stream.closed:
            stream.ends = True
            self._queued(stream)

    async def drain(self, stream: Stream) -> None:
        """Wait until all of a stream is on its way. Raises ConnectionResetError where it never will be."""
        while (stream.queue or self.paused) and not stream.closed:
            if stream not in self._blocked:
                self._ready[stream] = None  # its turn wakes it
            stream.waiter = asyncio.get_running_loop().create_future()
            try:
                await stream.waiter
            finally:
                stream.waiter = None
        if stream.closed:
            raise ConnectionResetError("the stream is closed")

    def drop(self, stream: Stream) -> None:
        """Forget what a closed stream had to send."""
        self._ready.pop(stream, None)
        self._blocked.pop(stream, None)
        stream.queue.clear()
        stream.queued_bytes = 0
        stream.wake()

    def end(self) -> None:
        """Send nothing any more: all streams are closed, and nothing is left for the collector."""
        del self._owner

    def _fits(self, block: bytes, body: bytes) -> bool:
        return len(block) <= self.max_frame_bytes and len(body) <= self.max_frame_bytes

    # -- windows

    def grow(self, count: int) -> None:
        """Take a larger window of the connection. Raises ConnectionFault."""
        self.window += count
        if self.window > frames.MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.pump()

    def grow_stream(self, stream: Stream, count: int) -> None:
        """Take a larger window of a stream. Raises StreamFault."""
        stream.window += count
        if stream.window > frames.MAX_WINDOW:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is too large")
        self._unblock(stream)
        self.pump()

    def set_first_window(self, size: int, streams: Sequence[Stream]) -> None:
        """Take another first window, which changes all there are. Raises ConnectionFault."""
        more, self.first_window = size - self.first_window, size
        for stream in streams:
            stream.window += more
            if stream.window > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
            self._unblock(stream)
        self.pump()

    def _unblock(self, stream: Stream) -> None:
        if stream.window > 0 and stream in self._blocked:
            del self._blocked[stream]
            self._ready[stream] = None

    def _account(self, stream: Stream, size: int) -> None:
        stream.window -= size
        self.window -= size
        stream.progress_tick = self._owner.tick

    # -- turns

    def _queued(self, stream: Stream) -> None:
        if stream not in self._ready and stream not in self._blocked:
            stream.progress_tick = self._owner.tick
            self._ready[stream] = None
        if not self._called:
            self.pump()

    def resume(self) -> None:
        """Go on where the transport takes more."""
        self.paused = False
        self.pump()

    def pump(self) -> None:
        """Write what windows and transport take, each stream in turn."""
        left = TURN_BYTES
        while self._ready and not self.paused:
            if left <= 0:
                self._call_soon()
                return
            stream = next(iter(self._ready))
            if stream.queue:
                room = min(self.window, stream.window, QUANTUM_BYTES)
                if room <= 0 and stream.window <= 0:
                    del self._ready[stream]
                    self._blocked[stream] = None
                    continue
                if room <= 0:
                    break  # who has data waits for the connection's window
                left -= self._send_some(stream, room)
            self._after_turn(stream)
        if not self.paused:
            for stream in [one for one in self._ready if not one.queue]:
                self._after_turn(stream)

    def _after_turn(self, stream: Stream) -> None:
        self._ready.pop(stream, None)
        if stream.ends and not stream.queue and not stream.sent:
            self._owner.write(frames.data_head(stream.id, 0, end=True))
            stream.sent = True
        if stream.sent:
            stream.wake()
            self._owner.stream_sent(stream)
        elif stream.queue:
            self._ready[stream] = None
        else:
            stream.wake()

    def _call_soon(self) -> None:
        if not self._called:
            self._called = True
            self._owner.soon(self._go_on)

    def _go_on(self) -> None:
        self._called = False
        self.pump()

    def _send_some(self, stream: Stream, room: int) -> int:
        """Write up to so many bytes of a queue, in one piece; return how many."""
        size = min(room, stream.queued_bytes)
        parts: list[Bytes] = []
        left = size
        while left:
            length = min(left, self.max_frame_bytes)
            left -= length
            stream.queued_bytes -= length
            end = stream.ends and not stream.queued_bytes
            parts.append(frames.data_head(stream.id, length, end=end))
            _cut(stream, length, parts)
        stream.sent = stream.ends and not stream.queued_bytes
        self._account(stream, size)
        self._owner.write(b"".join(parts))
        return size


def whole(stream_id: int, block: bytes, body: bytes) -> bytes:
    """Encode an answer whose head and body take a frame each; one without a body is its head."""
    if not body:
        ends = frames.END_HEADERS | frames.END_STREAM
        return frames.head(frames.HEADERS, ends, stream_id, len(block)) + block
    return b"%b%b%b%b" % (
        frames.head(frames.HEADERS, frames.END_HEADERS, stream_id, len(block)),
        block,
        frames.data_head(stream_id, len(body), end=True),
        body,
    )


def _cut(stream: Stream, size: int, parts: list[Bytes]) -> None:
    """Move so many bytes from the begin of a queue."""
    queue = stream.queue
    while size:
        piece = queue[0]
        if len(piece) <= size:
            parts.append(piece)
            size -= len(piece)
            queue.popleft()
        else:
            view = memoryview(piece)
            parts.append(view[:size])
            queue[0] = view[size:]
            size = 0
