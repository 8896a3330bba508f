"""Listening for TLS: accepts, shakes hands without ever blocking the loop, hands over a transport.

Owns connections up to the end of their handshake (``wire.tls_handshake``). ``wire.server`` makes a listener
for each address; ``wire.tls`` has the connections from there on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from tiphys.wire.tls import TlsTransport
from tiphys.wire.tls_handshake import Handshake

log = logging.getLogger(__name__)
ACCEPTS_A_TURN: Final = 64
PAUSE_S: Final = 1.0
"""How long nothing is accepted after file descriptors ran out."""
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TlsListener:
    """One listening socket, closed by ``close``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        context: ssl.SSLContext,
        make_protocol: Callable[[str | None], asyncio.BufferedProtocol],
        handshake_s: float,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self.replace_context(context)
        self._make_protocol = make_protocol
        self._handshake_s = handshake_s
        self._shaking: set[Handshake] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self.handshake_errors = 0
        """Handshakes that failed or took too long."""
        self._resume()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self._sock,) if self._open else ()

    def close(self) -> None:
        """Accept no more and drop unfinished handshakes. Idempotent."""
        if not self._open:
            return
        self._open = False
        if self._pause is not None:
            self._pause.cancel()
        else:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for handshake in list(self._shaking):
            handshake.drop()

    def replace_context(self, context: ssl.SSLContext) -> None:
        """Shake hands with another context from now on."""
        # A client cannot make the server do the dear half of a handshake again and again.
        context.options |= ssl.OP_NO_RENEGOTIATION
        self._context = context

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                log.error("cannot accept address=%s error=%s", self._sock.getsockname(), error)
                self._loop.remove_reader(self._sock.fileno())
                self._pause = self._loop.call_later(PAUSE_S, self._resume)
                return
            self._begin(sock, peer)

    def _begin(self, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except OSError:  # it went away meanwhile
            sock.close()
            return
        handshake = Handshake(self._loop, wrapped, self._handshake_s, self._ended)
        handshake.peer = peer if isinstance(peer, tuple) else ()
        self._shaking.add(handshake)
        handshake.step()

    def _ended(self, handshake: Handshake, sock: ssl.SSLSocket | None) -> None:
        self._shaking.discard(handshake)
        if sock is None:
            self.handshake_errors += self._open
        else:
            protocol = self._make_protocol(sock.selected_alpn_protocol())
            TlsTransport(self._loop, sock, protocol, handshake.peer).start()


async def listen(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext,
    make_protocol: Callable[[str | None], asyncio.BufferedProtocol],
    handshake_s: float,
    backlog: int,
    shares_port: bool = False,
) -> list[TlsListener]:
    """Listen on every address that a host name stands for. Raises OSError.

    ``make_protocol`` is given what the client has chosen of what the context offers (ALPN).
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[TlsListener] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sock = _bound(family, address, backlog, shares_port=shares_port)
            listeners.append(TlsListener(loop, sock, context, make_protocol, handshake_s))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bound(family: int, address: tuple[Any, ...], backlog: int, *, shares_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
