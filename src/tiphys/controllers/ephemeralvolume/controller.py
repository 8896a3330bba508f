"""Makes the claims of pods' ephemeral volumes; the garbage collector takes them with the pod."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, StatusError
from tiphys.apimachinery.meta import Object, object_key, split_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.ephemeralvolume.plan import plan
from tiphys.controllers.metrics import EPHEMERAL_CLAIMS, EPHEMERAL_FAILURES


class EphemeralVolumeController:
    """A key is a pod's."""

    name = "ephemeral-volume-controller"
    account = "ephemeral-volume-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("ephemeral_volume")
        self.queue = context.queue(self.name)
        self._pods = context.informers.get(PODS)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(self._claim_changed)

    async def run(self) -> None:
        await self._pods.wait_synced()
        await self._claims.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and any(one.get("ephemeral") for one in new["spec"].get("volumes") or ()):
            self.queue.add(object_key(new))

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            for owner in old["metadata"].get("ownerReferences") or ():
                if owner.get("kind") == "Pod":
                    self.queue.add(f"{old['metadata']['namespace']}/{owner['name']}")

    async def reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None:
            return None
        namespace, _ = split_key(key)
        claims = {one["metadata"]["name"]: one for one in self._claims.list(namespace=namespace)}
        planned = plan(pod, claims)
        for claim in planned.make:
            EPHEMERAL_CLAIMS.labels().inc()
            try:
                await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except StatusError as error:
                EPHEMERAL_FAILURES.labels().inc()
                if not isinstance(error, AlreadyExists):
                    raise
                self.queue.add(key)  # the cache lags, or somebody else was faster: look again
        for fault in planned.faults:
            self._recorder.record(pod, "Warning", "FailedBinding", fault)
        return None
