"""Counts what namespaces use and writes it into their quotas. Decisions are in ``plan``.

Admission charges a quota before an object is written; here room comes back when objects go. Kinds are
watched from the moment on that a quota counts them.
"""

from __future__ import annotations

import asyncio
import logging

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import GVR, Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.informer import Informer
from tiphys.client.kinds import DEVICE_CLASSES, RESOURCE_QUOTAS
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import discover
from tiphys.controllers.owned import Writes
from tiphys.controllers.resourcequota.plan import (
    DEVICE_CLAIMS,
    Kind,
    differs,
    frees_room,
    kinds_counted,
    plan_status,
)

log = logging.getLogger(__name__)

_CLASSES: Kind = (DEVICE_CLASSES.group, DEVICE_CLASSES.resource)
_RESYNC_S = 300.0
_AGAIN_S = 30.0
_SOON_S = 0.1
_PATIENCE_S = 5.0
"""Then a quota is counted without what cannot be listed."""
_NEEDED = {"list", "watch"}


class ResourceQuotaController:
    """A key is a quota's."""

    name = "resourcequota-controller"
    account = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._informers = context.informers
        self.queue = context.queue(self.name)
        self._quotas = context.informers.get(RESOURCE_QUOTAS)
        self._clock = context.clock
        self._writes = Writes(self._quotas, self._clock)
        self._served: dict[Kind, GVR] = {}
        self._watched: dict[Kind, Informer] = {}
        self._unlisted: set[Kind] = set()
        """Waited for in vain before."""
        self._quotas.add_handler(self._quota_changed)

    async def run(self) -> None:
        await self._quotas.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def _quota_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        # What admission wrote into ``used`` is not ours to look at: only a new wish is.
        if old is None or old["spec"] != new["spec"] or _hard(new, "spec") != _hard(new, "status"):
            self.queue.add(object_key(new))

    def _watch(self, kind: Kind, gvr: GVR) -> Informer:
        def changed(old: Object | None, new: Object | None) -> None:
            obj = new or old
            if obj is None or not frees_room(kind, old, new):
                return
            for quota in self._quotas.list(obj["metadata"].get("namespace") or ""):
                if kind in kinds_counted(quota):
                    self.queue.add(object_key(quota))

        if kind not in self._watched:
            self._watched[kind] = self._informers.get(gvr)
            self._watched[kind].add_handler(changed)
        return self._watched[kind]

    async def reconcile(self, key: str) -> float | None:
        quota = self._quotas.get(key)
        if quota is None:
            self._writes.forget(key)
            return None
        if not self._writes.settled(key):
            return _SOON_S  # our own write is no event that brings the key back
        kinds = kinds_counted(quota)
        served = await self._resolve(kinds)
        namespace = quota["metadata"]["namespace"]
        objects: dict[Kind, list[Object]] = {}
        for kind, gvr in served.items():
            informer = self._watch(kind, gvr)
            if await self._listed(kind, informer):
                objects[kind] = list(informer.list(namespace))
        classes = await self._classes() if DEVICE_CLAIMS in objects else None
        planned = plan_status(quota, objects, self._clock.now(), classes)
        if differs(quota.get("status") or {}, planned):
            try:
                stored = await self._client.update(RESOURCE_QUOTAS, {**quota, "status": planned}, "status")
            except NotFound:
                return None
            self._writes.wrote(key, stored)
        return _RESYNC_S if set(objects) == kinds else _AGAIN_S

    async def _classes(self) -> list[Object] | None:
        """Return the classes of devices, None where there can be none."""
        if not on("DRAExtendedResource"):
            return None
        informer = self._informers.get(DEVICE_CLASSES)
        return list(informer.list()) if await self._listed(_CLASSES, informer) else None

    async def _listed(self, kind: Kind, informer: Informer) -> bool:
        """Wait for a kind's objects, once: those that cannot be had hold up neither this quota nor others."""
        if informer.synced or kind in self._unlisted:
            return informer.synced
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await informer.wait_synced()
        except TimeoutError:
            self._unlisted.add(kind)
            log.warning("counts without resource=%s", informer.gvr.group_resource)
        return informer.synced

    async def _resolve(self, kinds: set[Kind]) -> dict[Kind, GVR]:
        """Find where kinds are served; those that are not (yet, or any more) are left out."""
        for kind in [kind for kind, informer in self._watched.items() if informer.ended]:
            del self._watched[kind]
            self._served.pop(kind, None)
            self._unlisted.discard(kind)
        if not kinds <= set(self._served):
            found = await discover(self._client)
            self._served = {
                (item.gvr.group, item.gvr.resource): item.gvr
                for item in found.preferred()
                if item.namespaced and item.verbs >= _NEEDED
            }
        return {kind: self._served[kind] for kind in kinds if kind in self._served}


def _hard(quota: Object, part: str) -> Object:
    return (quota.get(part) or {}).get("hard") or {}
