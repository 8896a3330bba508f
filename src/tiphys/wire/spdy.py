"""SPDY/3.1 as far as Kubernetes streams need it: framing, header compression, streams over one connection.

Client side only: the API server opens streams towards a kubelet (which relays them to the container
runtime). There is no flow control: neither Kubernetes nor container runtimes use it.

Source: the SPDY/3.1 draft, sections 2.2 and 2.6.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.wire.message import ByteStream

DICTIONARY: Final = files("tiphys.wire").joinpath("data/spdy_dictionary.bin").read_bytes()
VERSION: Final = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN: Final = 1
_MAX_HEADERS_BYTES: Final = 1 << 20
_DATA_CHUNK: Final = 1 << 16
_CANCEL: Final = 5
_BUFFERED_FRAMES: Final = 64


class SpdyError(TiphysError):
    """The peer broke the protocol, or refused a stream."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ``type`` 0 is data. ``payload`` of a control frame is what follows its header."""

    type: int
    flags: int
    stream_id: int
    payload: bytes


def encode_control(type_: int, flags: int, payload: bytes) -> bytes:
    """Return a control frame."""
    return struct.pack(">HHI", 0x8000 | VERSION, type_, flags << 24 | len(payload)) + payload


def encode_data(stream_id: int, data: bytes, *, fin: bool = False) -> bytes:
    """Return a data frame."""
    return struct.pack(">II", stream_id, (FLAG_FIN if fin else 0) << 24 | len(data)) + data


class FrameReader:
    """Cuts bytes into frames, however they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and yield every frame that is whole. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            yield _frame(first, second >> 24, payload)


def _frame(first: int, flags: int, payload: bytes) -> Frame:
    if not first & 0x80000000:
        return Frame(0, flags, first, payload)
    version, type_ = first >> 16 & 0x7FFF, first & 0xFFFF
    if version != VERSION:
        raise SpdyError(f"unsupported SPDY version {version}")
    stream_id = 0
    if type_ in (SYN_STREAM, SYN_REPLY, RST_STREAM, HEADERS, PING):
        if len(payload) < 4:
            raise SpdyError(f"short control frame of type {type_}")
        stream_id = int.from_bytes(payload[:4], "big")
        stream_id = stream_id if type_ == PING else stream_id & 0x7FFFFFFF
    return Frame(type_, flags, stream_id, payload)


class HeaderCodec:
    """Header blocks of one connection: both directions keep their compression state over its life."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                parts += [struct.pack(">I", len(text)), text]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, block: bytes) -> dict[str, str]:
        """Return the headers of a block. Raises SpdyError."""
        try:
            raw = self._inflate.decompress(block, _MAX_HEADERS_BYTES)
            return dict(_pairs(raw))
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"bad header block: {error}") from error


def _pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    (count,) = struct.unpack_from(">I", raw)
    at = 4

    def text() -> str:
        nonlocal at
        (length,) = struct.unpack_from(">I", raw, at)
        if length > len(raw) - at - 4:
            raise SpdyError("header block ends early")
        at += 4 + length
        return raw[at - length : at].decode()

    for _ in range(count):
        yield text(), text()


class Stream:
    """One stream that this side opened."""

    def __init__(self, session: Session, stream_id: int) -> None:
        self.id = stream_id
        self._session = session
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(maxsize=_BUFFERED_FRAMES)
        self._finished = False
        self._over = False  # what is here is all there will be
        self.replied = asyncio.Event()
        self.refused = ""

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` once the peer has finished the stream."""
        if (self._finished or self._over) and self._frames.empty():
            return b""
        data = await self._frames.get()
        if not data:
            self._finished = True
        return data

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), _DATA_CHUNK):
            await self._session.send(encode_data(self.id, data[at : at + _DATA_CHUNK]))

    async def finish(self) -> None:
        """Say that nothing more comes from this side."""
        await self._session.send(encode_data(self.id, b"", fin=True))

    async def take(self, data: bytes, *, fin: bool) -> None:
        """Called by the session: bytes for the reader."""
        if data:
            await self._frames.put(data)
        if fin and not self._finished:
            await self._frames.put(b"")

    def end(self) -> None:
        """Called by the session at its own end, which waits for no reader: nothing more comes."""
        self._over = True
        with suppress(asyncio.QueueFull):  # who reads what is there sees that it is the last
            self._frames.put_nowait(b"")


class Session:
    """Client side of one connection: ``open_stream``, with ``run`` reading in a task beside it."""

    def __init__(self, connection: ByteStream) -> None:
        self._connection = connection
        self._headers = HeaderCodec()
        self._streams: dict[int, Stream] = {}
        self._next_id = 1
        self._lock = asyncio.Lock()

    async def send(self, frame: bytes) -> None:
        """Write whole frames, one after the other. Raises ConnectionError."""
        async with self._lock:
            await self._connection.write(frame)

    async def ping(self, number: int) -> None:
        """Ask for a sign of life; the peer's answer needs no look. Numbers of this side are odd."""
        await self.send(encode_control(PING, 0, struct.pack(">I", number)))

    async def open_stream(self, headers: Mapping[str, str]) -> Stream:
        """Open a stream and wait for the peer's reply. Raises SpdyError when it refuses."""
        stream = Stream(self, self._next_id)
        self._next_id += 2
        self._streams[stream.id] = stream
        async with self._lock:
            block = struct.pack(">IIH", stream.id, 0, 0) + self._headers.encode(headers)
            await self._connection.write(encode_control(SYN_STREAM, 0, block))
        await stream.replied.wait()
        if stream.refused:
            raise SpdyError(stream.refused)
        return stream

    async def run(self) -> None:
        """Read frames until the peer closes; then every stream ends."""
        reader = FrameReader()
        try:
            while data := await self._connection.read():
                for frame in reader.feed(data):
                    await self._take(frame)
        except ConnectionError:
            pass
        finally:
            self._end()

    async def _take(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream_id)
        fin = bool(frame.flags & FLAG_FIN)
        if frame.type == 0 and stream is not None:
            await stream.take(frame.payload, fin=fin)
        elif frame.type == SYN_REPLY and stream is not None:
            self._headers.decode(frame.payload[4:])
            stream.replied.set()
            await stream.take(b"", fin=fin)
        elif frame.type == RST_STREAM and stream is not None:
            status = int.from_bytes(frame.payload[4:8], "big")
            stream.refused = f"stream reset with status {status}" if status != _CANCEL else ""
            stream.replied.set()
            await stream.take(b"", fin=True)
        elif frame.type == PING and frame.stream_id % 2 == 0:
            await self.send(encode_control(PING, 0, frame.payload))
        elif frame.type == HEADERS:
            self._headers.decode(frame.payload[4:])

    def _end(self) -> None:
        for stream in self._streams.values():
            if not stream.replied.is_set():
                stream.refused = "connection closed before the stream was accepted"
                stream.replied.set()
            stream.end()
