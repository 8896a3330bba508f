"""Mode ``batch``: events are gathered and handed on together, so that no request waits for them.

Owns: the buffer, when a batch is ready, how many batches there may be in a second. What finds the
buffer full is lost, and counted.
Source: "Auditing", batching and tuning of batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.sinks import Backend

log = logging.getLogger(__name__)
_TOGETHER: Final = 100
"""Batches under way at once: a server that does not answer must not cost memory without end."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """``--audit-*-batch-*``, with the values that webhooks have."""

    buffer: int = 10_000
    max_size: int = 400
    max_wait_s: float = 30.0
    throttle: bool = True
    qps: float = 10.0
    burst: int = 15
    together: bool = True
    """A batch does not wait for the one before it; of a file it would only wait for the file."""


LOG_BATCHES: Final = replace(BatchOptions(), max_size=1, throttle=False, qps=0.0, burst=0, together=False)
"""The values that logs have: who has them throttled says by how much."""


class Throttle:
    """A bucket of ``burst`` tokens, filled by ``qps`` in a second. Pure: callers give the time."""

    def __init__(self, qps: float, burst: int) -> None:
        self._qps = qps
        self._burst = burst
        self._tokens = float(burst)
        self._looked = 0.0

    def delay_s(self, now: float) -> float:
        """Take a token; return how long to wait until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._looked) * self._qps)
        self._looked = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._qps)


class Batched:
    """A sink that hands events on in batches. It takes every event, and promises nothing."""

    strict = False

    def __init__(self, backend: Backend, options: BatchOptions, clock: Clock) -> None:
        self._backend = backend
        self._options = options
        self._clock = clock
        self._throttle = Throttle(options.qps, options.burst) if options.throttle else None
        self._events: deque[Object] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Semaphore(_TOGETHER)
        # Where each event is a batch there is nothing to wait for.
        self._wait_s = options.max_wait_s if options.max_size > 1 else None
        self._blocked = 0

    @property
    def failures(self) -> dict[str, int]:
        return {"buffered": self._blocked, self._backend.name: self._backend.failed}

    def put(self, event: Object) -> bool:
        """Take one event, unless the buffer is full."""
        if len(self._events) >= self._options.buffer:
            self._blocked += 1
            log.error("audit buffer queue blocked id=%s", event.get("auditID"))
            return True
        self._events.append(event)
        if len(self._events) >= self._options.max_size:
            self._filled.set()
        return True

    async def run(self) -> None:
        """Hand on for ever, each batch when it is full or has waited long enough."""
        async with asyncio.TaskGroup() as group:
            while True:
                least = self._options.max_size
                try:
                    async with asyncio.timeout(self._wait_s):
                        await self._filled.wait()
                except TimeoutError:
                    least = 1
                await self._flush(group, least)
                self._filled.clear()

    async def _flush(self, group: asyncio.TaskGroup, least: int) -> None:
        """Hand on batches of ``least`` events or more: what is left over waits for others."""
        while len(self._events) >= least:
            delay_s = self._throttle.delay_s(self._clock.monotonic()) if self._throttle else 0.0
            if delay_s:
                await asyncio.sleep(delay_s)
            batch = self._batch()
            if self._options.together:
                await self._room.acquire()
                group.create_task(self._process(batch))
            else:
                await self._backend.process(batch)

    async def _process(self, batch: list[Object]) -> None:
        try:
            await self._backend.process(batch)
        finally:
            self._room.release()

    def _batch(self) -> list[Object]:
        """Take the next events to hand on at once."""
        return [self._events.popleft() for _ in range(min(len(self._events), self._options.max_size))]

    async def close(self) -> None:
        """Hand on what is left."""
        while self._events:
            await self._backend.process(self._batch())
        await self._backend.close()
