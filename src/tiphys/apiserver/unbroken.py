"""Work that goes on to its end though whoever asked for it was told meanwhile that it takes too long.

What takes several writes, or one for many, must not end in the middle where one request does (its deadline,
its client gone): addresses and ports would be taken for nobody, or given back while the Service that has
them is being written; a quota would be charged again for all who wait for the same charge.

Owns: the tasks of such work. Called by the handlers of Services and by the ledger of quotas.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)
GRACE_S: Final = 10.0
"""What is under way takes a few writes: longer than this it waits for a store that is gone."""
_BREAKING_S: Final = 1.0
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

    async def close(self, grace_s: float = GRACE_S) -> None:
        """Wait for all that is under way; what takes longer than ``grace_s`` is broken off. Idempotent."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace_s
        while self._working and (left_s := ends - loop.time()) > 0:
            await asyncio.wait(self._working, timeout=left_s)
        if self._working:
            log.warning("work broken off tasks=%d after_s=%g", len(self._working), grace_s)
            for task in self._working:
                task.cancel()
            await asyncio.wait(self._working, timeout=_BREAKING_S)
