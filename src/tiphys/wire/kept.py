"""Outgoing connections that are kept for the next request to the same place.

Owns: which are idle, and for how long. A request has a connection for itself; once its answer has been
read whole the connection waits for another. Used where many small requests go to few places (webhooks).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import field
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import client
from tiphys.wire.dial import Resolved, Tunnel
from tiphys.wire.upgrade import RawStream

IDLE_S: Final = 90.0
MOST_IDLE: Final = 25
"""Of one place; more are closed when their answers have been read."""
_CONTEXTS: Final = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where connections lead, whom they trust and as whom they show themselves."""

    host: str
    port: int
    server_name: str
    trust: Hashable
    """Whatever tells one way to trust, and to be trusted, from another."""
    context: Callable[[], ssl.SSLContext] = field(compare=False)
    """Makes what ``trust`` stands for; what it raises ends the request."""
    through: Tunnel | None = None
    resolved: Resolved | None = field(default=None, compare=False)
    """Is told how long looking up the host took."""


class KeptConnections:
    """Sends requests over idle connections, and over new ones where there are none."""

    def __init__(self, idle_s: float = IDLE_S, most_idle: int = MOST_IDLE) -> None:
        self._idle_s, self._most_idle = idle_s, most_idle
        self._idle: dict[Place, dict[RawStream, asyncio.TimerHandle]] = {}
        self._contexts: OrderedDict[Hashable, ssl.SSLContext] = OrderedDict()
        self._closed = False

    async def send(
        self,
        place: Place,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: bytes = b"",
        connect_timeout_s: float = 10.0,
    ) -> client.Answer:
        """Return an answer once its head is here; closing it gives its connection back.

        Raises ConnectFailed.
        """
        where, asked = f"{place.host}:{place.port}", client.Asked(method, target, headers, body)
        while (idle := self._take(place)) is not None:
            try:
                answer = await client.exchange(idle, where, asked)
            except client.NothingSaid:
                continue  # closed by the other side in the very moment
            return self._lent(place, answer)
        fresh = await client.connect(
            place.host, place.port, ssl_context=self._context(place), server_name=place.server_name,
            timeout_s=connect_timeout_s, through=place.through, resolved=place.resolved,
        )  # fmt: skip
        return self._lent(place, await client.exchange(fresh, where, asked))

    def idle(self, place: Place) -> int:
        """Tell how many connections wait."""
        return len(self._idle.get(place, ()))

    def close(self) -> None:
        """Close what is idle; what is still in use is closed after its answer."""
        self._closed = True
        for waiting in self._idle.values():
            for stream, timer in waiting.items():
                timer.cancel()
                stream.abandon()
        self._idle.clear()

    def _context(self, place: Place) -> ssl.SSLContext:
        context = self._contexts.pop(place.trust, None) or place.context()
        self._contexts[place.trust] = context
        if len(self._contexts) > _CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _take(self, place: Place) -> RawStream | None:
        waiting = self._idle.get(place)
        while waiting:
            stream, timer = waiting.popitem()
            timer.cancel()
            if stream.is_silent:
                return stream
            stream.abandon()
        self._idle.pop(place, None)
        return None

    def _lent(self, place: Place, answer: client.Answer) -> client.Answer:
        answer.keeper = lambda stream: self._give_back(place, stream)
        return answer

    def _give_back(self, place: Place, stream: RawStream) -> None:
        waiting = self._idle.setdefault(place, {})
        if self._closed or len(waiting) >= self._most_idle:
            stream.abandon()
            return
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._expire, place, stream)
        waiting[stream] = timer

    def _expire(self, place: Place, stream: RawStream) -> None:
        waiting = self._idle.get(place, {})
        waiting.pop(stream, None)
        stream.abandon()
        if not waiting:
            self._idle.pop(place, None)
