"""How requests travel: the ``Transport`` protocol and HTTP over aiohttp.

Knows sockets, TLS and credentials; knows nothing of kinds or objects. ``client.rest`` is the caller.
A refused or broken connection becomes ``TransportError``; HTTP statuses are answers, not errors.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import TiphysError
from tiphys.client.metrics import REQUEST_SECONDS, REQUESTS

REQUEST_TIMEOUT_S = 60.0
_TOKEN_REFRESH_S = 60.0
_CONNECT_TIMEOUT_S = 10.0


class TransportError(TiphysError):
    """The server could not be reached, or went away mid-answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send. ``query`` is already encoded."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_s: float = REQUEST_TIMEOUT_S
    """The whole exchange; for a stream, the longest silence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
        anonymous_ssl: Callable[[], ssl.SSLContext | None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._server = server.rstrip("/")
        self._ssl = ssl_context
        self._credentials = credentials or Credentials()
        self._server_name = server_name or None
        self._anonymous_ssl = anonymous_ssl
        self._anonymous: HttpTransport | None = None
        self._clock = clock or RealClock()
        self._session: aiohttp.ClientSession | None = None
        self._token = self._credentials.token
        self._token_read_at: float | None = None

    @property
    def server(self) -> str:
        return self._server

    async def send(self, call: Call) -> Answer:
        timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
        began = self._clock.monotonic()
        try:
            async with self._request(call, timeout) as response:
                answer = Answer(response.status, _lower(response), await response.read())
            self._count(call, str(answer.status), self._clock.monotonic() - began)
            return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count(call, "<error>", self._clock.monotonic() - began)
            raise TransportError(f"{call.method} {self._server}{call.path}: {_text(error)}") from error

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=call.timeout_s or None
        )
        where = f"{call.method} {self._server}{call.path}"
        try:
            response = await self._request(call, timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{where}: {_text(error)}") from error
        try:
            yield Stream(response.status, _lower(response), _chunks(response, where))
        finally:
            # A stream that is left early cannot be reused: the rest of it is still on its way.
            response.close()

    def _count(self, call: Call, code: str, seconds: float) -> None:
        host = self._server.partition("://")[2]
        REQUESTS.labels(code, call.method, host).inc()
        REQUEST_SECONDS.labels(call.method, host).observe(seconds)

    def anonymous(self) -> Transport:
        """One for all who ask; it is closed with this one."""
        if self._anonymous is None:
            context = self._anonymous_ssl() if self._anonymous_ssl is not None else self._ssl
            self._anonymous = HttpTransport(
                self._server, ssl_context=context, server_name=self._server_name or "", clock=self._clock
            )
        return self._anonymous

    async def close(self) -> None:
        if self._anonymous is not None:
            await self._anonymous.close()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _request(self, call: Call, timeout: aiohttp.ClientTimeout) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=90)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        url = f"{self._server}{call.path}"
        if call.query:
            url = f"{url}?{call.query}"
        return self._session.request(
            call.method,
            URL(url, encoded=True),
            headers={**self._auth_headers(), **call.headers},
            data=call.body or None,
            ssl=self._ssl if self._ssl is not None else True,
            server_hostname=self._server_name,
            timeout=timeout,
            allow_redirects=False,
        )

    def _auth_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif self._credentials.username:
            headers["Authorization"] = aiohttp.encode_basic_auth(
                self._credentials.username, self._credentials.password
            )
        if self._credentials.impersonate_user:
            headers["Impersonate-User"] = self._credentials.impersonate_user
        return headers

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


async def _chunks(response: aiohttp.ClientResponse, where: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"{where}: {_text(error)}") from error


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
