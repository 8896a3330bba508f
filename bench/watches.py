"""Rows: one event to 1,000 watchers; 10,000 idle ones. The watchers' sockets live in this process.

They are bare TLS sockets behind one epoll, read in a thread: those of an event loop would take more of the
two cores than the server that is measured.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator

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


class Watchers:
    """Open watches of one collection. Everything here blocks: it runs in a thread."""

    def __init__(self, target: load.Target) -> None:
        self._target = target
        self._context = target.context()
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = bytearray(64 * 1024)

    def open(self, count: int) -> None:
        """Open so many watches, and wait for the head of each answer."""
        parts = urllib.parse.urlsplit(self._target.url)
        host, port = parts.hostname or "", parts.port or 443
        request = self._target.head("GET", f"{_MAPS}?watch=1&allowWatchBookmarks=false&resourceVersion=0")
        for _ in range(count):
            sock = self._connect(host, port)
            sock.sendall(request)
            sock.recv(4096)
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._poll.register(sock.fileno(), select.EPOLLIN)
        self._writer = self._connect(host, port)

    def _connect(self, host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port), _LIMIT_S)
        return sock if self._context is None else self._context.wrap_socket(sock, server_hostname=host)

    def event(self, index: int) -> float:
        """Create one object over an open connection; return the seconds until every watcher has its event."""
        body = objects.body(objects.config_map(index, "event"))
        request = self._target.head("POST", _MAPS, body) + body
        before = time.perf_counter()
        self._writer.sendall(request)
        took_s = self._wait(len(self._sockets)) - before
        answer = self._writer.recv(4096)
        if not answer.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(f"refused: {answer[:100]!r}")
        return took_s

    def _wait(self, left: int) -> float:
        """Read until so many events have come; return when. Raises TimeoutError."""
        deadline = time.monotonic() + _LIMIT_S
        while left > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{left} events did not come")
            for number, _ in self._poll.poll(1.0):
                try:
                    size = self._sockets[number].recv_into(self._buffer)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                left -= self._buffer.count(_EVENT, 0, size)
        return time.perf_counter()

    def close(self) -> None:
        """Drop every watch."""
        for sock in (self._writer, *self._sockets.values()):
            sock.close()
        self._poll.close()


async def watch_fan_out() -> AsyncIterator[Row]:
    """One ConfigMap is created: the time from its request until all of 1,000 watchers have the event."""
    async with serving() as server:
        watchers = Watchers(server.target)
        await asyncio.to_thread(watchers.open, _WATCHERS)
        before, result = server.processor_us(), load.Result()
        for index in range(_EVENTS):
            result.latencies_s.append(await asyncio.to_thread(watchers.event, index))
        spent = server.processor_us() - before
        watchers.close()
        result.latencies_s.sort()
        yield {
            "row": "watch_fan_out",
            "watchers": _WATCHERS,
            "best_s": round(result.latencies_s[0], 4),
            "median_s": round(result.percentile(0.5), 4),
            "worst_s": round(result.latencies_s[-1], 4),
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
