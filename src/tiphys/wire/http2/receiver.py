"""What comes in on a connection: frames into whole requests, by the rules of RFC 9113, within bounds.

Owns the client's half: the order of frames, streams that are open, the windows that the client is given, and
what it may not do. Serves nothing: ``connection`` takes the requests that are whole.

Bodies are kept until they are whole. The connection's window is given back at once; what is kept is bounded
by the windows of streams: above ``KEPT_BYTES`` only the oldest body that is arriving is given more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from functools import partial
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import RequestEntityTooLarge, StatusError
from tiphys.wire import http1
from tiphys.wire.arrival import SLOW_S, Arrival
from tiphys.wire.http2 import frames, hpack
from tiphys.wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from tiphys.wire.http2.heads import Head, HeadReader
from tiphys.wire.http2.sender import Sender
from tiphys.wire.http2.stream import Stream
from tiphys.wire.message import Response

STREAM_WINDOW: Final = 256 * 1024
"""What a client may send of a body before it is given more, and in one frame: most bodies of requests."""
KEPT_BYTES: Final = 16 * 1024 * 1024
"""Of bodies that are not whole, before most of them must wait."""
REFILL_BYTES: Final = STREAM_WINDOW // 4
"""A window is given back once so much of it has been used."""
MAX_CONTINUATIONS: Final = 64
MAX_EMPTY_FRAMES: Final = 1000
"""In a row, that carry nothing."""
_RESETS: Final = 128
_CONTINUE: Final = b"\x08\x03100"
"""The header block of status 100."""


@dataclass(slots=True)
class _Block:
    """A header block that goes on in CONTINUATION frames."""

    stream_id: int
    flags: int
    depends_on: int
    data: bytearray
    frames: int = 0


class Receiver(ABC):
    """Takes what a client sends. ``Http2Connection`` completes it with a transport and a handler."""

    def __init__(self, owner: Any, sender: Sender) -> None:
        self._owner = owner
        self._sender = sender
        self.streams: dict[int, Stream] = {}
        self._max_streams: int = owner.limits.max_streams
        self._frames = frames.FrameReader(STREAM_WINDOW)
        self._heads = HeadReader(owner.max_header_bytes, owner.lines)
        self._preface = frames.PREFACE
        self._settled = False  # the client's first settings have come
        self._block: _Block | None = None
        self._last_id = 0  # of what was or will be served
        self._highest_id = 0
        self._room = self._max_streams * STREAM_WINDOW
        self._owed = 0
        self._kept = 0
        self._empty = 0
        self._reset_ids: deque[int] = deque(maxlen=_RESETS)
        self._leaving = False  # GOAWAY has been sent: no more streams
        self._failed = False  # and nothing that comes matters
        self._active_tick: float = owner.tick
        self._table_notice = b""

    # -- what completes it

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Hand bytes to the transport."""

    @abstractmethod
    def _control(self, data: bytes) -> None:
        """Write what the client has caused; there must not be much of it that it does not take."""

    @abstractmethod
    def _answer_at_once(self, stream_id: int, head: Head) -> bool: ...

    @abstractmethod
    def _serve(self, stream: Stream) -> None: ...

    @abstractmethod
    def _refuse(self, stream: Stream, response: Response) -> None: ...

    @abstractmethod
    def _close(self, stream: Stream) -> None: ...

    @abstractmethod
    def retire(self) -> None:
        """Take no more streams."""

    # -- frames

    def first_words(self) -> bytes:
        """Return what the server begins with."""
        words = frames.settings([
            (frames.MAX_FRAME_SIZE, STREAM_WINDOW),
            (frames.MAX_CONCURRENT_STREAMS, self._max_streams),
            (frames.MAX_HEADER_LIST_SIZE, self._owner.max_header_bytes),
            (frames.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        ])  # fmt: skip
        more = self._room - frames.FIRST_WINDOW
        return words + frames.window_update(0, more) if more > 0 else words

    def receive(self, data: bytes) -> None:
        """Take what has come. Raises ConnectionFault."""
        if self._preface:
            data = self._take_preface(data)
        for kind, flags, stream_id, payload in self._frames.feed(data):
            if self._failed:
                return
            try:
                if kind == frames.HEADERS and self._settled and self._block is None:
                    self._on_headers(flags, stream_id, payload)
                else:
                    self._on_frame(kind, flags, stream_id, payload)
            except StreamFault as fault:
                self._reset(fault.stream_id, fault.code)

    def _take_preface(self, data: bytes) -> bytes:
        expected = self._preface
        size = min(len(data), len(expected))
        if data[:size] != expected[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "bogus greeting")
        self._preface = expected[size:]
        return data[size:]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's first frame is SETTINGS")
            self._settled = True
        if (self._block is not None) != (kind == frames.CONTINUATION):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block with something else within")
        if kind < len(_HANDLERS):
            frames.check(kind, flags, stream_id, len(payload))
            _HANDLERS[kind](self, flags, stream_id, payload)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id & 1 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        block, depends_on = frames.block_of(flags, payload)
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, block, depends_on)
        else:
            self._block = _Block(stream_id, flags, depends_on, bytearray(block))

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        assert block is not None
        if block.stream_id != stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block goes on on another stream")
        block.data += payload
        block.frames += 1
        if len(block.data) > 2 * self._owner.max_header_bytes or block.frames > MAX_CONTINUATIONS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block too long")
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.flags, bytes(block.data), block.depends_on)

    def _on_block(self, stream_id: int, flags: int, block: bytes, depends_on: int) -> None:
        """Begin a stream, or end one with trailers."""
        if stream_id <= self._highest_id:
            self._on_trailers(stream_id, flags, block)
            return
        self._highest_id = stream_id
        head = self._heads.read(block)
        if self._leaving:
            return
        self._last_id = stream_id
        if len(self.streams) >= self._max_streams:
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "too many streams")
        ended = flags & frames.END_STREAM
        if depends_on == stream_id or head.fault or (ended and head.length > 0):
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, head.fault or "no such request")
        self._active_tick = self._owner.tick
        if ended and head.headers.refusal is None and self._answer_at_once(stream_id, head):
            return
        stream = self._open(stream_id, head)
        if head.headers.refusal is not None:
            stream.received = bool(ended)
            self._refuse(stream, head.headers.refusal)
        elif ended:
            self._whole(stream)
        elif head.length > self._owner.max_body_bytes:
            if self._owner.asks_for_bodies:
                self._await_body(stream, self._too_large())
            else:
                self._refuse(stream, http1.too_large(self._owner.max_body_bytes))
        elif head.headers.continues:
            if self._owner.asks_for_bodies:
                self._await_body(stream)
            else:
                self._ask(stream)

    def _await_body(self, stream: Stream, fault: StatusError | None = None) -> None:
        """Have a request looked at before its body has come."""
        stream.arrival = Arrival(partial(self._ask, stream), fault)
        self._serve(stream)

    def _sweep_arriving(self, now: float, read_s: float) -> None:
        """Let the handler look at slow requests, or end those that nobody looks at before they have come.

        Raises ConnectionFault.
        """
        for stream in [one for one in self.streams.values() if one.is_arriving]:
            if self._owner.asks_for_bodies:
                if now - stream.begun_tick > SLOW_S:
                    self._await_body(stream)
            elif stream.room > 0 and now - stream.progress_tick > read_s:
                self._reset(stream.id, ErrorCode.CANCEL)

    def _ask(self, stream: Stream) -> None:
        """Tell a client to send the body that it waits to be asked for."""
        stream.progress_tick = self._owner.tick
        if stream.head.headers.continues and not (stream.closed or stream.ends):
            self._sender.head(stream, self._notice() + _CONTINUE, end=False)

    def _too_large(self) -> StatusError:
        return RequestEntityTooLarge(http1.TOO_LARGE.format(self._owner.max_body_bytes))

    def _open(self, stream_id: int, head: Head) -> Stream:
        stream = self.streams[stream_id] = Stream(
            stream_id, head, window=self._sender.first_window, room=STREAM_WINDOW, tick=self._owner.tick
        )
        return stream

    def _notice(self) -> bytes:
        """Return what must be said once before a header block."""
        notice, self._table_notice = self._table_notice, b""
        return notice

    def _on_trailers(self, stream_id: int, flags: int, block: bytes) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._heads.skip(block)
            if stream_id in self._reset_ids or stream_id > self._last_id:
                return
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "headers on a stream that is closed")
        self._heads.read_trailers(stream_id, block)
        if stream.received:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "headers on a stream that is half closed")
        if not flags & frames.END_STREAM:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that do not end their stream")
        self._whole(stream)

    # -- bodies

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._room -= size
        if self._room < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        self._owed += size
        if self._owed >= REFILL_BYTES:
            self._control(frames.window_update(0, self._owed))
            self._room += self._owed
            self._owed = 0
        data = frames.unpadded(flags, payload)
        ended = flags & frames.END_STREAM
        self._empty = 0 if data or ended else self._empty + 1
        if self._empty > MAX_EMPTY_FRAMES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many empty frames")
        stream = self.streams.get(stream_id)
        if stream is None or stream.received:
            self._check_known(stream_id)
            if stream is None and (stream_id in self._reset_ids or stream_id > self._last_id):
                return
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "data on a stream that is closed")
        stream.room -= size
        if stream.room < 0:
            raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "more than the stream's window")
        stream.progress_tick = self._owner.tick
        stream.received = bool(ended)
        if not stream.ends:
            self._keep(stream, data)
        if ended:
            self._whole(stream)
        elif not stream.ends:
            stream.owed += size
            self._refill(stream)

    def _keep(self, stream: Stream, data: bytes) -> None:
        """Add to a body that is arriving, or refuse it."""
        if not stream.body:
            stream.body = data
        else:
            if isinstance(stream.body, bytes):
                stream.body = bytearray(stream.body)
            stream.body += data
        self._kept += len(data)
        if -1 < stream.head.length < len(stream.body):
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "more data than was declared")
        if len(stream.body) > self._owner.max_body_bytes:
            self._let_go_of(stream)
            if stream.arrival is not None:
                stream.arrival.fail(self._too_large())
            else:
                self._refuse(stream, http1.too_large(self._owner.max_body_bytes))
        elif (
            len(stream.body) > self._owner.unasked_bytes
            and self._owner.asks_for_bodies
            and not (stream.received or stream.arrival)
        ):
            self._await_body(stream)

    def _let_go_of(self, stream: Stream) -> bytes:
        """Keep a body no more; return it. Others may be given room."""
        body = stream.body if isinstance(stream.body, bytes) else bytes(stream.body)
        stream.body = b""
        if body:
            full = self._kept > KEPT_BYTES
            self._kept -= len(body)
            if full:
                for other in list(self.streams.values()):
                    self._refill(other)
        return body

    def _refill(self, stream: Stream) -> None:
        """Give a client more room for a body, unless there is too much that others must finish first."""
        if stream.owed < REFILL_BYTES or stream.received or stream.ends:
            return
        if self._kept > KEPT_BYTES and stream is not self._oldest_arriving():
            return
        self._control(frames.window_update(stream.id, stream.owed))
        stream.room += stream.owed
        stream.owed = 0

    def _oldest_arriving(self) -> Stream | None:
        return next((one for one in self.streams.values() if not (one.received or one.ends)), None)

    def _whole(self, stream: Stream) -> None:
        stream.received = True
        if stream.ends:
            return  # it was answered before
        if stream.head.length not in (-1, len(stream.body)):
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "less data than was declared")
        if stream.arrival is not None:
            stream.arrival.end(self._let_go_of(stream))
        else:
            self._serve(stream)

    # -- the other kinds

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if frames.word_of(payload) == stream_id:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def _on_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
        else:
            self._close(stream)

    def _check_known(self, stream_id: int) -> None:
        """Refuse what concerns a stream that has not begun. Raises ConnectionFault."""
        if stream_id > self._highest_id or stream_id & 1 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame for a stream that is idle")

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        for name, value in frames.settings_of(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                self._sender.set_first_window(value, list(self.streams.values()))
            elif name == frames.MAX_FRAME_SIZE:
                self._sender.max_frame_bytes = min(value, STREAM_WINDOW)
            elif name == frames.HEADER_TABLE_SIZE and value < hpack.TABLE_BYTES:
                self._table_notice = hpack.EMPTY_TABLE
        self._control(frames.SETTINGS_ACK)

    def _on_push(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients do not push")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self._control(frames.ping_ack(payload))

    def _on_go_away(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.retire()

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        count = frames.word_of(payload)
        if stream_id == 0:
            if count == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window that does not grow")
            self._sender.grow(count)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
        elif count == 0:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "a window that does not grow")
        else:
            self._sender.grow_stream(stream, count)

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        """End a stream for a fault of the client's, or of ours."""
        self._reset_ids.append(stream_id)
        self._control(frames.reset(stream_id, code))
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._close(stream)


_HANDLERS: Final = (
    Receiver._on_data, Receiver._on_headers, Receiver._on_priority, Receiver._on_reset,
    Receiver._on_settings, Receiver._on_push, Receiver._on_ping, Receiver._on_go_away,
    Receiver._on_window_update, Receiver._on_continuation,
)  # fmt: skip
