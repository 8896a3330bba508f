"""Asks the store now and then whether it still answers, so that health checks need not wait for it."""

from __future__ import annotations

import asyncio
import logging

from tiphys.apiserver.observe.stored_objects import Remote
from tiphys.apiserver.options import STORE_CHECK_S
from tiphys.storage.base import Store, StoreError

log = logging.getLogger(__name__)
_EVERY_S = 5.0
_KEY = "/registry/health"
NOT_OPEN = "the store is not open yet"


class StoreProbe:
    """What was wrong at the last look; a store that was never asked is at fault.

    A store that takes longer than ``patience_s`` is at fault as well; longer than ``ready_patience_s``: not
    ready.
    """

    def __init__(
        self, store: Store, patience_s: float = STORE_CHECK_S, ready_patience_s: float = STORE_CHECK_S
    ) -> None:
        self._store = store
        self._patience_s, self._ready_patience_s = patience_s, ready_patience_s
        self.fault: str | None = NOT_OPEN
        self._unready: str | None = self.fault

    @property
    def readiness_fault(self) -> str | None:
        """What was wrong when it was looked for readiness, where that is another look."""
        return self.fault if self._patience_s == self._ready_patience_s else self._unready

    def opened(self) -> None:
        """Note that the store has been opened."""
        self.fault = self._unready = None

    def found(self, fault: str | None) -> None:
        """Note what a look found, and log it where it is news."""
        if fault != self.fault and fault is not None:
            log.warning("store does not answer error=%s", fault)
        self.fault = fault

    async def look(self) -> None:
        """Read one key; once more where readiness has another patience."""
        async with asyncio.TaskGroup() as group:
            if self._patience_s != self._ready_patience_s:
                group.create_task(self._look_once_more())
            self.found(await self._ask(self._patience_s))

    async def _look_once_more(self) -> None:
        self._unready = await self._ask(self._ready_patience_s)

    async def _ask(self, patience_s: float) -> str | None:
        try:
            async with asyncio.timeout(patience_s):
                await self._store.get(_KEY)
                if isinstance(self._store, Remote):
                    await self._store.measure()
        except TimeoutError:
            return "timed out waiting for the store"
        except StoreError as error:
            return str(error)
        return None

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()
