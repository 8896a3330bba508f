"""Where expressions are evaluated and large objects looked through: on the event loop while that is short.

Evaluation is pure, so one that turns out to be long is given up after a few milliseconds and started over
on a thread, where it may spend its whole budget, or wait for an answer about somebody's rights, while the
loop serves others. Work on a large object, which may have 100,000 labels, is done on a thread from the first.
There are few threads: they share the interpreter with the loop.
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
_THREADS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="evaluate")


async def evaluate(run: Callable[[], T], size: int = 0) -> T:
    """Return what ``run`` returns, or raise what it raises. It has no effects: it may be called twice.

    ``size``: the bytes that it looks through.
    """
    if size < LARGE_BYTES:
        with patience(UNITS):
            try:
                return run()
            except TakesLong:
                pass
    return await _on_a_thread(run)


async def aside(size: int, run: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Return what ``run`` makes of ``size`` bytes, or raise what it raises. Nobody else may change these."""
    if size < LARGE_BYTES:
        return run(*args, **named)
    return await _on_a_thread(partial(run, *args, **named))


async def _on_a_thread(run: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, context.run, run)
