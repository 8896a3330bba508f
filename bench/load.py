"""A small closed-loop HTTP/1.1 load generator: N keep-alive connections, each one request at a time.

It parses only what it must (status, Content-Length or chunked end), so that on two shared cores it costs
less than the server it measures. Works against any Kubernetes API by URL and token.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import cast


@dataclasses.dataclass(frozen=True)
class Target:
    """Where to send requests: URL, bearer token or client certificate, CA (none: unverified)."""

    url: str
    token: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def from_environment(cls) -> Target:
        """Read BENCH_URL, BENCH_TOKEN, BENCH_CA, BENCH_CERT, BENCH_KEY."""
        read = os.environ.get
        return cls(
            read("BENCH_URL", ""),
            read("BENCH_TOKEN", ""),
            read("BENCH_CA", ""),
            read("BENCH_CERT", ""),
            read("BENCH_KEY", ""),
        )

    def context(self) -> ssl.SSLContext | None:
        if self.url.startswith("http://"):
            return None
        context = ssl.create_default_context(cafile=self.ca or None)
        if not self.ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def head(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes:
        host = urllib.parse.urlsplit(self.url).netloc
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if body:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclasses.dataclass
class Result:
    """What a run came to; ``latencies_s`` is sorted."""

    requests: int = 0
    errors: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = dataclasses.field(default_factory=list)

    def percentile(self, share: float) -> float:
        return (
            self.latencies_s[min(int(len(self.latencies_s) * share), len(self.latencies_s) - 1)]
            if self.latencies_s
            else 0.0
        )

    def row(self, name: str, **more: object) -> dict[str, object]:
        rate = self.requests / self.seconds if self.seconds else 0.0
        return {
            "row": name,
            "per_second": round(rate, 1),
            "requests": self.requests,
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "p50_ms": round(self.percentile(0.5) * 1000, 2),
            "p99_ms": round(self.percentile(0.99) * 1000, 2),
            "megabytes": round(self.bytes_read / 1e6, 1),
            **more,
        }


class _Lane(asyncio.Protocol):
    """One connection with one request at a time; the next goes out where the last answer ended."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._body_left = 0
        self._status = 0
        self._sent_at = 0.0
        self._chunked = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def send(self) -> None:
        """Send the next request, or end."""
        self._sent_at = time.perf_counter()
        request = next(self._run.source, None) if self._sent_at < self._run.deadline else None
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._run.result.bytes_read += len(data)
        if self._body_left and not self._chunked:
            self._body_left -= len(data)
            if self._body_left == 0:
                self._answered()
            return
        self._buffer += data
        if not self._status and not self._read_head():
            return
        if self._chunked and self._buffer.endswith(b"0\r\n\r\n"):
            self._answered()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        self._status = int(head[9:12])
        at = head.find(b"content-length:")
        self._chunked = at < 0
        if self._chunked:
            return True
        stop = head.find(b"\r\n", at)
        length = int(head[at + 15 : stop if stop >= 0 else None])
        self._body_left = length - (len(self._buffer) - end - 4)
        if self._body_left == 0:
            self._answered()
        return False

    def _answered(self) -> None:
        result = self._run.result
        result.latencies_s.append(time.perf_counter() - self._sent_at)
        result.requests += 1
        result.errors += not self._run.good(self._status)
        self._buffer.clear()
        self._status = 0
        self.send()


@dataclasses.dataclass
class _Run:
    source: Iterator[bytes]
    deadline: float
    good: Callable[[int], bool]
    result: Result


async def run(
    target: Target,
    requests: Iterable[bytes],
    *,
    connections: int,
    seconds: float = 0.0,
    good: Callable[[int], bool] = lambda s: s < 400,
) -> Result:
    """Send what ``requests`` yields over ``connections``, until it ends or ``seconds`` have passed.

    Connections are made, handshakes included, before the clock starts.
    """
    parts, context = urllib.parse.urlsplit(target.url), target.context()
    loop = asyncio.get_running_loop()
    state = _Run(iter(requests), float("inf"), good, Result())
    lanes = []
    for _ in range(connections):
        _, lane = await loop.create_connection(
            lambda: _Lane(state), parts.hostname or "", parts.port or 443, ssl=context
        )
        lanes.append(lane)
    started = time.perf_counter()
    if seconds:
        state.deadline = started + seconds
    for lane in lanes:
        lane.send()
    await asyncio.gather(*(lane.done for lane in lanes))
    state.result.seconds = time.perf_counter() - started
    state.result.latencies_s.sort()
    return state.result


def show(row: dict[str, object]) -> None:
    """Print a row as its one JSON line."""
    print(json.dumps(row), flush=True)
