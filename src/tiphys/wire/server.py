"""The server of HTTP/1.1 and HTTP/2 that every listening component uses: API server, kubelet, metrics.

Owns listening sockets, the connections made on them, their timeouts and the graceful end. What a request
means is the handler's business (``wire.message``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from email.utils import format_datetime
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Final

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import http1, tls_listener
from tiphys.wire.connection import Connection
from tiphys.wire.keepalive import OF_SERVERS, keep_alive
from tiphys.wire.message import AtOnce, Handler
from tiphys.wire.peer import PeerChains
from tiphys.wire.tls_listener import TlsListener

if TYPE_CHECKING:
    from tiphys.wire.http2.connection import Http2Connection

MAX_BODY_BYTES: Final = 3 * 1024 * 1024
MAX_STREAMS: Final = 100
_READ_BYTES: Final = 128 * 1024
_SHARED_BYTES: Final = 64 * 1024
_SWEEP_S: Final = 1.0
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How much and how long a client may take."""

    max_body_bytes: int = MAX_BODY_BYTES
    unasked_bytes: int = 256 * 1024
    """So much of a body may come before somebody wants it: longer ones are looked at while they come."""
    max_header_bytes: int = 1024 * 1024
    """Of one request, as Go's servers take them: long selectors are in them, and tokens of many groups."""
    idle_s: float = 120.0
    """Between two requests of a connection. Go's clients end theirs after 90 s and should be first:
    a request that may not be repeated must not meet a connection that is being closed."""
    read_s: float = 32.0
    """Of silence inside one request; its head must have come in that time, as Go's servers want it."""
    stall_s: float = 60.0
    """Of a client not reading what it asked for."""
    handshake_s: float = 10.0
    backlog: int = 4096
    max_streams: int = MAX_STREAMS
    """Of a connection of HTTP/2 at a time."""
    goaway_chance: float = 0.0
    """How many of the requests over HTTP/2 are the last of their connection."""
    shares_port: bool = False
    """Whether others may listen on the same address and port."""


class Server:
    """Listens on any number of addresses with one handler; ``stop`` ends it gracefully."""

    def __init__(
        self, handler: Handler, *, limits: ServerLimits | None = None, clock: Clock | None = None
    ) -> None:
        self.handler = handler
        self.at_once: AtOnce | None = getattr(handler, "at_once", None)
        self.asks_for_bodies = bool(getattr(handler, "asks_for_bodies", False))
        self.limits = limits or ServerLimits()
        self.max_body_bytes = self.limits.max_body_bytes
        self.unasked_bytes = self.limits.unasked_bytes
        self.max_header_bytes = self.limits.max_header_bytes
        self.connections: set[Connection | Http2Connection] = set()
        self.timed: set[Connection | Http2Connection] = set()
        self.http2_connections = 0
        """So many clients chose HTTP/2."""
        self.lines = http1.RequestLines()
        self.peers = PeerChains()
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._chunk = self._framed = b""
        self._clock = clock or RealClock()
        self._listeners: list[asyncio.Server | TlsListener] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._set_time()

    def _set_time(self) -> None:
        # Read once a second and not once a request: headers and timeouts need no better.
        self.tick = self._clock.monotonic()
        self.date = format_datetime(self._clock.now(), usegmt=True)
        self.date_bytes = self.date.encode()

    def framed(self, chunk: bytes) -> bytes:
        """Return a chunk of a stream in HTTP's framing: once, where many connections send the same."""
        if chunk is self._chunk:
            return self._framed
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        if len(framed) <= _SHARED_BYTES:  # an event; larger ones are what one watch begins with
            self._chunk, self._framed = chunk, framed
        return framed

    async def listen(self, host: str, port: int = 0, *, ssl_context: ssl.SSLContext | None = None) -> socket:
        """Accept connections on an address and return its socket. Port 0 takes a free one. Raises OSError."""
        loop, backlog = asyncio.get_running_loop(), self.limits.backlog
        make = partial(self._connection, loop)
        added: Sequence[asyncio.Server | TlsListener]
        if ssl_context is None:
            shares = self.limits.shares_port
            added = [
                await loop.create_server(
                    make, host, port, backlog=backlog, reuse_address=True, reuse_port=shares
                )
            ]
        else:
            added = await tls_listener.listen(
                host,
                port,
                context=ssl_context,
                make_protocol=make,
                handshake_s=self.limits.handshake_s,
                backlog=backlog,
                shares_port=self.limits.shares_port,
            )
        for listening in (sock for one in added for sock in one.sockets):
            keep_alive(listening, OF_SERVERS)  # of all that it accepts
        self._listeners += added
        if self._sweeper is None:
            self._sweep()
        return added[0].sockets[0]

    def _connection(
        self, loop: asyncio.AbstractEventLoop, chosen: str | None = None
    ) -> Connection | Http2Connection:
        if chosen != "h2":
            return Connection(self, loop)
        from tiphys.wire.http2.connection import Http2Connection

        return Http2Connection(self, loop)

    @property
    def sockets(self) -> Sequence[socket]:
        """Every listening socket."""
        return [sock for listener in self._listeners for sock in listener.sockets]

    @property
    def port(self) -> int:
        """Port of the first address."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def handshake_errors(self) -> int:
        """How many TLS handshakes failed."""
        return sum(getattr(listener, "handshake_errors", 0) for listener in self._listeners)

    def replace_context(self, context: ssl.SSLContext) -> None:
        """Speak TLS with another context from now on; connections that there are stay as they are."""
        for listener in self._listeners:
            if isinstance(listener, TlsListener):
                listener.replace_context(context)

    def replace_handler(self, handler: Handler) -> None:
        """Have another handler answer what comes from now on."""
        self.handler = handler
        self.at_once = getattr(handler, "at_once", None)
        self.asks_for_bodies = bool(getattr(handler, "asks_for_bodies", False))

    def close(self) -> None:
        """Accept no more connections, and end each once its request is answered. What lasts goes on."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.retire()

    async def end_streams(self, grace_s: float, least_a_second: int = 1) -> None:
        """End all streams, one after the other: evenly in ``grace_s``, or faster."""
        streaming = [stream for one in self.connections for stream in one.endless]
        step_s = min(grace_s / max(len(streaming), 1), 1 / least_a_second)
        begun = self._clock.monotonic()
        for number, stream in enumerate(streaming):
            ahead_s = number * step_s - (self._clock.monotonic() - begun)
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            stream.end()

    async def outlast_streams(self, timeout_s: float) -> None:
        """Wait until all streams have ended by themselves; those that last longer go on behind it."""
        deadline = self._clock.monotonic() + timeout_s
        while any(one.endless for one in self.connections) and self._clock.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def _sweep(self) -> None:
        self._set_time()
        limits = self.limits
        for connection in list(self.timed):
            connection.sweep(self.tick, idle_s=limits.idle_s, read_s=limits.read_s, stall_s=limits.stall_s)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop accepting, end streams and upgrades, let requests finish for ``grace_s``. Idempotent."""
        for listener in self._listeners:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = {task for connection in self.connections for task in connection.tasks}
        for connection in list(self.connections):
            connection.end()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        left = list(self.connections)
        tasks |= {task for connection in left for task in connection.tasks}
        for connection in left:
            connection.abort()
        pending = {task for task in tasks if not task.done()}
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        self._listeners = []


@asynccontextmanager
async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    limits: ServerLimits | None = None,
    addresses: Iterable[tuple[str, int]] = (),
    grace_s: float = 5.0,
) -> AsyncIterator[Server]:
    """Serve for the length of a ``with`` block; ``addresses`` are further ones. Raises OSError."""
    server = Server(handler, limits=limits or ServerLimits(max_body_bytes=max_body_bytes))
    try:
        await server.listen(host, port, ssl_context=ssl_context)
        for extra_host, extra_port in addresses:
            await server.listen(extra_host, extra_port, ssl_context=ssl_context)
        yield server
    finally:
        await server.stop(grace_s)
