"""Has every object of a resource written anew: at today's storage version, sealed with today's key.

The API server writes an object that an apply leaves as it is only where its stored form is out of date, so
all that is done is to apply nothing to each.

Source: kinds of ``storagemigration.k8s.io``; behind the feature gate ``StorageVersionMigrator``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import STORAGE_VERSION_MIGRATIONS
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import Discovery, ServedResource
from tiphys.controllers.storageversionmigrator import plan

log = logging.getLogger(__name__)

_PAGE = 500
_MAY_APPEAR_S = 60.0
"""A resource that is not served may be that of a definition which came a moment ago."""
_LOOK_AGAIN_S = 5.0


class StorageVersionMigrator:
    """A key is a migration's."""

    name = "storage-version-migrator-controller"
    account = "storage-version-migrator-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._discovery = Discovery(context.client)
        self._migrations = context.informers.get(STORAGE_VERSION_MIGRATIONS)
        self._migrations.add_handler(self._changed)

    async def run(self) -> None:
        await self._migrations.wait_synced()
        await run_controller(self.queue, self.reconcile, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and not plan.has_ended(new):
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        migration = self._migrations.get(key)
        if migration is None or plan.has_ended(migration):
            return None
        served = await self._served(migration)
        if served is None:
            age_s = self._age_s(migration)
            if age_s < _MAY_APPEAR_S:
                return _LOOK_AGAIN_S
            await self._tell(self._seen_at(migration, migration), plan.FAILED, "resource not found")
            return None
        if not (migration.get("status") or {}).get("resourceVersion"):
            latest = await self._client.list(served.gvr, limit=1)
            migration = self._seen_at(migration, latest)
        migration = await self._tell(migration, plan.RUNNING)
        try:
            await self._migrate(served)
        except StatusError as error:
            if error.code >= 500:
                raise
            log.error("migration failed migration=%s error=%s", key, error)
            await self._tell(migration, plan.FAILED, "migration encountered unhandled error")
        else:
            await self._tell(migration, plan.SUCCEEDED)
        return None

    async def _served(self, migration: Object) -> ServedResource | None:
        """Return the resource at its group's preferred version; None while nobody serves it."""
        wanted = migration["spec"]["resource"]
        name = (wanted.get("group") or "", wanted["resource"])
        found = (await self._discovery.look()).preferred()
        return next((one for one in found if (one.gvr.group, one.gvr.resource) == name), None)

    def _age_s(self, migration: Object) -> float:
        made = parse_time(migration["metadata"]["creationTimestamp"])
        return (self._clock.now() - made).total_seconds()

    @staticmethod
    def _seen_at(migration: Object, at: Object) -> Object:
        """Note the revision from which on everything is written as it should be."""
        status = {**(migration.get("status") or {}), "resourceVersion": at["metadata"]["resourceVersion"]}
        return {**migration, "status": status}

    async def _tell(self, migration: Object, kind: str, message: str = "") -> Object:
        told = plan.with_condition(migration, kind, message, self._clock.now())
        return await self._client.update(STORAGE_VERSION_MIGRATIONS, told, subresource="status")

    async def _migrate(self, served: ServedResource) -> None:
        """Raises the StatusError of the first object that could not be written."""
        async for obj in self._objects(served):
            meta = obj["metadata"]
            try:
                await self._client.patch(
                    served.gvr, meta["name"], meta.get("namespace") or "", plan.as_it_is(obj, served.gvk),
                    type="apply", field_manager=self.name,
                )  # fmt: skip
            except (Conflict, NotFound):
                # Written or deleted since it was listed: either way nothing of the old form is left.
                continue

    async def _objects(self, served: ServedResource) -> AsyncIterator[Object]:
        """Yield every object there is. What is made meanwhile is of today's form already."""
        token = ""
        while True:
            page = await self._client.list(served.gvr, limit=_PAGE, continue_token=token)
            for obj in page.get("items") or ():
                yield obj
            token = page["metadata"].get("continue") or ""
            if not token:
                return
