"""Handlers that are run up to where they first wait, without a task: how they go on from there.

``Runner`` is the task that they go on in. It is the current task during the first step too, so timeouts and
task groups in handlers bind to the right one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from types import CoroutineType, coroutine
from typing import Any, cast

from tiphys.wire.message import Response


class Runner:
    """Steps handlers by hand, one at a time, and goes on with what waits.

    ``after`` is awaited when work has been done, ``ended`` called when the task has ended, for whatever
    reason. ``last``: it ends after what it does now.
    """

    __slots__ = ("_after", "_context", "_ended", "_loop", "_waker", "_work", "interrupts", "last", "task")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        after: Callable[[Runner], Awaitable[None]],
        ended: Callable[[Runner], None],
    ) -> None:
        self._loop = loop
        self._after = after
        self._ended = ended
        self._work: Coroutine[Any, Any, None] | None = None
        self._waker: asyncio.Future[None] | None = None
        self._context = contextvars.copy_context()
        self.interrupts: list[BaseException] = []
        """What struck between a handler's first step and the next, for ``resume``."""
        self.last = False
        self.task = loop.create_task(self._run(), context=self._context)  # parent: the connection
        self.task.add_done_callback(self._done)

    def step(self, answer: Any) -> tuple[Coroutine[Any, Any, Response], object]:
        """Run what a handler gave up to where it first waits; return what ``resume`` takes.

        Raises:
            StopIteration: it did not wait; the value is its response.
            Exception: what it raised.
        """
        coro: Any = answer if type(answer) is CoroutineType else awaited(answer)
        asyncio.tasks._enter_task(self._loop, self.task)
        try:
            return coro, self._context.run(coro.send, None)
        finally:
            asyncio.tasks._leave_task(self._loop, self.task)

    def hand(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this next, in the task."""
        self._work = work
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    async def _run(self) -> None:
        while not self.last:
            work = await self._next()
            await work
            await self._after(self)

    def _done(self, task: asyncio.Task[None]) -> None:
        """See to the end of the task, which may have been cancelled before it began."""
        if self._work is not None:
            self._work.close()
        self._ended(self)
        # Nothing is left for the collector: neither whose this is, nor the frames of what ended the task.
        del self._after, self._ended
        if task.cancelled():
            with suppress(asyncio.CancelledError):
                task.result()

    async def _next(self) -> Coroutine[Any, Any, None]:
        while self._work is None:
            self._waker = self._loop.create_future()
            try:
                await self._waker
            except asyncio.CancelledError as error:
                if self._work is None:
                    raise
                # A timeout of the handler's own, which struck between its first step and the next.
                self.interrupts.append(error)
            finally:
                self._waker = None
        work, self._work = self._work, None
        return work


@coroutine
def resume(
    coro: Coroutine[Any, Any, Response], yielded: object, interrupts: list[BaseException]
) -> Generator[Any, Any, Response]:
    """Go on with a coroutine that was stepped once by hand and gave ``yielded``.

    ``interrupts``: what to throw into it first, such as a cancellation that came before anybody awaited this.
    """
    try:
        if interrupts:
            yielded = coro.throw(interrupts.pop())
        while True:
            try:
                yield yielded
            except BaseException as error:
                yielded = coro.throw(error)
            else:
                yielded = coro.send(None)  # a task never sends anything else
    except StopIteration as stop:
        return cast(Response, stop.value)


async def awaited(answer: Any) -> Response:
    """Wait for what a handler gave that is no coroutine, such as a future."""
    return cast(Response, await answer)
