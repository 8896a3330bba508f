"""One stream: a request that comes, and the answer that goes, with the windows of both. State alone."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from tiphys.wire.arrival import Arrival
from tiphys.wire.http2.heads import Head

Bytes = bytes | memoryview


class Stream:
    """``received`` and ``sent`` say which half is at its end; ``closed``: nothing more goes either way."""

    __slots__ = (
        "arrival", "begun_tick", "body", "closed", "ending", "ends", "head", "id", "owed", "progress_tick",
        "queue", "queued_bytes", "received", "room", "runner", "sent", "streaming", "waiter", "window",
    )  # fmt: skip

    def __init__(self, stream_id: int, head: Head, *, window: int, room: int, tick: float) -> None:
        self.id = stream_id
        self.head = head
        # What comes.
        self.received = False
        self.body: bytes | bytearray = b""
        self.arrival: Arrival | None = None  # of a body that its handler does not wait for
        self.room = room  # so much may the client send before it is given more
        self.owed = 0  # so much of what it sent has not been given back
        # What goes.
        self.window = window  # so much may be sent
        self.queue: deque[Bytes] = deque()
        self.queued_bytes = 0
        self.ends = False  # the answer is over where the queue is
        self.sent = False
        self.waiter: asyncio.Future[None] | None = None
        self.begun_tick = tick
        self.progress_tick = tick  # when something last moved, either way
        self.streaming = False
        self.ending = False  # what is streamed has been told to end
        self.runner: Any = None
        self.closed = False

    @property
    def is_arriving(self) -> bool:
        """Whether more is to come of a request that nobody looks at yet."""
        return not (self.received or self.ends) and self.arrival is None

    def wake(self) -> None:
        """Let who waits for the queue go on."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
