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
from collections.abc import Callable, Iterable


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


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, int]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        length = int(lower[at + 15 : lower.index(b"\r\n", at)])
        if length:
            await reader.readexactly(length)
        return status, len(head) + length
    total = len(head)
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        await reader.readexactly(size + 2)
        total += size
        if not size:
            return status, total


async def run(
    target: Target,
    requests: Iterable[bytes],
    *,
    connections: int,
    seconds: float = 0.0,
    good: Callable[[int], bool] = lambda s: s < 400,
) -> Result:
    """Send what ``requests`` yields over ``connections``, until it ends or ``seconds`` have passed."""
    result, source = Result(), iter(requests)
    parts = urllib.parse.urlsplit(target.url)
    context = target.context()
    started = time.perf_counter()
    deadline = started + seconds if seconds else float("inf")

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=context, limit=64 * 1024 * 1024
        )
        try:
            for request in source:
                before = time.perf_counter()
                if before > deadline:
                    return
                writer.write(request)
                status, size = await _read_response(reader)
                result.latencies_s.append(time.perf_counter() - before)
                result.requests += 1
                result.bytes_read += size
                result.errors += not good(status)
        finally:
            writer.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    result.seconds = time.perf_counter() - started
    result.latencies_s.sort()
    return result


def show(row: dict[str, object]) -> None:
    """Print a row as its one JSON line."""
    print(json.dumps(row), flush=True)
