"""Proxies that are asked with HTTP's CONNECT, over TCP, over TLS, or on a unix socket.

Owns: the question, reading its answer, and upstream's words for every way to be refused. Where nothing lies
between, the socket to the proxy is the tunnel itself; with TLS it is one end of a pair (``spans.Spans``).
Source: RFC 9110, section 9.3.6.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.egress.spans import Spans
from tiphys.wire import client
from tiphys.wire.dial import TunnelFailed
from tiphys.wire.reasons import reason_of
from tiphys.wire.upgrade import RawStream

_MAX_HEAD_BYTES: Final = 1 << 20
_PATIENCE_S: Final = 30.0
Read = Callable[[], Awaitable[bytes]]
Write = Callable[[bytes], Awaitable[None]]


def joined(host: str, port: int) -> str:
    """Return an address as Go writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, eq=False)
class UnixProxy:
    """A proxy on a unix socket."""

    path: str

    async def connect(self) -> socket.socket:
        """Reach the proxy. Raises TunnelFailed."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.path)
        except OSError as error:
            sock.close()
            why = (error.strerror or str(error)).lower()
            raise TunnelFailed(f"dial unix {self.path}: connect: {why}") from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def lead_on(self, sock: socket.socket, /, host: str, port: int) -> socket.socket:
        """Have the proxy connect to an address. Raises TunnelFailed; then the socket is closed."""
        loop = asyncio.get_running_loop()

        async def read() -> bytes:
            return await loop.sock_recv(sock, _MAX_HEAD_BYTES)

        async def write(data: bytes) -> None:
            await loop.sock_sendall(sock, data)

        try:
            await ask(read, write, self.path, joined(host, port))
        except BaseException:
            sock.close()
            raise
        return sock


@dataclass(frozen=True, slots=True, eq=False)
class TcpProxy:
    """A proxy behind an address; with a ``context``, over TLS as ``server_name``."""

    host: str
    port: int
    context: ssl.SSLContext | None
    server_name: str
    spans: Spans

    async def connect(self) -> RawStream:
        """Reach the proxy. Raises TunnelFailed."""
        try:
            return await client.connect(
                self.host, self.port, ssl_context=self.context, server_name=self.server_name,
                timeout_s=_PATIENCE_S,
            )  # fmt: skip
        except client.ConnectFailed as error:
            raise TunnelFailed(reason_of(error)) from error

    async def lead_on(self, stream: RawStream, /, host: str, port: int) -> socket.socket:
        """Have the proxy connect to an address. Raises TunnelFailed; then the stream is closed."""
        try:
            await ask(stream.read, stream.write, joined(self.host, self.port), joined(host, port))
            return await self.spans.span(stream)
        except BaseException:
            await stream.close()
            raise


async def ask(read: Read, write: Write, proxy: str, address: str) -> None:
    """Ask a proxy for a way to an address, and read the answer's head. Raises TunnelFailed."""
    head = b""
    try:
        await write(f"CONNECT {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"))
        while b"\r\n\r\n" not in head:
            data = await read()
            if not data or len(head) > _MAX_HEAD_BYTES:
                raise ConnectionError("unexpected EOF")
            head += data
        code, status = _status(head)
    except (OSError, ValueError) as error:
        text = f"reading HTTP response from CONNECT to {address} via proxy {proxy} failed: {error}"
        raise TunnelFailed(text) from error
    if code != 200:
        raise TunnelFailed(f"proxy error from {proxy} while dialing {address}, code {code}: {status}")
    extra = len(head) - head.index(b"\r\n\r\n") - 4
    if extra:  # whoever is behind the proxy waits for the client's first word
        raise TunnelFailed(f'unexpected {extra} bytes of buffered data from CONNECT proxy "{proxy}"')


def _status(head: bytes) -> tuple[int, str]:
    """Return the code of an answer and its status. Raises ValueError."""
    line = head.partition(b"\r\n")[0].decode("latin-1")
    version, _, status = line.partition(" ")
    code = status.strip()[:3]
    if not version.startswith("HTTP/") or len(code) != 3 or not code.isdigit():
        raise ValueError(f'malformed HTTP response "{line}"')
    return int(code), status.strip()
