"""Ending a node's pods in order when the node is about to shut down.

Owns nothing but that the node is shutting down. Who says so is given: signals are awaited one by one, True
for a shutdown and False for one that was called off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

from tiphys.apimachinery.meta import Object, object_key
from tiphys.kubelet.admission import Rejection, finished
from tiphys.kubelet.images.manager import Recorder
from tiphys.kubelet.nodeshutdown.plan import Group, ShutdownPeriod, plan_shutdown

log = logging.getLogger(__name__)


class Worker(Protocol):
    """What looks after one pod."""

    @property
    def pod(self) -> Object: ...
    @property
    def ended(self) -> asyncio.Event: ...
    def evict(self, rejection: Rejection, *, told: bool = True) -> None: ...


class ShutdownManager:
    """``run`` until cancelled; ``changed`` is called when a shutdown begins or is called off."""

    def __init__(
        self,
        node: Object,
        periods: Sequence[ShutdownPeriod],
        workers: Callable[[], Iterable[Worker]],
        recorder: Recorder,
        changed: Callable[[], None],
    ) -> None:
        self._node = node
        self._periods = periods
        self._workers = workers
        self._recorder = recorder
        self._changed = changed
        self.shutting_down = False

    async def run(self, signals: AsyncIterator[bool]) -> None:
        """Follow the signals. A shutdown that is called off leaves what has ended as it is."""
        ending: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            async for begins in signals:
                text = "event" if begins else "cancellation"
                log.info("node shutdown %s", text)
                message = f"Shutdown manager detected shutdown {text}"
                self._recorder.record(self._node, "Normal", "NodeShutdown", message)
                self.shutting_down = begins
                self._changed()
                if ending is not None and not begins:
                    ending.cancel()
                if begins and (ending is None or ending.done()):
                    ending = group.create_task(self._end_pods())

    async def _end_pods(self) -> None:
        workers = {str(item.pod["metadata"]["uid"]): item for item in self._workers()}
        active = [item.pod for item in workers.values() if not finished(item.pod)]
        for group in plan_shutdown(self._periods, active):
            await self._end_group(group, workers)
        log.info("node shutdown: all pods have ended")

    async def _end_group(self, group: Group, workers: dict[str, Worker]) -> None:
        ends = []
        for item in group.endings:
            worker = workers[str(item.pod["metadata"]["uid"])]
            log.info("ending pod for shutdown pod=%s grace=%s", object_key(item.pod), item.rejection.grace_s)
            worker.evict(item.rejection, told=False)
            ends.append(worker.ended)
        try:
            async with asyncio.timeout(group.grace_s):
                for event in ends:
                    await event.wait()
        except TimeoutError:
            log.warning("pods have not ended in time grace=%s", group.grace_s)
