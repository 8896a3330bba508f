"""How requests travel: the ``Transport`` protocol, and HTTP over ``client.connection``.

Knows sockets, TLS and credentials; knows nothing of kinds or objects. ``client.rest`` is the caller.
A refused or broken connection becomes ``TransportError``; HTTP statuses are answers, not errors.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.client import call_counts
from tiphys.client.call_counts import FAILED, CallCounts
from tiphys.client.connection import Address, Connection, Pool, Unanswered
from tiphys.client.tls_files import TlsFiles
from tiphys.wire.dial import Tunnel

REQUEST_TIMEOUT_S = 60.0
_TOKEN_REFRESH_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
FILES_S: Final = 60.0
"""How often the files of certificates are looked at; upstream's clients do so every five minutes."""
_REPEATABLE: Final = frozenset(("GET", "HEAD", "PUT", "DELETE"))
"""Sent again when a kept connection turns out to have ended: doing them twice is doing them once."""
_UNPACKED: Final = "Accept-Encoding: identity"
"""Components mostly speak over loopback, where packing large lists costs more than it saves; none unpacks."""
_BODIES: Final = frozenset(("POST", "PUT", "PATCH"))


class TransportError(TiphysError):
    """The server could not be reached, or went away mid-answer."""


@dataclass(slots=True)
class Call:
    """One request to send. ``query`` is already encoded. Not to be changed (frozen ones cost more)."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_s: float = REQUEST_TIMEOUT_S
    """The whole exchange; for a stream, the longest silence."""
    repeats: int = 0
    """The status of the answer that it is sent once more for."""
    most_bytes: int = 0
    """So large may the body of a whole answer be; 0: of any size."""


@dataclass(slots=True)
class Answer:
    """A whole answer; header names are lower-case. Not to be changed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate: bytes | None = None
    """Of a server that nobody has verified (DER)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body arrives in pieces of any size."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Carries requests to one API server; safe for concurrent use on one event loop."""

    async def send(self, call: Call) -> Answer:
        """Send and read the whole answer. Raises TransportError."""
        ...

    def stream(self, call: Call) -> AbstractAsyncContextManager[Stream]:
        """Send and read the answer as it comes. Raises TransportError, also between chunks."""
        ...

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        ...

    def anonymous(self) -> Transport:
        """Return a transport to the same server that shows no credentials of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the client is. A token file is read again every minute, as bound tokens rotate."""

    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    impersonate_user: str = ""


class HttpTransport:
    """HTTP/1.1 with keep-alive. ``server`` is ``https://host:port`` with an optional path prefix."""

    def __init__(
        self,
        server: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        credentials: Credentials | None = None,
        server_name: str = "",
        through: Tunnel | None = None,
        files: TlsFiles | None = None,
        anonymous: Callable[[], HttpTransport] | None = None,
        clock: Clock | None = None,
        counted: bool = True,
    ) -> None:
        """``counted``: what goes out are calls of an API client, and shown as such."""
        self._server = server.rstrip("/")
        self._ssl = ssl_context
        self._credentials = credentials or Credentials()
        self._server_name = server_name
        self._through = through
        self._files = files
        self._look_again: asyncio.TimerHandle | None = None
        self._make_anonymous = anonymous
        self._anonymous: HttpTransport | None = None
        self._clock = clock or RealClock()
        parts = urlsplit(self._server)
        secure = parts.scheme == "https"
        self._prefix, self._host = parts.path, parts.netloc.rpartition("@")[2]
        context = (ssl_context or ssl.create_default_context()) if secure else None
        self._unverified = context is not None and context.verify_mode is ssl.CERT_NONE
        port = parts.port or (443 if secure else 80)
        address = Address(parts.hostname or "", port, context, server_name, through)
        self._pool = Pool(
            address, _CONNECT_TIMEOUT_S, self._look if files is not None else None,
            call_counts.resolved if counted else None,
        )  # fmt: skip
        self._counts = CallCounts(self._host) if counted else None
        if counted:
            call_counts.made()
        self._token = self._credentials.token
        self._token_read_at: float | None = None

    @property
    def server(self) -> str:
        return self._server

    async def send(self, call: Call) -> Answer:
        began, counts = self._clock.monotonic(), self._counts
        if call.repeats and counts is not None:
            counts.again(call.method, str(call.repeats))
        try:
            answer = await self._exchange(call)
        except (TimeoutError, OSError) as error:
            if counts is not None:
                counts.failed(call.method, self._clock.monotonic() - began, len(call.body))
            raise TransportError(f"{self._where(call)}: {_text(error)}") from error
        if counts is not None:
            took_s = self._clock.monotonic() - began
            counts.answered(call.method, str(answer.status), took_s, len(call.body), len(answer.body))
        return answer

    async def _exchange(self, call: Call) -> Answer:
        request, bodyless, most = self._encode(call), call.method == "HEAD", call.most_bytes
        connection = await self._pool.take()
        try:
            try:
                body = await connection.fetch(request, call.timeout_s, bodyless=bodyless, most_bytes=most)
            except Unanswered:
                if call.method not in _REPEATABLE:
                    raise
                self._pool.give(connection)
                connection = await self._pool.take(fresh=True)
                body = await connection.fetch(request, call.timeout_s, bodyless=bodyless, most_bytes=most)
            shown = connection.certificate() if self._unverified else None
            return Answer(connection.status, connection.headers, body, shown)
        finally:
            self._pool.give(connection)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        where, counts = self._where(call), self._counts
        try:
            connection = await self._start(call)
        except (TimeoutError, OSError) as error:
            if counts is not None:
                counts.began(call.method, FAILED)
            raise TransportError(f"{where}: {_text(error)}") from error
        if counts is not None:
            counts.began(call.method, str(connection.status))
        try:
            chunks = _chunks(connection, call.timeout_s, where)
            yield Stream(connection.status, connection.headers, chunks)
        finally:
            # One that is left early cannot be used again: the rest is still on its way.
            self._pool.give(connection)

    async def _start(self, call: Call) -> Connection:
        request = self._encode(call)
        connection = await self._pool.take()
        try:
            await connection.start(request, call.timeout_s)
        except Unanswered:
            self._pool.give(connection)
            connection = await self._pool.take(fresh=True)
            await self._start_on(connection, request, call)
        except BaseException:
            self._pool.give(connection)
            raise
        return connection

    async def _start_on(self, connection: Connection, request: bytes, call: Call) -> None:
        try:
            await connection.start(request, call.timeout_s)
        except BaseException:
            self._pool.give(connection)
            raise

    def _where(self, call: Call) -> str:
        return f"{call.method} {self._server}{call.path}"

    def _encode(self, call: Call) -> bytes:
        """Write a request. Raises TransportError for a line break where none may be."""
        target = f"{self._prefix}{call.path}" or "/"
        if call.query:
            target = f"{target}?{call.query}"
        lines = [f"{call.method} {target} HTTP/1.1", f"Host: {self._host}", _UNPACKED]
        lines += self._auth_lines()
        lines += [f"{name}: {value}" for name, value in call.headers.items()]
        if call.body or call.method in _BODIES:
            lines.append(f"Content-Length: {len(call.body)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise TransportError(f"{self._where(call)!r}: line break in a request's head")
        return b"%b\r\n\r\n%b" % (head.encode("latin-1"), call.body)

    def renew(self, certificate: bytes, key: bytes) -> None:
        """Show another client certificate (PEM) from now on; connections that showed the old one end."""
        if self._ssl is not None:
            load_chain(self._ssl, certificate, key)
            self._pool.drain()

    def _look(self) -> None:
        """Take over files that were written anew: before each connection, and while there may be some."""
        assert self._files is not None
        context = self._files.changed()
        if context is not None:
            self._ssl = context
            self._pool.use(context)
        if self._look_again is not None:
            self._look_again.cancel()
        self._look_again = asyncio.get_running_loop().call_later(FILES_S, self._look)

    def anonymous(self) -> Transport:
        """One for all who ask; it is closed with this one."""
        if self._anonymous is None:
            self._anonymous = self._make_anonymous() if self._make_anonymous else self._bare()
        return self._anonymous

    def _bare(self) -> HttpTransport:
        return HttpTransport(
            self._server, ssl_context=self._ssl, server_name=self._server_name, through=self._through,
            clock=self._clock, counted=self._counts is not None,
        )  # fmt: skip

    async def close(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
        if self._anonymous is not None:
            await self._anonymous.close()
        self._pool.close()

    def _auth_lines(self) -> list[str]:
        lines = []
        token = self._current_token()
        if token:
            lines.append(f"Authorization: Bearer {token}")
        elif self._credentials.username:
            pair = f"{self._credentials.username}:{self._credentials.password}".encode()
            lines.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
        if self._credentials.impersonate_user:
            lines.append(f"Impersonate-User: {self._credentials.impersonate_user}")
        return lines

    def _current_token(self) -> str:
        if not self._credentials.token_file:
            return self._token
        now = self._clock.monotonic()
        if self._token_read_at is None or now - self._token_read_at >= _TOKEN_REFRESH_S:
            self._token_read_at = now
            try:
                self._token = Path(self._credentials.token_file).read_text(encoding="utf-8").strip()
            except OSError:
                # The last token may still be good; without one the server will answer 401.
                self._token = self._token or self._credentials.token
        return self._token


def load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Hand PEM bytes to OpenSSL, which reads files only: a private file that lives for one call."""
    with tempfile.TemporaryDirectory(prefix="tiphys-") as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(path)


async def _chunks(connection: Connection, silence_s: float, where: str) -> AsyncIterator[bytes]:
    try:
        while data := await connection.read(silence_s):
            yield data
    except (TimeoutError, OSError) as error:
        raise TransportError(f"{where}: {_text(error)}") from error


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
