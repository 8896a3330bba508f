"""Outgoing connections as ``ByteStream``s: TCP, or TLS on the socket itself as the server has it.

The event loop's own TLS drops what a peer sent last where that ends the connection right behind it and the
reader is slow; here every byte that came is read before the end is.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, cast

from tiphys.wire.keepalive import OF_STREAMS, keep_alive
from tiphys.wire.tls import TlsTransport
from tiphys.wire.tls_handshake import Handshake
from tiphys.wire.upgrade import RawStream

READ_BYTES: Final = 64 * 1024
Tunnel = Callable[[str, int], Awaitable[socket.socket]]
"""Connects to a host and port by way of somebody else; returns a non-blocking socket. Raises TunnelFailed."""
Resolved = Callable[[str, float], None]
"""Is told which name was looked up, and how long that took in seconds."""
Place = tuple[int, int, int, str, Any]
"""As ``getaddrinfo`` has them."""


class TunnelFailed(ConnectionError):
    """There is no way through; the text says who was asked for one."""


async def dial(
    host: str,
    port: int,
    *,
    ssl_context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeout_s: float = 10.0,
    through: Tunnel | None = None,
    resolved: Resolved | None = None,
) -> RawStream:
    """Connect, ``through`` a tunnel where one is given; ``resolved`` is told of a name that is looked up.

    Raises OSError (with TLS: ssl.SSLError among them; with a tunnel: TunnelFailed), TimeoutError.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        if ssl_context is None and through is None:
            transport, protocol = await loop.create_connection(lambda: _Dialed(loop), host, port)
            keep_alive(transport.get_extra_info("socket"), OF_STREAMS)
            return protocol.stream
        sock = await (_connect(loop, host, port, resolved) if through is None else through(host, port))
        if ssl_context is None:
            return await adopt(sock)
        return await _shake_hands(loop, sock, ssl_context, server_name or host, timeout_s)


async def adopt(sock: socket.socket) -> RawStream:
    """Return a connected socket's stream, which owns it from now on."""
    loop = asyncio.get_running_loop()
    make = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
    _, protocol = await make(lambda: _Dialed(loop), sock=sock)
    return protocol.stream


async def look_up(
    loop: asyncio.AbstractEventLoop, host: str, port: int, resolved: Resolved | None = None
) -> Sequence[Place]:
    """Return the places that a host's name and a port stand for. Raises OSError.

    ``resolved`` is told how long that took, whatever came of it, but for hosts that are addresses.
    """
    began = time.perf_counter()
    try:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    finally:
        if resolved is not None and not is_address(host):
            resolved(host, time.perf_counter() - began)


@lru_cache(maxsize=256)
def is_address(host: str) -> bool:
    """Tell an address from a name that has to be looked up."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def _connect(
    loop: asyncio.AbstractEventLoop, host: str, port: int, resolved: Resolved | None
) -> socket.socket:
    """Try each address in turn. Raises the last one's OSError."""
    found = await look_up(loop, host, port, resolved)
    last: OSError = OSError(f"no address for {host}")
    for family, kind, number, _, address in found:
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(sock, OF_STREAMS)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


async def _shake_hands(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    context: ssl.SSLContext,
    server_name: str,
    timeout_s: float,
) -> RawStream:
    peer = sock.getpeername()
    try:
        wrapped = context.wrap_socket(
            sock, server_hostname=server_name, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
    except BaseException:
        sock.close()
        raise
    done: asyncio.Future[ssl.SSLSocket] = loop.create_future()

    def ended(handshake: Handshake, shaken: ssl.SSLSocket | None) -> None:
        if done.done():
            return
        if shaken is None:
            done.set_exception(handshake.error or TimeoutError("net/http: TLS handshake timeout"))
        else:
            done.set_result(shaken)

    handshake = Handshake(loop, wrapped, timeout_s, ended)
    handshake.peer = peer
    handshake.step()
    try:
        shaken = await done
    except BaseException:
        if not done.done() or done.cancelled():
            handshake.drop()
        elif done.exception() is None:
            done.result().close()  # told to stop in the very turn in which it succeeded
        raise
    protocol = _Dialed(loop)
    TlsTransport(loop, shaken, protocol, peer).start()
    return protocol.stream


class _Dialed(asyncio.BufferedProtocol):
    """Feeds a ``RawStream`` and holds its writers back while the peer is slow."""

    stream: RawStream

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._paused = False
        self._lost = False
        self._waiters: list[asyncio.Future[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream = RawStream(cast(asyncio.Transport, transport), self._drain)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.stream.feed(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        self.stream.feed_eof()
        return True  # what we still have to say may go out

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._release(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.stream.feed_eof()
        self._release(ConnectionResetError("the peer has gone"))

    def _release(self, error: Exception | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def _drain(self) -> None:
        if self._lost:
            raise ConnectionResetError("the peer has gone")
        if self._paused:
            waiter: asyncio.Future[Any] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
