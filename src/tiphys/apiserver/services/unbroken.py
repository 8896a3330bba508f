"""Work that goes on to its end though whoever asked for it was told meanwhile that it takes too long.

Addresses, node ports and the Service that has them are written one after the other. A request that ends in
the middle (its deadline, its client gone) would leave what was taken to nobody, or a Service with what was
given back while it was being written. Called by the handlers of Services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Unbroken:
    """What is under way; ``close`` waits for it."""

    def __init__(self) -> None:
        self._working: set[asyncio.Task[Any]] = set()

    async def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do some work and return what comes of it. Cancelling this call leaves the work alone."""
        task = asyncio.get_running_loop().create_task(work)  # parent: close
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for all that is under way. Idempotent."""
        while self._working:
            await asyncio.wait(self._working)
