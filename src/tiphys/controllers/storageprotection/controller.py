"""Keeps claims while pods use them and volumes while claims are bound to them. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import GVR, Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTRIBUTES_CLASSES,
)
from tiphys.client.rest import Client
from tiphys.controllers.context import Context
from tiphys.controllers.storageprotection.plan import (
    ATTRIBUTES_FINALIZER,
    CLAIM_FINALIZER,
    VOLUME_FINALIZER,
    attributes_of,
    claims_of,
    is_claim_used,
    is_volume_used,
    planned_finalizers,
)

_BY_CLAIM = "claim"
_BY_ATTRIBUTES = "attributes-class"


class PvcProtectionController:
    """A key is a claim's."""

    name = "persistentvolumeclaim-protection-controller"
    account = "pvc-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._pods = context.informers.get(PODS)
        self._pods.add_index(_BY_CLAIM, _claim_keys)
        self._claims.add_handler(self._claim_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._claims.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None:
            return
        same = new is not None and new["metadata"]["uid"] == old["metadata"]["uid"]
        used = _claim_keys(new) if new is not None and same else []
        for key in _claim_keys(old):
            if key not in used:
                self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        claim = self._claims.get(key)
        if claim is None:
            return None
        used = is_claim_used(claim, self._pods.by_index(_BY_CLAIM, key))
        if used is False and claim["metadata"].get("deletionTimestamp"):
            used = await self._is_used_live(claim)
        planned = planned_finalizers(claim, CLAIM_FINALIZER, used=used)
        await _write(self._client, PERSISTENT_VOLUME_CLAIMS, claim, planned)
        return None

    async def _is_used_live(self, claim: Object) -> bool:
        """Ask the server: a cache that lags must not take a volume from a pod that just began."""
        found = await self._client.list(PODS, claim["metadata"]["namespace"])
        return is_claim_used(claim, found.get("items") or ())


class PvProtectionController:
    """A key is a volume's."""

    name = "persistentvolume-protection-controller"
    account = "pv-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._volumes = context.informers.get(PERSISTENT_VOLUMES)
        self._volumes.add_handler(self._changed)

    async def run(self) -> None:
        await self._volumes.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        volume = self._volumes.get(key)
        if volume is not None:
            planned = planned_finalizers(volume, VOLUME_FINALIZER, used=is_volume_used(volume))
            await _write(self._client, PERSISTENT_VOLUMES, volume, planned)
        return None


class AttributesClassProtectionController:
    """A key is a VolumeAttributesClass's: it stays while claims or volumes have it."""

    name = "volumeattributesclass-protection-controller"
    account = "volumeattributesclass-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._classes = context.informers.get(VOLUME_ATTRIBUTES_CLASSES)
        self._users = [context.informers.get(gvr) for gvr in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)]
        self._classes.add_handler(self._class_changed)
        for informer in self._users:
            informer.add_index(_BY_ATTRIBUTES, attributes_of)
            informer.add_handler(self._user_changed)

    async def run(self) -> None:
        for informer in (self._classes, *self._users):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    def _user_changed(self, old: Object | None, new: Object | None) -> None:
        for name in attributes_of(old) if old else ():
            if new is None or name not in attributes_of(new):
                self.queue.add(name)

    async def reconcile(self, key: str) -> float | None:
        found = self._classes.get(key)
        if found is not None:
            used = any(informer.by_index(_BY_ATTRIBUTES, key) for informer in self._users)
            planned = planned_finalizers(found, ATTRIBUTES_FINALIZER, used=used)
            await _write(self._client, VOLUME_ATTRIBUTES_CLASSES, found, planned)
        return None


def _claim_keys(pod: Object) -> list[str]:
    return [f"{pod['metadata']['namespace']}/{name}" for name in claims_of(pod)]


async def _write(client: Client, gvr: GVR, obj: Object, finalizers: list[str] | None) -> None:
    if finalizers is None:
        return
    try:
        await client.update(gvr, {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
    except NotFound:
        return
