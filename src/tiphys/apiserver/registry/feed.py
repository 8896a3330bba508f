"""Follows one resource of the object store: every change once, with what was there before.

Called by the server for what it keeps in memory beside the cache (RBAC, service addresses, pods by node).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tiphys.apimachinery.errors import Expired
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.registry.objects import Cached, Change, ObjectStore, Selection

OnChange = Callable[[Cached | None, Cached | None], None]
"""(old, new): new is None for a deletion."""


class Feed:
    """``prime`` reads what exists; ``run`` follows from there, relisting when history is gone."""

    def __init__(self, store: ObjectStore, resource: Resource, on_change: OnChange) -> None:
        self._store = store
        self._resource = resource
        self._on_change = on_change
        self._known: dict[str, Cached] = {}
        self._revision = 0

    async def prime(self) -> None:
        """Take in the present state; what has gone since the last time is reported as deleted."""
        page = await self._store.list(self._resource, Selection())
        found = {item.key: item for item in page.items}
        for key in [key for key in self._known if key not in found]:
            self._on_change(self._known.pop(key), None)
        for key, item in found.items():
            self._on_change(self._known.get(key), item)
        self._known = found
        self._revision = page.revision

    async def run(self) -> None:
        """Follow changes for ever."""
        while True:
            try:
                await self._follow()
            except Expired:
                await self.prime()
            await asyncio.sleep(0)

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
                self._on_change(self._known.pop(key, change.cached), None)
            else:
                self._on_change(self._known.get(key), change.cached)
                self._known[key] = change.cached
