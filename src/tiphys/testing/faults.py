"""A transport that fails as networks and servers do: late, lost on the way there, lost on the way back.

Wraps any other; used by simulations, where one seed always fails the same way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.apimachinery.dataclass import dataclass
from tiphys.client.transport import Answer, Call, Stream, Transport, TransportError


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong; all shares are of 1."""

    latency_s: tuple[float, float] = (0.0, 0.0)
    """Each way takes a time between these."""
    requests_lost: float = 0.0
    answers_lost: float = 0.0
    """What was asked has been done, and whoever asked does not know."""
    streams_last_s: float = 0.0
    """On average; 0: as long as both ends want."""
    silent: bool = False
    """A network that drops everything: what is sent waits for its time to run out, and no event comes."""


class FaultyTransport:
    """``inner``, but for the faults that ``chance`` brings. ``faults`` may be changed at any time."""

    def __init__(self, inner: Transport, faults: Faults, chance: random.Random) -> None:
        self._inner = inner
        self._chance = chance
        self.faults = faults

    async def send(self, call: Call) -> Answer:
        await self._travel(call)
        if self._chance.random() < self.faults.requests_lost:
            raise _broken(call, "lost on its way")
        answer = await self._inner.send(call)
        await self._travel(call)
        if self._chance.random() < self.faults.answers_lost:
            raise _broken(call, "its answer was lost")
        return answer

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        await self._travel(call)
        if self._chance.random() < self.faults.requests_lost:
            raise _broken(call, "lost on its way")
        async with self._inner.stream(call) as stream:
            yield Stream(stream.status, stream.headers, self._pieces(stream, call))

    async def _pieces(self, stream: Stream, call: Call) -> AsyncIterator[bytes]:
        last_s = self.faults.streams_last_s
        ends = asyncio.get_running_loop().time() + self._chance.expovariate(1 / last_s) if last_s else None
        while True:
            try:
                async with asyncio.timeout_at(ends):
                    piece = await anext(stream.chunks, None)
            except TimeoutError as error:
                raise _broken(call, "the connection broke") from error
            if piece is None:
                return
            await self._travel(call)
            yield piece

    def anonymous(self) -> Transport:
        return FaultyTransport(self._inner.anonymous(), self.faults, self._chance)

    async def close(self) -> None:
        await self._inner.close()

    async def _travel(self, call: Call) -> None:
        low, high = self.faults.latency_s
        if high:
            await asyncio.sleep(self._chance.uniform(low, high))
        if self.faults.silent:
            await asyncio.sleep(call.timeout_s)
            raise _broken(call, "nobody answered in time")


def _broken(call: Call, how: str) -> TransportError:
    return TransportError(f"{call.method} {call.path}: {how}")
