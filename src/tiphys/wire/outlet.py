"""The way past a stream's task: one chunk to many connections whose tasks wait for something to send.

``Outlet`` is one connection's; ``FanOut`` writes a chunk through many. A ``Response.stream`` that has a
method ``attach`` is given an outlet. It may use it only while its reader waits for the next chunk, so that
chunks keep their order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

from tiphys.wire.tls import TlsTransport

Writer = Callable[[bytes], object]
"""Sends a framed chunk at once. What it raises goes to its outlet's ``rescue``."""
Failure = tuple[int, Exception]
"""Which of the writers it was, and what it raised."""

WORTH_A_THREAD: Final = 64
"""So many writes take as long as it takes to wake a thread ten times."""


class NotNowError(Exception):
    """The peer is slow, or the stream is at its end."""


class Outlet:
    """One connection's. ``framed`` puts a chunk into the framing of its stream."""

    __slots__ = ("_takes", "_transport", "anywhere", "framed", "framing")

    def __init__(self, transport: Any, takes: Callable[[], bool], framed: Callable[[bytes], bytes]) -> None:
        self._transport = transport
        self._takes = takes
        self.framed = framed
        self.framing = "chunked"
        """What the bytes that ``framed`` returns are good for."""
        self.anywhere = isinstance(transport, TlsTransport)
        """Its writer may be called on another thread, while the loop's own waits for that."""

    def writer(self, gone: Callable[[], None]) -> Writer | None:
        """Return what sends framed chunks; None: not now.

        Good until it raises, the task writes or ``gone`` is called, as the connection is no more.
        """
        if not self._takes():
            return None
        return cast(TlsTransport, self._transport).direct(gone) if self.anywhere else self._write

    def _write(self, framed: bytes) -> None:
        if not self._takes():
            raise NotNowError
        self._transport.write(framed)

    def rescue(self, framed: bytes, error: Exception) -> bool:
        """Take over where a writer raised; False: the chunk is the task's to send."""
        if isinstance(error, NotNowError):
            return False
        cast(TlsTransport, self._transport).take_over(framed, error)
        return True


class FanOut:
    """Writes chunks through many writers. With a second core it has a second thread: OpenSSL and the kernel,
    which are nine tenths of a write, run without the interpreter's lock.

    The loop waits until both are done, so nothing else touches the connections meanwhile.
    """

    def __init__(self, *, cores: int | None = None) -> None:
        self._alone = (cores or len(os.sched_getaffinity(0))) < 2
        self._helper: ThreadPoolExecutor | None = None

    def write(self, writers: Sequence[Writer], framed: bytes, *, anywhere: bool) -> list[Failure]:
        """Send to all, whatever one of them raises; ``anywhere``: they may be called on another thread."""
        failed: list[Failure] = []
        left = enumerate(writers)  # each thread takes its next from here: one step under the lock
        if self._alone or not anywhere or len(writers) < WORTH_A_THREAD:
            _drain(left, framed, failed)
            return failed
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, "fan-out")
        helping = self._helper.submit(_drain, left, framed, failed)
        _drain(left, framed, failed)
        if not helping.cancel():  # it has begun
            helping.result()
        return failed

    def close(self) -> None:
        """End the second thread. Idempotent."""
        if self._helper is not None:
            self._helper.shutdown()
            self._helper = None


def _drain(left: Iterator[tuple[int, Writer]], framed: bytes, failed: list[Failure]) -> None:
    for at, write in left:
        try:
            write(framed)
        except Exception as error:
            failed.append((at, error))
