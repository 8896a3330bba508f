"""A body that comes while its request is already being looked at.

Owns: that the client is asked for it once, when somebody wants it, and that whoever waits hears of its end.
Made by ``wire.reader`` for handlers that say ``asks_for_bodies``; ``Request.arrive`` is what they call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tiphys.apimachinery.errors import StatusError

SLOW_S: Final = 1.0
"""After so long a request is looked at though its body is still to come."""
HELD_S: Final = "held_s"
"""In the ``scope`` of a request whose body is still to come: for so long its head has been here."""


class Arrival:
    """The body of one request. ``ask`` tells its client to send it."""

    __slots__ = ("_ask", "_body", "_fault", "_waiter", "asked")

    def __init__(self, ask: Callable[[], None], fault: StatusError | None = None) -> None:
        self._ask = ask
        self._body: bytes | None = None
        self._fault = fault
        self._waiter: asyncio.Future[None] | None = None
        self.asked = False

    @property
    def is_taken(self) -> bool:
        """Whether it was asked for and is all there: what follows it may be taken for a request."""
        return self.asked and self._body is not None

    async def take(self) -> bytes:
        """Return the body once all of it is there. Raises StatusError: it will not be."""
        if self._fault is None and not self.asked:
            self.asked = True
            self._ask()
        if self._fault is None and self._body is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._fault is not None:
            raise self._fault
        assert self._body is not None
        return self._body

    def end(self, body: bytes) -> None:
        """All of it has come."""
        self._body = body
        self._wake()

    def fail(self, fault: StatusError) -> None:
        """It will not come whole."""
        self._fault = fault
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
