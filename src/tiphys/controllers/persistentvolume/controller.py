"""Binds PersistentVolumeClaims to PersistentVolumes and releases volumes. Decisions are in ``plan``.

Volumes are made by provisioners outside, folders of this machine here where that is asked for; with
WaitForFirstConsumer the scheduler chooses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import GVR, Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import CLASSES_GIVEN, CLASSES_NOT_GIVEN, HELD
from tiphys.controllers.owned import Writes
from tiphys.controllers.persistentvolume import figures, hostpath
from tiphys.controllers.persistentvolume.matching import class_of, has_no_class
from tiphys.controllers.persistentvolume.plan import Plan, plan_claim, plan_volume
from tiphys.controllers.storageprotection.plan import claim_names

_RETRY_S = 15.0
_SETTLE_S = 1.0
_VOLUME = "volume:"
_BY_CLAIM = "claim-of-waiting"


class PersistentVolumeController:
    """A key is a claim's, or ``volume:`` and a volume's name. One worker: two claims never race."""

    name = "persistentvolume-binder-controller"
    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._root = context.options.hostpath_root
        self._recorder = context.recorder("persistentvolume-controller")
        self.queue = context.queue(self.name)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informers.get(PERSISTENT_VOLUMES)
        self._classes = context.informers.get(STORAGE_CLASSES)
        self._pods = context.informers.get(PODS)
        self._pods.add_index(_BY_CLAIM, _claims_waited_for)
        self._volume_writes = Writes(self._volumes, context.clock)
        self._claim_writes = Writes(self._claims, context.clock)
        self._moved = asyncio.Event()
        """Set by each change of a claim or a volume."""
        self._told: dict[str, str] = {}
        HELD.add(self)
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)
        self._classes.add_handler(self._class_changed)

    async def run(self) -> None:
        await asyncio.gather(
            *(informer.wait_synced() for informer in (self._claims, self._volumes, self._classes, self._pods))
        )
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def collect(self) -> Iterator[Metric]:
        """Yield how many volumes and claims there are."""
        return figures.families(self._volumes.list(), self._claims.list())

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        self._moved.set()
        obj = new or old
        if obj is None:
            return
        self.queue.add(object_key(obj))
        if obj["spec"].get("volumeName"):
            self.queue.add(_VOLUME + obj["spec"]["volumeName"])

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        self._moved.set()
        obj = new or old
        if obj is None:
            return
        self.queue.add(_VOLUME + obj["metadata"]["name"])
        ref = obj["spec"].get("claimRef")
        if ref:
            self.queue.add(f"{ref.get('namespace')}/{ref.get('name')}")
        else:
            self._look_at_pending()

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        self._look_at_pending()

    def _look_at_pending(self) -> None:
        for claim in self._claims.list():
            if not claim["spec"].get("volumeName"):
                self.queue.add(object_key(claim))

    async def reconcile(self, key: str) -> float | None:
        # Planning on what another key's writes have changed would give one volume away twice.
        if not await self._settled():
            return _SETTLE_S
        if key.startswith(_VOLUME):
            return await self._reconcile_volume(key.removeprefix(_VOLUME))
        claim = self._claims.get(key)
        if claim is None:
            self._told.pop(key, None)
            return None
        classes = {item["metadata"]["name"]: item for item in self._classes.list()}
        pods = sorted(pod["metadata"]["name"] for pod in self._pods.by_index(_BY_CLAIM, key))
        planned = plan_claim(claim, self._volumes.list(), classes, pods, self._root)
        gets_class = planned.claim is not None and has_no_class(claim) and not has_no_class(planned.claim)
        try:
            await self._apply(planned, self._volume_of(planned), claim)
        except StatusError:
            CLASSES_NOT_GIVEN.labels().inc(gets_class)
            raise
        CLASSES_GIVEN.labels().inc(gets_class)
        if planned.made is not None:
            await self._make(planned.made)
        self._tell(key, claim, planned)
        waiting = not claim["spec"].get("volumeName") and planned.volume is None and class_of(claim)
        return _RETRY_S if waiting else None

    async def _settled(self) -> bool:
        """Wait, a moment at most, until the cache shows all that was written."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                while not (self._volume_writes.settled(_VOLUME) and self._claim_writes.settled(_VOLUME)):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _reconcile_volume(self, name: str) -> float | None:
        volume = self._volumes.get(name)
        if volume is None:
            return None
        planned = plan_volume(volume, await self._claim_of(volume), self._root)
        await self._apply(planned, volume, None)
        if planned.gone:
            await self._delete(volume)
        if planned.event is not None:
            self._recorder.record(volume, *planned.event)
        return None

    async def _claim_of(self, volume: Object) -> Object | None:
        """Return the claim that a volume names. Asks the server before saying that there is none."""
        ref = volume["spec"].get("claimRef") or {}
        if not ref.get("uid"):
            return None
        claim = self._claims.get(f"{ref['namespace']}/{ref['name']}")
        if claim is not None and claim["metadata"]["uid"] == ref["uid"]:
            return claim
        try:
            return await self._client.get(PERSISTENT_VOLUME_CLAIMS, ref["name"], ref["namespace"])
        except NotFound:
            return None

    async def _make(self, volume: Object) -> None:
        await asyncio.to_thread(hostpath.make_folder, volume)
        try:
            made = await self._client.create(PERSISTENT_VOLUMES, volume)
        except AlreadyExists:
            return  # its event is on the way
        self._volume_writes.wrote(_VOLUME, made)

    async def _delete(self, volume: Object) -> None:
        await asyncio.to_thread(hostpath.remove_folder, volume)
        with contextlib.suppress(NotFound):
            await self._client.delete(PERSISTENT_VOLUMES, volume["metadata"]["name"])

    def _volume_of(self, planned: Plan) -> Object | None:
        return self._volumes.get(planned.volume["metadata"]["name"]) if planned.volume else None

    async def _apply(self, planned: Plan, volume: Object | None, claim: Object | None) -> None:
        if planned.volume is not None and volume is not None:
            await self._write(PERSISTENT_VOLUMES, volume, planned.volume, self._volume_writes)
        if planned.claim is not None and claim is not None:
            await self._write(PERSISTENT_VOLUME_CLAIMS, claim, planned.claim, self._claim_writes)

    async def _write(self, gvr: GVR, old: Object, new: Object, writes: Writes) -> None:
        """Write what differs: the object, then its status on top of what came back."""
        stored = old
        try:
            if (new["spec"], new["metadata"]) != (old["spec"], old["metadata"]):
                stored = await self._client.update(gvr, new)
                writes.wrote(_VOLUME, stored)
            if new.get("status") != stored.get("status"):
                stored = await self._client.update(gvr, {**stored, "status": new["status"]}, "status")
                writes.wrote(_VOLUME, stored)
        except NotFound:
            return

    def _tell(self, key: str, claim: Object, planned: Plan) -> None:
        """Say each thing once, and again only after something else."""
        if planned.event is None:
            self._told.pop(key, None)
        elif self._told.get(key) != planned.event[2]:
            self._told[key] = planned.event[2]
            self._recorder.record(claim, *planned.event)


def _claims_waited_for(pod: Object) -> list[str]:
    """Return the claims of a pod that has no node yet."""
    if (pod.get("spec") or {}).get("nodeName") or podstate.is_terminal(pod):
        return []
    return [f"{pod['metadata']['namespace']}/{name}" for name in claim_names(pod)]
