"""A client of HTTP/2 in memory: it writes frames as it likes, right or wrong, and reads what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tiphys.apimachinery.clock import FakeClock
from tiphys.wire.http2 import frames, hpack
from tiphys.wire.http2.connection import Http2Connection
from tiphys.wire.message import Request, Response
from tiphys.wire.server import Server, ServerLimits

LARGE = (1 << 31) - 1
Frame = tuple[int, int, int, bytes]


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and takes more until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.writes = 0
        self.unsent = 0
        self.closing = False
        self.aborted = False

    def write(self, data: Any) -> None:
        if not self.closing:
            self.writes += 1
            self.sent += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.1.2.3", 5) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    informational: list[str] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class Peer:
    """One connection to a server of its own, which has greeted it unless ``greet`` is off."""

    def __init__(
        self,
        handler: Callable[[Request], Any],
        *,
        limits: ServerLimits | None = None,
        settings: list[tuple[int, int]] | None = None,
        greet: bool = True,
    ) -> None:
        self.server = Server(handler, limits=limits, clock=FakeClock())
        self.wire = Wire()
        self.connection = Http2Connection(self.server, asyncio.get_running_loop())
        self.connection.connection_made(self.wire)
        self.answers: dict[int, Answer] = {}
        self.control: list[Frame] = []
        self._reader = frames.FrameReader(1 << 24)
        self._decoder = hpack.Decoder(1 << 20)
        self._last = -1
        if greet:
            self.send(frames.PREFACE, frames.settings(settings or []))
            self.read()
            self.control.clear()

    def send(self, *parts: bytes) -> None:
        """Have bytes arrive, as one read where they are no more than that."""
        data = b"".join(parts)
        for at in range(0, len(data), 1 << 14):
            piece = data[at : at + (1 << 14)]
            self.server.buffer[: len(piece)] = piece
            with _as_the_loop():
                self.connection.buffer_updated(len(piece))

    def ask(self, path: str = "/", method: str = "GET", body: bytes | None = None, **more: str) -> int:
        """Send a request whole; return its stream."""
        stream_id = self.next_id()
        self.send(head(stream_id, path, method, end=body is None, **more))
        if body is not None:
            self.send(data(stream_id, body, end=True))
        return stream_id

    def next_id(self) -> int:
        self._last += 2
        return self._last

    def read(self) -> dict[int, Answer]:
        """Take what has been written so far; return all answers by stream."""
        sent, self.wire.sent = bytes(self.wire.sent), bytearray()
        for kind, flags, stream_id, payload in self._reader.feed(sent):
            answer = self.answers.setdefault(stream_id, Answer())
            if kind == frames.HEADERS:
                assert flags & frames.END_HEADERS
                found = dict(self._decoder.decode(payload)[0])
                if found[":status"].startswith("1"):
                    answer.informational.append(found[":status"])
                else:
                    answer.headers = found
            elif kind == frames.DATA:
                assert answer.headers, "data before its head"
                answer.body += payload
            elif kind == frames.RST_STREAM:
                answer.reset = frames.word_of(payload)
            else:
                self.control.append((kind, flags, stream_id, payload))
            if kind in (frames.HEADERS, frames.DATA):
                assert not answer.ended, "more behind the end"
                answer.ended = bool(flags & frames.END_STREAM)
        return self.answers

    def answer(self, stream_id: int) -> Answer:
        """Return what came back on a stream so far."""
        return self.read().get(stream_id, Answer())

    @property
    def gone(self) -> tuple[int, int] | None:
        """The last stream and the code of a GOAWAY, where one came."""
        self.read()
        for kind, _, _, payload in self.control:
            if kind == frames.GOAWAY:
                return frames.word_of(payload), frames.word_of(payload[4:])
        return None

    def windows(self) -> dict[int, int]:
        """By how much each window was opened."""
        self.read()
        found: dict[int, int] = {}
        for kind, _, stream_id, payload in self.control:
            if kind == frames.WINDOW_UPDATE:
                found[stream_id] = found.get(stream_id, 0) + frames.word_of(payload)
        return found

    def lose(self) -> None:
        """The connection is gone."""
        self.wire.closing = True
        self.connection.connection_lost(None)

    def sweep(self, seconds: float) -> None:
        """So much time goes by."""
        limits = self.server.limits
        self.server.tick += seconds
        with _as_the_loop():
            self.connection.sweep(
                self.server.tick, idle_s=limits.idle_s, read_s=limits.read_s, stall_s=limits.stall_s
            )


@contextlib.contextmanager
def _as_the_loop() -> Iterator[None]:
    """Bytes arrive between tasks, not within the test's own."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asyncio.tasks._leave_task(loop, task)
    try:
        yield
    finally:
        asyncio.tasks._enter_task(loop, task)


def fields(path: str = "/", method: str = "GET", **more: str) -> list[tuple[str, str]]:
    named = [(name.replace("_", "-"), value) for name, value in more.items()]
    return [(":method", method), (":scheme", "https"), (":path", path), (":authority", "x"), *named]


def block(pairs: list[tuple[str, str]]) -> bytes:
    """Encode fields as literals, whatever is in them."""
    return b"".join(
        b"\x00" + hpack.string(name.encode("latin-1")) + hpack.string(value.encode("latin-1"))
        for name, value in pairs
    )


def head(stream_id: int, path: str = "/", method: str = "GET", *, end: bool = True, **more: str) -> bytes:
    return heads(stream_id, block(fields(path, method, **more)), end=end)


def heads(stream_id: int, encoded: bytes, *, end: bool = True) -> bytes:
    return frames.headers(stream_id, encoded, end=end, max_frame_bytes=1 << 14)


def data(stream_id: int, payload: bytes, *, end: bool = False, size: int = 1 << 14) -> bytes:
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    return b"".join(
        frames.data_head(stream_id, len(part), end=end and part is parts[-1]) + part for part in parts
    )


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frames.head(kind, flags, stream_id, len(payload)) + payload


async def settle(turns: int = 20) -> None:
    """Let what is ready go on."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def echo(request: Request) -> Response:
    """Answer with what was asked."""
    text = f"{request.method} {request.path}?{request.raw_query} {request.protocol}"
    return Response(200, {"Content-Type": "text/plain"}, text.encode() + request.body)
