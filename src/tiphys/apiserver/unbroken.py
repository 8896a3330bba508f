"""Work that goes on to its end though whoever asked for it was told meanwhile that it takes too long.

What takes several writes, or one for many, must not end in the middle where one request does (its deadline,
its client gone): addresses and ports would be taken for nobody, or given back while the Service that has
them is being written; a quota would be charged again for all who wait for the same charge.

Owns: the tasks of such work. Called by the handlers of Services and by the ledger of quotas.
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
