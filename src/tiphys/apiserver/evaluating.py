"""Where expressions are evaluated: on the event loop while that is short, else on a thread of their own.

Evaluation is pure, so one that turns out to be long is given up after a few milliseconds and started over
on a thread, where it may spend its whole budget, or wait for an answer about somebody's rights, while the
loop serves others. There are few threads: they share the interpreter with the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tiphys.apimachinery.cel import TakesLong, patience

T = TypeVar("T")
UNITS: Final = 10_000
"""What runs on the loop may cost together: some five milliseconds."""
_THREADS: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="evaluate")


async def evaluate(run: Callable[[], T]) -> T:
    """Return what ``run`` returns, or raise what it raises. It has no effects: it may be called twice."""
    with patience(UNITS):
        try:
            return run()
        except TakesLong:
            pass
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, context.run, run)
