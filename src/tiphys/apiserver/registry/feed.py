"""Follows one resource of the object store: every change once, with what was there before.

Called by the server for what it keeps in memory beside the cache (RBAC, service addresses, pods by node).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tiphys.apimachinery.errors import Expired, InternalError, StatusError
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
    the start nothing may be missing, where that would allow more and not less.
    """

    def __init__(
        self, store: ObjectStore, resource: Resource, on_change: OnChange, *, needs_all: bool = True
    ) -> None:
        self._store = store
        self._resource = resource
        self._on_change = on_change
        self._needs_all = needs_all
        self._known: dict[str, Cached] = {}
        self._unread: dict[str, Cached] = {}
        self._revision = 0

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

    async def run(self) -> None:
        """Follow changes for ever."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_S if self._unread else None):
                    await self._follow()
            except TimeoutError:
                self.look_again()
            except (Expired, InternalError):  # of the latter kind is what cannot be read
                await self._prime_again()
            await asyncio.sleep(0)

    def look_again(self) -> None:
        """Report what could not be read when it came, and can be now."""
        for item in list(self._unread.values()):
            self._put(item)

    async def _prime_again(self) -> None:
        try:
            await self.prime()
        except InternalError as error:
            log.error("objects are not followed resource=%s error=%s", self._resource.plural, error)
            await asyncio.sleep(_LOOK_S)

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
