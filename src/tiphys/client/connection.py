"""Keep-alive HTTP/1.1 connections to one server: a request out, its answer back, whole or piece by piece.

Owns: framing, parsing (httptools), reuse, deadlines. Refuses: credentials, URLs, what a status means, sending
anything twice. ``client.transport`` calls it for every request of every component, so each costs as little as
Python allows: one write, one future, one timer. Faults are OSErrors and TimeoutErrors.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from socket import AF_UNIX
from typing import Final, cast

import httptools

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire.dial import Resolved, Tunnel, is_address, look_up
from tiphys.wire.keepalive import OF_CLIENTS, keep_alive

IDLE_S: Final = 60.0
"""A connection that was not used for so long is not used again: the server may be about to end it."""
BUFFER_BYTES: Final = 1 << 20
"""Of a stream that nobody reads; then the server has to wait."""
_SWITCHING: Final = 101


class Unanswered(ConnectionResetError):
    """A kept connection ended before an answer began: the server may not have seen the request."""


class Headers(Mapping[str, str]):
    """An answer's headers by lower-case name, those that repeat joined; read when somebody asks."""

    __slots__ = ("_pairs", "_read")

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self._read: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, str]:
        if self._read is None:
            self._read = {}
            for name, value in self._pairs:
                key, text = _header_name(name), value.decode("latin-1")
                known = self._read.get(key)
                self._read[key] = text if known is None else f"{known}, {text}"
        return self._read


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time. After an error, or a stream left early, it is no more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open = False
        self.idle_since = 0.0
        self.status = 0
        self._pairs: list[tuple[bytes, bytes]] = []
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._streaming = False
        self._used = False
        self._answered = False
        self._head_done = False
        self._done = True
        self._keep = True
        self._paused = False
        self._bodyless = False
        self._error: Exception | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._most = 0

    @property
    def headers(self) -> Headers:
        """The answer's headers."""
        return Headers(self._pairs)

    @property
    def reusable(self) -> bool:
        """Whether the answer has been read to its end and another request may follow."""
        return self.open and self._done and self._keep and self._error is None

    # -- for the pool's callers

    async def fetch(
        self, request: bytes, timeout_s: float, *, bodyless: bool = False, most_bytes: int = 0
    ) -> bytes:
        """Send a request; return the body of the answer, whose head is in ``status`` and ``headers``.

        Raises:
            TimeoutError: it took longer than ``timeout_s``.
            Unanswered, OSError: there is no (whole) answer, or one of over ``most_bytes`` (0: any size).
        """
        self._most = most_bytes
        self._begin(request, streaming=False, bodyless=bodyless)
        await self._wait(timeout_s)
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def start(self, request: bytes, timeout_s: float) -> None:
        """Send a request and wait for the head of the answer; ``read`` gives its body."""
        self._begin(request, streaming=True, bodyless=False)
        await self._wait(timeout_s)

    async def read(self, timeout_s: float) -> bytes:
        """Return what has come of the body, waiting for something; nothing at its end."""
        while not self._chunks:
            if self._done:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait(timeout_s)
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """End the connection at once. Idempotent."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _begin(self, request: bytes, *, streaming: bool, bodyless: bool) -> None:
        assert self._transport is not None
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._pairs, self._chunks, self._size = [], [], 0
        self._streaming, self._bodyless = streaming, bodyless
        self._answered = self._head_done = self._done = False
        self._transport.write(request)

    async def _wait(self, timeout_s: float) -> None:
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self._expire) if timeout_s else None
        try:
            await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        self._fail(TimeoutError("no answer in time"))

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()

    def certificate(self) -> bytes | None:
        """Return what the server has shown of itself (DER), None without TLS or once it has gone."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        found: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
        return found

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        keep_alive(transport.get_extra_info("socket"), OF_CLIENTS)
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._done:
            return
        until_end = self._head_done and not ({"content-length", "transfer-encoding"} & self.headers.keys())
        if exc is None and until_end and self._error is None:
            self._done = True
            self._wake()
        elif self._used and not self._answered:
            self._fail(Unanswered("server disconnected"))
        else:
            self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("server disconnected"))

    def data_received(self, data: bytes) -> None:
        if self._done:
            self.abort()  # nobody asked: what would the next request get?
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"malformed HTTP answer: {error}"))

    # -- called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200 and self.status != _SWITCHING:
            self._pairs = []  # "100 Continue" and the like announce the answer
            return
        self._keep = self._parser.should_keep_alive() and not self._bodyless
        self._head_done = True
        if self._bodyless:
            self._done = True
        if self._streaming or self._done:
            self._wake()

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        if self._streaming:
            self._size += len(data)
            if self._size > BUFFER_BYTES and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            self._wake()
        elif self._most:
            self._size += len(data)
            if self._size > self._most:
                self._fail(ConnectionError(f"the response is larger than {self._most} bytes"))

    def on_message_complete(self) -> None:
        if self._head_done:
            self._done = self._used = True
            self._wake()


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


@dataclass(frozen=True, slots=True)
class Address:
    """Where connections go. ``server_name`` empty: the certificate must be for ``host``."""

    host: str
    port: int
    ssl_context: ssl.SSLContext | None = None
    server_name: str = ""
    through: Tunnel | None = None


class Pool:
    """Connections to one address: idle ones are used again, the latest first."""

    def __init__(
        self,
        address: Address,
        connect_timeout_s: float,
        before: Callable[[], None] | None = None,
        resolved: Resolved | None = None,
    ) -> None:
        """``before`` is called before each new connection, ``resolved`` with a host and how long it took
        in seconds where its name had to be looked up.
        """
        self._address = address
        self._before = before
        self._resolved = resolved
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._drained: set[Connection] = set()
        self._closed = False

    async def take(self, *, fresh: bool = False) -> Connection:
        """Return a connection of the caller's own until ``give``; ``fresh``: one that was never used.

        Raises OSError, TimeoutError.
        """
        now = asyncio.get_running_loop().time()
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < IDLE_S:
                self._busy.add(connection)
                return connection
            connection.abort()
        connection = await self._connect()
        self._busy.add(connection)
        return connection

    def give(self, connection: Connection) -> None:
        """Take a connection back: for the next one if it is reusable, else to be ended."""
        self._busy.discard(connection)
        drained = connection in self._drained
        self._drained.discard(connection)
        if not connection.reusable or self._closed or drained:
            connection.abort()
            return
        now = connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        while self._idle and now - self._idle[0].idle_since >= IDLE_S:
            self._idle.popleft().abort()

    def drain(self) -> None:
        """End idle connections, and those in use once they are given back."""
        self._drained |= self._busy
        while self._idle:
            self._idle.pop().abort()

    def use(self, context: ssl.SSLContext) -> None:
        """Make connections with another context from now on, and end those of the old one."""
        self._address = replace(self._address, ssl_context=context)
        self.drain()

    def close(self) -> None:
        """End every connection, those in use too."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        self._busy.clear()

    async def _connect(self) -> Connection:
        if self._closed:
            raise ConnectionError("the client is closed")
        if self._before is not None:
            self._before()
        loop, address = asyncio.get_running_loop(), self._address
        name = (address.server_name or address.host) if address.ssl_context is not None else None
        async with asyncio.timeout(self._connect_timeout_s):
            if address.through is not None:
                sock = await address.through(address.host, address.port)
                make = loop.create_unix_connection if sock.family == AF_UNIX else loop.create_connection
                _, connection = await make(
                    lambda: Connection(loop), sock=sock, ssl=address.ssl_context, server_hostname=name
                )
                return connection
            return await self._connect_to_one(loop, await self._look_up(loop), name)

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        """Return the addresses that the host's name stands for. Raises OSError."""
        host = self._address.host
        if is_address(host):
            return [host]
        found = await look_up(loop, host, self._address.port, self._resolved)
        return list(dict.fromkeys(str(place[0]) for *_, place in found))

    async def _connect_to_one(
        self, loop: asyncio.AbstractEventLoop, hosts: Sequence[str], name: str | None
    ) -> Connection:
        """Try each in turn. Raises the last one's OSError."""
        last = OSError(f"no address for {self._address.host}")
        for host in hosts:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    host,
                    self._address.port,
                    ssl=self._address.ssl_context,
                    server_hostname=name,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
            else:
                return connection
        raise last
