"""The cluster's objects as authenticators see them: Secrets, ServiceAccounts, pods and nodes.

Owns: looking them up (a ``lookup.Lookup``), and the day of last use in a token's Secret
(``legacy_tokens.MarkUsed``).
"""

from __future__ import annotations

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import ResourceTable
from tiphys.apiserver.authn.legacy_tokens import LAST_USED
from tiphys.apiserver.registry.objects import Cached, ObjectStore


class LiveObjects:
    """Those of one server's store."""

    def __init__(self, objects: ObjectStore, table: ResourceTable) -> None:
        self._objects = objects
        self._table = table

    async def lookup(self, plural: str, namespace: str, name: str) -> Object | None:
        """Return an object of the core group, None where it is gone."""
        try:
            cached: Cached = await self._objects.seen(self._row(plural), namespace, name)
        except NotFound:
            return None
        return cached.object

    async def mark_used(self, secret: Object, today: str) -> None:
        """Write into a token's Secret when it was last used; who loses a race leaves it to the winner."""
        changed = copy_object(secret)
        meta = changed["metadata"]
        revision = int(meta.pop("resourceVersion"))
        meta["labels"] = {**(meta.get("labels") or {}), LAST_USED: today}
        try:
            await self._objects.update(self._row("secrets"), changed, revision)
        except (Conflict, NotFound):
            return

    def _row(self, plural: str) -> Resource:
        row = self._table.by_path("", "v1", plural)
        assert row is not None
        return row
