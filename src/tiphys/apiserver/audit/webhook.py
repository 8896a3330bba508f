"""Audit events for another server: posted, and posted again where that failed.

Owns: the EventList, retries, and requests that wait for their events (``--audit-webhook-mode=blocking``).
Batches are ``batches``'. Every failure is tried again, whatever it is: a lost event is worse than a late one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.event import encoded
from tiphys.apiserver.audit.policy import API_VERSION

log = logging.getLogger(__name__)
_GROWTH: Final = 1.5
_HEAD: Final = ("kind", "apiVersion")
"""What a list says for all of its items."""


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """``--audit-webhook-initial-backoff``: the first wait; each next one is half as long again."""

    retries: int = 4
    backoff_s: float = 10.0


class Send(Protocol):
    """Posts one EventList. Raises OSError where that fails."""

    async def __call__(self, body: bytes) -> None: ...

    async def close(self) -> None: ...


class Webhook:
    """Posts events; as a sink of its own, each event at once, and whoever put it may wait for the answer."""

    name = "webhook"

    def __init__(self, send: Send, options: RetryOptions, *, strict: bool = False) -> None:
        self.strict = strict
        self.failed = 0
        self._send = send
        self._options = options
        self._asked: asyncio.Queue[tuple[Object, asyncio.Future[bool]]] = asyncio.Queue()

    @property
    def failures(self) -> dict[str, int]:
        return {self.name: self.failed}

    async def process(self, events: Sequence[Object]) -> bool:
        """Post events together; False where every attempt failed."""
        items = [{key: value for key, value in event.items() if key not in _HEAD} for event in events]
        body = encoded({"kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": items})
        fault: OSError | None = None
        for attempt in range(self._options.retries + 1):
            if attempt:
                await asyncio.sleep(self._options.backoff_s * _GROWTH ** (attempt - 1))
            try:
                await self._send(body)
                return True
            except OSError as error:
                fault = error
        self.failed += len(events)
        log.error("audit events dropped count=%d error=%s", len(events), fault)
        return False

    def put(self, event: Object) -> asyncio.Future[bool]:
        """Hand an event to ``run``, which posts it by itself."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((event, kept))
        return kept

    async def run(self) -> None:
        """Post what is put, for ever; no event waits for another one."""
        async with asyncio.TaskGroup() as group:
            while True:
                event, kept = await self._asked.get()
                group.create_task(self._answer(event, kept))

    async def _answer(self, event: Object, kept: asyncio.Future[bool]) -> None:
        try:
            found = await self.process([event])
        except asyncio.CancelledError:
            kept.cancel()
            raise
        if not kept.done():
            kept.set_result(found)

    async def close(self) -> None:
        """Post what was put and not begun, then close the connection."""
        while not self._asked.empty():
            await self._answer(*self._asked.get_nowait())
        await self._send.close()
