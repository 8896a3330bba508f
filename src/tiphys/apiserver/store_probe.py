"""Asks the store now and then whether it still answers, so that health checks need not wait for it."""

from __future__ import annotations

import asyncio
import logging

from tiphys.apiserver.observe.stored_objects import Remote
from tiphys.storage.base import Store, StoreError

log = logging.getLogger(__name__)
_EVERY_S = 5.0
_PATIENCE_S = 2.0
_KEY = "/registry/health"


class StoreProbe:
    """``fault`` is what was wrong at the last look; a store that was never asked is at fault."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fault: str | None = "the store is not open yet"

    def found(self, fault: str | None) -> None:
        """Note what a look found, and log it where it is news."""
        if fault != self.fault and fault is not None:
            log.warning("store does not answer error=%s", fault)
        self.fault = fault

    async def look(self) -> None:
        """Read one key."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._store.get(_KEY)
                if isinstance(self._store, Remote):
                    await self._store.measure()
        except TimeoutError:
            self.found("timed out waiting for the store")
        except StoreError as error:
            self.found(str(error))
        else:
            self.found(None)

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()
