"""What is being done for one pod at this moment: a task for each thing that something is done to.

Owns: that nothing is done to a thing twice at a time, and that an action which fails ends nothing but itself.
Refuses: what to do, which is ``lifecycle.plan``'s. Called by the pod's worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from tiphys.kubelet.runtime import RUNTIME_ERRORS

log = logging.getLogger(__name__)
_RETRY_S: Final = 1.0
"""So long what failed counts as being done still."""


class PodActions:
    """``pod`` is its key, for the log; after each action ``look`` sees what came of it, and ``poke`` is told.

    Things go by ids of containers and sandboxes, or by words of the worker's own (``lifecycle.START``).
    """

    def __init__(self, pod: str, look: Callable[[], Awaitable[None]], poke: Callable[[], None]) -> None:
        self._pod = pod
        self._look = look
        self._poke = poke
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> frozenset[str]:
        """To what something is being done."""
        return frozenset(self._tasks)

    def __contains__(self, thing: object) -> bool:
        return thing in self._tasks

    def begin(self, group: asyncio.TaskGroup, thing: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task of ``group``; nothing where something is done to the same thing already."""
        if thing in self._tasks:
            work.close()
            return
        task = group.create_task(self._guarded(work))
        self._tasks[thing] = task
        task.add_done_callback(self._done(thing, work))

    def cancel(self, thing: str) -> None:
        """Break off what is being done to a thing, if anything is."""
        if thing in self._tasks:
            self._tasks[thing].cancel()

    def cancel_but(self, thing: str) -> None:
        """Break off what is being done to all others."""
        for key, task in list(self._tasks.items()):
            if key != thing:
                task.cancel()

    def _done(self, thing: str, work: Coroutine[Any, Any, None]) -> Callable[[asyncio.Task[None]], None]:
        def forget(task: asyncio.Task[None]) -> None:
            work.close()  # a task that was cancelled before its first step has not begun it
            if self._tasks.get(thing) is task:
                del self._tasks[thing]
            self._poke()

        return forget

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """One failed action must not end the worker: the next plan tries again."""
        try:
            await work
        except RUNTIME_ERRORS as error:
            log.warning("pod action failed pod=%s error=%s", self._pod, error)
            await asyncio.sleep(_RETRY_S)
        await self._look()
