"""Where expressions are evaluated and large objects looked through: on the event loop while that is short.

Evaluation is pure, so one that turns out to be long is given up after a few milliseconds and started over
on a thread, where it may spend its whole budget, or wait for an answer about somebody's rights, while the
loop serves others. Work on a large object, which may have 100,000 labels, is done on a thread from the first.
There are few threads: they share the interpreter with the loop. Long lists and large objects take seconds to
be brought into other forms than the one they are kept in: for all of that there is one thread.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from tiphys.apimachinery.cel import TakesLong, patience

P = ParamSpec("P")
T = TypeVar("T")
UNITS: Final = 10_000
"""What runs on the loop may cost together: some five milliseconds."""
LARGE_BYTES: Final = 128 * 1024
"""From so many on an object is looked through aside: a hundred times what most objects have."""
_AROUND: Final = 1_000
"""What comes with an evaluation, its inputs and what is made of its outcome, in the same units."""
_THREADS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="evaluate")
_FORMS: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="form")


class _Turn:
    """What has been evaluated on the loop since it was last left to others."""

    def __init__(self) -> None:
        self._units = 0

    async def spent(self, units: int) -> None:
        """Count an evaluation; after some of them others are let in, for a write may have hundreds."""
        self._units += units + _AROUND
        if self._units >= UNITS:
            self._units = 0
            await asyncio.sleep(0)


_TURN: Final = _Turn()


async def evaluate(run: Callable[[], T], size: int = 0) -> T:
    """Return what ``run`` returns, or raise what it raises. It has no effects: it may be called twice.

    ``size``: the bytes that it looks through.
    """
    if size < LARGE_BYTES:
        try:
            with patience(UNITS) as ours:
                found = run()
        except TakesLong:
            return await _on_a_thread(run)
        if ours.left < UNITS:
            await _TURN.spent(UNITS - ours.left)
        return found
    return await _on_a_thread(run)


async def aside(size: int, run: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Return what ``run`` makes of ``size`` bytes, or raise what it raises. Nobody else may change these."""
    if size < LARGE_BYTES:
        return run(*args, **named)
    return await _on_a_thread(partial(run, *args, **named))


def begin_form(size: int, make: Callable[[], T]) -> asyncio.Future[T]:
    """Begin to bring so many bytes into another form, and return what becomes of it: it may be there at once.

    Whoever gives up waiting leaves the rest to the others: shield what is returned.
    """
    loop = asyncio.get_running_loop()
    if size >= LARGE_BYTES:
        return loop.run_in_executor(_FORMS, contextvars.copy_context().run, make)
    made: asyncio.Future[T] = loop.create_future()
    made.set_result(make())
    return made


async def _on_a_thread(run: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, context.run, run)
