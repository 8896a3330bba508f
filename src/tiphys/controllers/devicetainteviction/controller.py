"""Deletes pods whose devices are tainted with NoExecute, at once or when they tolerate it no longer."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.devicetainteviction.plan import evict_at, pool_of, tainted_devices, uses_pool
from tiphys.controllers.disruption_target import disrupt
from tiphys.controllers.metrics import DEVICE_TAINT_DELETION_SECONDS, DEVICE_TAINT_DELETIONS

_BY_CONSUMER = "consumer"


class DeviceTaintEvictionController:
    """A key is a pod's. It is looked at when its claims or the taints of a pool that it uses change."""

    name = "device-taint-eviction-controller"
    account = "device-taint-eviction-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._waiting: set[str] = set()
        """Pods (by uid) whose time is running."""
        self._pods = context.informers.get(PODS)
        self._claims = context.informers.get(RESOURCE_CLAIMS)
        self._slices = context.informers.get(RESOURCE_SLICES)
        self._claims.add_index(_BY_CONSUMER, _consumers)
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(self._claim_changed)
        self._slices.add_handler(self._slice_changed)

    async def run(self) -> None:
        for informer in (self._pods, self._claims, self._slices):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._waiting.discard((old or {})["metadata"]["uid"])
        elif _matters(new) and (old is None or _seen(old) != _seen(new)):
            self.queue.add(object_key(new))

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        for claim in (old, new):
            self._look_at_pods_of(claim)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        """Only taints matter; which slices are a pool's newest may change them as well."""
        if old is not None and new is not None and old["spec"] == new["spec"]:
            return
        if not tainted_devices([item for item in (old, new) if item is not None]) and not self._waiting:
            return
        for pool in {pool_of(item) for item in (old, new) if item is not None}:
            for claim in self._claims.list():
                if uses_pool(claim, pool):
                    self._look_at_pods_of(claim)

    def _look_at_pods_of(self, claim: Object | None) -> None:
        for consumer in ((claim or {}).get("status") or {}).get("reservedFor") or ():
            if claim is not None and consumer.get("resource") == "pods" and not consumer.get("apiGroup"):
                self.queue.add(f"{claim['metadata']['namespace']}/{consumer['name']}")

    async def reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or not _matters(pod):
            return None
        uid = pod["metadata"]["uid"]
        at = evict_at(self._claims.by_index(_BY_CONSUMER, uid), tainted_devices(self._slices.list()))
        if at is None:
            if uid in self._waiting:
                self._waiting.discard(uid)
                self._recorder.record(pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion")
            return None
        left_s = (at - self._clock.now()).total_seconds()
        if left_s > 0:
            self._waiting.add(uid)
            return left_s
        self._waiting.discard(uid)
        await self._evict(pod, at)
        return None

    async def _evict(self, pod: Object, due_at: datetime) -> None:
        self._recorder.record(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion")
        text = "Device Taint manager: deleting due to NoExecute taint"
        if not await disrupt(self._client, pod, "DeletionByDeviceTaintManager", text, self._clock.now()):
            return
        DEVICE_TAINT_DELETIONS.labels().inc()
        DEVICE_TAINT_DELETION_SECONDS.labels().observe(max((self._clock.now() - due_at).total_seconds(), 0.0))


def _consumers(claim: Object) -> list[str]:
    found = (claim.get("status") or {}).get("reservedFor") or ()
    return [str(one["uid"]) for one in found if one.get("resource") == "pods" and not one.get("apiGroup")]


def _matters(pod: Object) -> bool:
    """True for a pod that runs somewhere and is not to go already."""
    placed = bool((pod.get("spec") or {}).get("nodeName"))
    return placed and not podstate.is_deleting(pod) and not podstate.is_terminal(pod)


def _seen(pod: Object) -> tuple[object, ...]:
    status = pod.get("status") or {}
    node = (pod.get("spec") or {}).get("nodeName")
    return node, status.get("resourceClaimStatuses"), status.get("extendedResourceClaimStatus")
