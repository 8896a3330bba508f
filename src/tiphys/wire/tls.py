"""TLS on the socket itself: an asyncio transport that lets OpenSSL read and write the file descriptor.

Event loops run TLS through two memory buffers, with two more copies of every byte and a second read for each
request. Here a record is read where it is wanted and written from where it lies.

Owns a connection's bytes once its handshake is done (``wire.tls_listener`` makes both): the order of writes,
back-pressure towards the protocol, the orderly end. Follows asyncio's contract for transports, with one
addition: bytes that are written are kept by reference, so they must not change (``bytes`` cannot).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from socket import SHUT_WR
from typing import Any, Final, cast

from tiphys.wire import gather
from tiphys.wire.readable import Reader

RECORD_BYTES: Final = 16 * 1024
"""What one TLS record holds at most, and so one read."""
SLICE_BYTES: Final = 128 * 1024
"""OpenSSL takes a write whole or not at all; this much is asked of it at once."""
GATHER_BYTES: Final = 256 * 1024
"""Of so much that waits at once, records are collected (``wire.gather``)."""
TURN_BYTES: Final = 1024 * 1024
"""What one connection may write before the others have their turn."""
HIGH_WATER_BYTES: Final = 64 * 1024
LOW_WATER_BYTES: Final = 16 * 1024
READS_A_TURN: Final = 8
CLOSE_S: Final = 1.0
"""How long a peer may go on sending after our end, so that what it has not yet read is not reset."""


class TlsTransport(asyncio.Transport):
    """One connection. ``sock`` is non-blocking and has shaken hands."""

    __slots__ = (
        "_backlog", "_backlog_bytes", "_buffer", "_closing", "_fd", "_finished", "_get_buffer", "_lent",
        "_loop", "_lost", "_paused", "_peer", "_protocol", "_read", "_reader", "_repeat", "_session",
        "_sock", "_timer", "_write", "_writing",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: ssl.SSLSocket,
        protocol: asyncio.BufferedProtocol,
        peer: tuple[Any, ...],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        # OpenSSL's own calls: an SSLSocket's check first what a transport knows. They raise SSLEOFError
        # where the peer has gone without saying so.
        self._session = session = cast(Any, sock)._sslobj
        self._read: Callable[[int, memoryview], int] = session.read
        self._write: Callable[[bytes | bytearray | memoryview], int] = session.write
        self._protocol = protocol
        self._get_buffer = cast(Callable[[int], memoryview], protocol.get_buffer)
        self._peer = peer
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._buffer: gather.Buffer | None = None
        self._repeat = False  # OpenSSL has begun with the first of the backlog and must be given it again
        self._paused = False  # the protocol has been told to stop writing
        self._reader: Reader | None = None
        self._writing = False
        self._closing = False
        self._finished = False  # the peer has sent its end
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._lent: Callable[[], None] | None = None  # who may write past us is told when we are gone

    def start(self) -> None:
        """Begin: tell the protocol, then read."""
        self._protocol.connection_made(self)
        self.resume_reading()

    # -- what a protocol asks

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self._peer
        if name == "ssl_object":
            return self._sock
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reader is not None

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._backlog_bytes + (self._buffer.pending() if self._buffer is not None else 0)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return LOW_WATER_BYTES, HIGH_WATER_BYTES

    # -- reading

    def pause_reading(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def resume_reading(self) -> None:
        if not (self._reader is not None or self._closing or self._finished):
            self._reader = Reader(self._loop, self._fd, self._readable)

    def _readable(self) -> None:
        """Read a record; more only where the first was full, as then there is likely another."""
        for _ in range(READS_A_TURN):
            buffer = self._get_buffer(-1)
            try:
                count = self._read(len(buffer), buffer)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return  # room: the peer changes keys and reads nothing; our answer goes with the next write
            except ssl.SSLEOFError:
                count = 0
            except OSError as error:
                self._drop(error)
                return
            try:
                if count == 0:
                    self._end_of_input()
                    return
                self._protocol.buffer_updated(count)
            except Exception as error:
                self._loop.call_exception_handler(
                    {"message": "protocol failed", "exception": error, "transport": self}
                )
                self._drop(error)
                return
            if count < RECORD_BYTES or self._reader is None:
                return

    def _end_of_input(self) -> None:
        self._finished = True
        self.pause_reading()
        if not self._protocol.eof_received():
            self.close()

    # -- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what the peer does not take yet."""
        if self._closing or not data:
            return
        if self._backlog or self._buffer is not None:
            self._keep(data)
        elif len(data) > SLICE_BYTES:
            self._keep(data)
            self._flush()
        else:
            try:
                self._write(data)
            except OSError as error:
                self.take_over(data, error)
            return
        self._press()

    def direct(self, gone: Callable[[], None]) -> Callable[[bytes], int] | None:
        """Return what writes past this transport; None: not now, something waits to be sent.

        Good until it raises, something else is written or ``gone`` is called: from then on the descriptor may
        be another connection's. It may be called on another thread, while nothing else is done with this one.
        """
        if self._closing or self._unsent():
            return None
        self._lent = gone
        return self._write

    def take_over(self, data: bytes | bytearray | memoryview, error: Exception) -> None:
        """Go on where a write of ``data`` failed: keep what the peer does not take yet, or let it go."""
        if self._closing:
            return
        if not isinstance(error, ssl.SSLWantWriteError):
            self._drop(error)
            return
        self._backlog.append(memoryview(data))  # in one piece, as OpenSSL has begun with it
        self._backlog_bytes += len(data)
        self._repeat = True
        self._await_writable()
        self._press()

    def _press(self) -> None:
        """Tell the protocol to stop where much is unsent."""
        if (self._backlog_bytes > HIGH_WATER_BYTES or self._buffer is not None) and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        self._backlog_bytes += len(view)
        for at in range(0, len(view), SLICE_BYTES):
            self._backlog.append(view[at : at + SLICE_BYTES])

    def _await_writable(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _flush(self) -> None:
        """Hand the backlog to OpenSSL as far as the peer takes it, for one turn."""
        if self._backlog_bytes >= GATHER_BYTES and self._buffer is None:
            self._buffer = gather.lend(self._session)
        try:
            self._send_backlog()
            if self._buffer is not None and not self._backlog:
                self._buffer.flush()
                self._give_back()
        except ssl.SSLWantWriteError:
            pass
        except OSError as error:
            self._drop(error)
            return
        if self._unsent():
            self._await_writable()

    def _send_backlog(self) -> None:
        backlog, left = self._backlog, TURN_BYTES
        while backlog and left > 0:
            piece = backlog[0] if self._repeat else self._first_of_backlog()
            self._repeat = True
            self._write(piece)
            self._repeat = False
            backlog.popleft()
            left -= len(piece)
            self._backlog_bytes -= len(piece)

    def _unsent(self) -> bool:
        return bool(self._backlog) or self._buffer is not None

    def _give_back(self) -> None:
        if self._buffer is not None:
            self._buffer.leave()
            self._buffer = None

    def _first_of_backlog(self) -> memoryview:
        """Return what to send next; small pieces that wait together share a record."""
        backlog = self._backlog
        first = backlog[0]
        if len(first) >= RECORD_BYTES or len(backlog) == 1:
            return first
        parts, size = [backlog.popleft()], len(first)
        while backlog and size + len(backlog[0]) <= RECORD_BYTES:
            parts.append(backlog.popleft())
            size += len(parts[-1])
        joined = memoryview(b"".join(parts))
        backlog.appendleft(joined)
        return joined

    def _writable(self) -> None:
        self._flush()
        if self._writing and not self._unsent():
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._paused and self._backlog_bytes <= LOW_WATER_BYTES and not (self._buffer or self._lost):
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self._unsent():
            self._finish()

    # -- the end

    def close(self) -> None:
        """Read no more, send what is left, then end in order."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._unsent():
            self._loop.call_soon(self._finish)

    def abort(self) -> None:
        """End at once; what is unsent is lost."""
        self._drop(None)

    def _finish(self) -> None:
        """Send our end, and wait a little for the peer's where it has not come."""
        if self._lost or self._timer is not None:
            return
        try:
            self._sock.unwrap()
        except (OSError, ValueError):
            pass  # sent, but the peer's own has not come; or it is gone
        if self._finished:
            self._drop(None)
            return
        try:
            self._sock.shutdown(SHUT_WR)
        except OSError:
            self._drop(None)
            return
        self._timer = self._loop.call_later(CLOSE_S, self._drop, None)
        self._sock.detach()  # from here on the descriptor is all that is left, and ours to close
        self._reader = Reader(self._loop, self._fd, self._discard)

    def _discard(self) -> None:
        try:
            data = os.read(self._fd, RECORD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(None)

    def _drop(self, error: Exception | None) -> None:
        """Let the socket go; the protocol hears of it in the next turn, which may never come."""
        if self._lost:
            return
        self._lost = self._closing = True
        if self._lent is not None:
            self._lent()
            self._lent = None
        self.pause_reading()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._backlog.clear()
        self._backlog_bytes = 0
        self._give_back()
        self._let_go()
        self._loop.call_soon(self._gone, error)

    def _let_go(self) -> None:
        if self._sock.fileno() >= 0:
            self._sock.close()
        elif self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        """Close what waited for the peer's end when its loop came to its own."""
        if self._timer is not None:
            self._let_go()

    def _gone(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
        # What refers to each other waits for the collector, which comes seldom, and a session is large.
        del self._session, self._read, self._write, self._get_buffer, self._protocol
