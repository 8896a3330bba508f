"""Rows: one event to 1,000 watchers; 10,000 idle ones. The watchers' sockets live in this process.

They are bare sockets behind one epoll, read in a thread: those of an event loop would take more of the two
cores than the server that is measured. For the same reason bytes are taken as they arrive and decrypted once
all have come: 1,000 watchers would do that on machines of their own. The row has both times.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bench import load, objects
from bench.server import serving

Row = dict[str, object]
_WATCHERS = 1000
_EVENTS = 20
_IDLE_WATCHERS = 10_000
_IDLE_S = 20
_LIMIT_S = 60.0
_MAPS = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
_EVENT = b'{"type":"ADDED"'
_READ_BYTES = 4096
_RECORD_HEAD_BYTES = 5


class Line:
    """One connection, over TLS or plain, whose bytes are kept until they are asked for."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        self.sock = socket.create_connection(address, _LIMIT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self.arrived = b""
        if context is not None:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=address[0])
            self._shake_hands(self._tls)

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_outgoing()
                self._incoming.write(self._receive())
            else:
                self._send_outgoing()
                return

    def _send_outgoing(self) -> None:
        if self._outgoing.pending:
            self.sock.sendall(self._outgoing.read())

    def _receive(self) -> bytes:
        data = self.sock.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self.sock.sendall(data)
        else:
            self._tls.write(data)
            self._send_outgoing()

    @property
    def is_whole(self) -> bool:
        """Whether what has arrived ends with a whole record."""
        data, at = self.arrived, 0
        if self._tls is None:
            return bool(data)
        while at + _RECORD_HEAD_BYTES <= len(data):
            at += _RECORD_HEAD_BYTES + int.from_bytes(data[at + 3 : at + 5], "big")
        return at == len(data) > 0

    def take(self) -> bytes:
        """Return what has arrived, decrypted."""
        data, self.arrived = self.arrived, b""
        if self._tls is None:
            return data
        self._incoming.write(data)
        parts = []
        try:
            while part := self._tls.read(_READ_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def answer(self) -> bytes:
        """Wait for bytes of an answer."""
        while not (text := self.take()):
            self.arrived += self._receive()
        return text


@dataclass(frozen=True)
class Times:
    """Seconds from the request until the last watcher's bytes had arrived, and until all were decrypted."""

    arrived_s: float
    read_s: float


class Watchers:
    """Open watches of one collection. Everything here blocks: it runs in a thread."""

    def __init__(self, target: load.Target) -> None:
        parts = urllib.parse.urlsplit(target.url)
        self._address = parts.hostname or "", parts.port or 443
        self._target = target
        self._context = target.context()
        self._poll = select.epoll()
        self._lines: dict[int, Line] = {}

    def open(self, count: int) -> None:
        """Open so many watches, and wait for the head of each answer."""
        request = self._target.head("GET", f"{_MAPS}?watch=1&allowWatchBookmarks=false&resourceVersion=0")
        for _ in range(count):
            line = Line(self._address, self._context)
            line.send(request)
            line.answer()
            line.sock.setblocking(False)
            self._lines[line.sock.fileno()] = line
            self._poll.register(line.sock.fileno(), select.EPOLLIN)
        self._writer = Line(self._address, self._context)

    def event(self, index: int) -> Times:
        """Create one object over an open connection, and wait until every watcher has its event."""
        body = objects.body(objects.config_map(index, "event"))
        request = self._target.head("POST", _MAPS, body) + body
        name = b'"name":"event-%d"' % index
        before = arrived = time.perf_counter()
        self._writer.send(request)
        left = self._lines
        while left:
            arrived = self._wait(left)
            left = {number: line for number, line in left.items() if not _tells(line.take(), name)}
        read = time.perf_counter()
        answer = self._writer.answer()
        if not answer.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(f"refused: {answer[:100]!r}")
        return Times(arrived - before, read - before)

    def _wait(self, lines: dict[int, Line]) -> float:
        """Read until whole records have come on each of the lines; return when. Raises TimeoutError."""
        deadline = time.monotonic() + _LIMIT_S
        known, left = self._lines, set(lines)
        while left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(left)} events did not come")
            for number, _ in self._poll.poll(1.0):
                line = known[number]
                line.arrived += line.sock.recv(_READ_BYTES)
                if line.is_whole:
                    left.discard(number)
        return time.perf_counter()

    def close(self) -> None:
        """Drop every watch."""
        for line in (self._writer, *self._lines.values()):
            line.sock.close()
        self._poll.close()


def _tells(text: bytes, name: bytes) -> bool:
    return _EVENT in text and name in text


async def watch_fan_out() -> AsyncIterator[Row]:
    """One ConfigMap is created: the time from its request until its event has reached 1,000 watchers."""
    async with serving() as server:
        watchers = Watchers(server.target)
        await asyncio.to_thread(watchers.open, _WATCHERS)
        before = server.processor_us()
        times = [await asyncio.to_thread(watchers.event, index) for index in range(_EVENTS)]
        spent = server.processor_us() - before
        watchers.close()
        arrived = sorted(one.arrived_s for one in times)
        read = sorted(one.read_s for one in times)
        yield {
            "row": "watch_fan_out",
            "watchers": _WATCHERS,
            "best_s": round(arrived[0], 4),
            "median_s": round(arrived[_EVENTS // 2], 4),
            "worst_s": round(arrived[-1], 4),
            "read_median_s": round(read[_EVENTS // 2], 4),
            "server_us_each": round(spent / _EVENTS / _WATCHERS, 1),
        }


async def idle_watches() -> AsyncIterator[Row]:
    """10,000 watches of which nothing happens: the server's processor time in 20 s, and memory for each."""
    async with serving(own=True) as server:
        idle_mb, before = server.resident_mb(), server.processor_us()
        await asyncio.sleep(_IDLE_S)
        without = server.processor_us() - before
        watchers = Watchers(server.target)
        await asyncio.to_thread(watchers.open, _IDLE_WATCHERS)
        full_mb, before = server.resident_mb(), server.processor_us()
        await asyncio.sleep(_IDLE_S)
        spent = server.processor_us() - before
        watchers.close()
        yield {
            "row": "idle_watches",
            "watchers": _IDLE_WATCHERS,
            "seconds": _IDLE_S,
            "server_us": spent,
            "server_us_without": without,
            "kb_each": round((full_mb - idle_mb) * 1000 / _IDLE_WATCHERS, 1),
        }
