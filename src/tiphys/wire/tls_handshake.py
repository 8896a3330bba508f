"""A TLS handshake on a non-blocking socket, from either side, with a deadline. It never blocks the loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

log = logging.getLogger(__name__)
_PLAIN_HTTP: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class Handshake:
    """Steps a handshake whenever the socket is ready, until done, refused or late; then calls ``ended``.

    ``ended`` is given the socket, or None, and then ``error`` says why (None: it took too long).
    """

    peer: tuple[Any, ...] = ()
    error: OSError | None = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: ssl.SSLSocket,
        limit_s: float,
        ended: Callable[[Handshake, ssl.SSLSocket | None], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._ended = ended
        self._writing = False
        self._timer = loop.call_later(limit_s, self.drop)
        loop.add_reader(self._fd, self.step)

    def step(self) -> None:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._await_writable(wanted=False)
        except ssl.SSLWantWriteError:
            self._await_writable(wanted=True)
        except OSError as error:
            log.debug("TLS handshake failed peer=%s error=%s", self.peer, error)
            self.error = error
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                self._explain()
            self.drop()
        else:
            self._let_go()
            self._ended(self, self._sock)

    def _explain(self) -> None:
        """Tell a client in its own words that it took the wrong scheme."""
        try:
            socket.socket.send(self._sock, _PLAIN_HTTP)
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.recv(1 << 16)  # what is unread would reset the connection before it is answered
        except OSError:
            pass

    def _await_writable(self, *, wanted: bool) -> None:
        if wanted is not self._writing:
            self._writing = wanted
            if wanted:
                self._loop.add_writer(self._fd, self.step)
            else:
                self._loop.remove_writer(self._fd)

    def _let_go(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._fd)
        self._await_writable(wanted=False)

    def drop(self) -> None:
        """Give up: refused, late, or the listener closes."""
        self._let_go()
        self._sock.close()
        self._ended(self, None)
