"""Streams that lead through a proxy, made to look like sockets.

TLS here reads and writes file descriptors, so whoever calls through a proxy gets one: an end of a pair, whose
other end is carried to the proxy and back by a task. Owns: those tasks, until either side ends or the server
does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

from tiphys.wire.dial import adopt
from tiphys.wire.message import ByteStream
from tiphys.wire.relay import relay
from tiphys.wire.upgrade import RawStream


class Spans:
    """The pairs of one server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def span(self, stream: ByteStream) -> socket.socket:
        """Return a socket for a stream; the stream ends with it."""
        near, far = await pair()
        self.carry(relay(far, stream))
        return near

    def carry(self, carrying: Coroutine[Any, Any, None]) -> None:
        """Have something go on until it or the server ends."""
        task = asyncio.create_task(carrying)  # parent: the selector, whose close ends it
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the other side hears of it by the end of its socket

    async def close(self) -> None:
        """End all that is still carried. Idempotent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pair() -> tuple[socket.socket, RawStream]:
    """Return two connected ends: one to hand out, and the stream of the other."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    try:
        return near, await adopt(far)
    except BaseException:
        near.close()
        far.close()
        raise
