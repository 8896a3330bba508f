"""Frames of HTTP/2: bytes into frames, and back (RFC 9113, sections 4 and 6). Pure.

Owns what can be said of a frame alone: its length, its flags, whether it may name a stream. What it means for
a connection is ``receiver``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from tiphys.wire.http2.errors import ConnectionFault, ErrorCode, StreamFault

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with."""

(
    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION,
) = range(10)  # fmt: skip
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)
MAX_HEADER_LIST_SIZE: Final = 6

HEAD_BYTES: Final = 9
LEAST_FRAME_BYTES: Final = 1 << 14
"""What every peer takes in one frame."""
MOST_FRAME_BYTES: Final = (1 << 24) - 1
MAX_WINDOW: Final = (1 << 31) - 1
FIRST_WINDOW: Final = (1 << 16) - 1
MAX_SETTINGS: Final = 100
"""In one frame; a peer that has more to say means no good."""

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream, payload."""

_HEAD: Final = Struct(">HBBBI")
_WORD: Final = Struct(">I")
_SETTING: Final = Struct(">HI")
_ON_STREAM: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION, PUSH_PROMISE})
_ON_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})
_LENGTHS: Final = {RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


class FrameReader:
    """Cuts what arrives into frames of at most so many bytes; keeps less than one frame and one read."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max = max_frame_bytes
        self._rest = bytearray()
        self._wanted = HEAD_BYTES

    @property
    def kept_bytes(self) -> int:
        """How much of a frame that has not come whole is kept."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now. Raises ConnectionFault."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return
            data = bytes(rest)
            rest.clear()
        at, end = 0, len(data)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > self._max:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame too large")
            begin = at + HEAD_BYTES
            if end - begin < length:
                self._wanted = HEAD_BYTES + length
                rest += data[at:]
                return
            at = begin + length
            yield kind, flags, stream_id & MAX_WINDOW, data[begin:at]
        if at < end:
            self._wanted = HEAD_BYTES
            rest += data[at:]


def check(kind: int, flags: int, stream_id: int, length: int) -> None:
    """Refuse a frame that is wrong whatever came before it. Raises ConnectionFault, StreamFault."""
    if (stream_id == 0 and kind in _ON_STREAM) or (stream_id and kind in _ON_CONNECTION):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame on the wrong stream")
    if kind == PRIORITY and length != 5:
        raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY has five bytes")
    wrong = length != _LENGTHS.get(kind, length)
    if kind == SETTINGS:
        wrong = bool(length) if flags & ACK else bool(length % 6)
    elif kind == GOAWAY:
        wrong = length < 8
    if wrong:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame of a length that its kind cannot have")


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a payload without its padding. Raises ConnectionFault."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "no room for the length of the padding")
    if payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def block_of(flags: int, payload: bytes) -> tuple[bytes, int]:
    """Return what a HEADERS frame has of its header block, and on which stream it depends (-1: none).

    Raises:
        ConnectionFault: it is cut short.
    """
    payload = unpadded(flags, payload)
    if not flags & HAS_PRIORITY:
        return payload, -1
    if len(payload) < 5:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "no room for the priority")
    return payload[5:], word_of(payload)


def word_of(payload: bytes) -> int:
    """Return the 31 bits that a payload begins with: a stream, or by how much a window grows."""
    word: int = _WORD.unpack_from(payload)[0]
    return word & MAX_WINDOW


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Return what a SETTINGS frame sets, in its order. Raises ConnectionFault."""
    found = list(_SETTING.iter_unpack(payload))
    if len(found) > MAX_SETTINGS:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "too many settings")
    for name, value in found:
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
        if name == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
        if name == MAX_FRAME_SIZE and not LEAST_FRAME_BYTES <= value <= MOST_FRAME_BYTES:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
    return found


# -- what is sent


def head(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """Encode the nine bytes before a payload."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def settings(values: list[tuple[int, int]]) -> bytes:
    """Encode a SETTINGS frame."""
    payload = b"".join([_SETTING.pack(name, value) for name, value in values])
    return head(SETTINGS, 0, 0, len(payload)) + payload


SETTINGS_ACK: Final = head(SETTINGS, ACK, 0, 0)


def ping_ack(payload: bytes) -> bytes:
    """Answer a PING."""
    return head(PING, ACK, 0, 8) + payload


def reset(stream_id: int, code: int) -> bytes:
    """Encode a RST_STREAM frame."""
    return head(RST_STREAM, 0, stream_id, 4) + _WORD.pack(code)


def go_away(last_stream_id: int, code: int, text: str = "") -> bytes:
    """Encode a GOAWAY frame: streams up to ``last_stream_id`` were or will be seen to."""
    payload = _WORD.pack(last_stream_id) + _WORD.pack(code) + text.encode()
    return head(GOAWAY, 0, 0, len(payload)) + payload


def window_update(stream_id: int, count: int) -> bytes:
    """Let the peer send so many bytes more."""
    return head(WINDOW_UPDATE, 0, stream_id, 4) + _WORD.pack(count)


def headers(stream_id: int, block: bytes, *, end: bool, max_frame_bytes: int) -> bytes:
    """Encode a header block as HEADERS, and CONTINUATION where it is too long for one frame."""
    flags = END_STREAM if end else 0
    if len(block) <= max_frame_bytes:
        return head(HEADERS, flags | END_HEADERS, stream_id, len(block)) + block
    parts, kind = [], HEADERS
    for at in range(0, len(block), max_frame_bytes):
        part = block[at : at + max_frame_bytes]
        last = END_HEADERS if at + max_frame_bytes >= len(block) else 0
        parts += [head(kind, flags | last, stream_id, len(part)), part]
        kind, flags = CONTINUATION, 0
    return b"".join(parts)


def data_head(stream_id: int, length: int, *, end: bool) -> bytes:
    """Encode the nine bytes before the payload of a DATA frame."""
    return _HEAD.pack(length >> 8, length & 0xFF, DATA, END_STREAM if end else 0, stream_id)
