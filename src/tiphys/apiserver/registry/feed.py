"""Follows one resource of the object store: every change once, with what was there before.

Called by the server for what it keeps in memory beside the cache (RBAC, service addresses, pods by node).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tiphys.apimachinery.errors import ServiceUnavailable, StatusError
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.registry.objects import Cached, Change, ObjectStore, Selection

log = logging.getLogger(__name__)
_LOOK_S: Final = 2.0
"""How often is looked whether what could not be read can be read now."""
OnChange = Callable[[Cached | None, Cached | None], None]
"""(old, new): new is None for a deletion."""


class Feed:
    """``prime`` reads what exists; ``run`` follows from there, relisting when history is gone.

    What cannot be read leaves what was known of it, and is taken in once it can be read. ``needs_all``: at
    the start nothing may be missing, where that would allow more and not less; until nothing is, it is not
    ``synced`` and tells of nothing.
    """

    def __init__(
        self, store: ObjectStore, resource: Resource, on_change: OnChange, *, needs_all: bool = False
    ) -> None:
        self._store = store
        self._resource = resource
        self._on_change = on_change
        self._needs_all = needs_all
        self._known: dict[str, Cached] = {}
        self._unread: dict[str, Cached] = {}
        self._revision = 0
        self.synced = False
        """Whether all that was needed has been told of once."""

    async def begin(self) -> None:
        """Take in the present state; what is needed and cannot be read is waited for by ``run``.

        Raises ServiceUnavailable: the store is away.
        """
        try:
            await self.prime()
        except ServiceUnavailable:
            raise
        except StatusError as error:
            self._tell(error)

    async def prime(self) -> None:
        """Take in the present state; what has gone since the last time is reported as deleted.

        Raises:
            StatusError: all is needed, and something cannot be read.
        """
        page = await self._store.list(self._resource, Selection(whole=self._needs_all))
        found = {item.key: item for item in page.items}
        for key in [key for key in self._known if key not in found]:
            self._on_change(self._known.pop(key), None)
        self._unread.clear()
        for item in found.values():
            self._put(item)
        self._revision = page.revision
        self.synced = True

    async def run(self) -> None:
        """Follow changes for ever."""
        while not self.synced:
            await asyncio.sleep(_LOOK_S)
            await self._prime_again()
        while True:
            try:
                async with asyncio.timeout(_LOOK_S if self._unread else None):
                    await self._follow()
            except TimeoutError:
                self.look_again()
            except StatusError:  # the past is gone, something cannot be read, or the store is away
                await self._prime_again()
            await asyncio.sleep(0)

    def look_again(self) -> None:
        """Report what could not be read when it came, and can be now."""
        for item in list(self._unread.values()):
            self._put(item)

    async def _prime_again(self) -> None:
        try:
            await self.prime()
        except StatusError as error:
            self._tell(error)
            await asyncio.sleep(_LOOK_S)

    def _tell(self, error: StatusError) -> None:
        log.error("objects are not followed resource=%s error=%s", self._resource.plural, error)

    async def _follow(self) -> None:
        changes = self._store.watch(self._resource, Selection(), resource_version=str(self._revision))
        async for batch in changes:
            self._take(batch)
            batch = []  # between events nothing is kept of those that were

    def _take(self, batch: list[Change]) -> None:
        for change in batch:
            self._revision = change.revision
            if change.cached is None:
                continue
            key = change.cached.key
            if change.type == "DELETED":
                self._unread.pop(key, None)
                self._on_change(self._known.pop(key, change.cached), None)
            else:
                self._put(change.cached)

    def _put(self, item: Cached) -> None:
        """Report an object as it is now, if it can be read."""
        key = item.key
        try:
            item.check()
        except StatusError as error:
            if self._unread.get(key) is not item:
                log.error("object is not followed key=%s error=%s", key, error)
            self._unread[key] = item
            return
        self._unread.pop(key, None)
        self._on_change(self._known.get(key), item)
        self._known[key] = item
