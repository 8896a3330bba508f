"""Sweeps up pods of vanished nodes and finished pods beyond the threshold, every twenty seconds."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NODES, PODS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import POD_GC_DELETIONS, POD_GC_ERRORS
from tiphys.controllers.podgc.plan import failed_status, is_out_of_service, plan

_KEY = "all"
_QUARANTINE_S = 40.0


class PodGarbageCollector:
    """One key: a sweep looks at everything. A missing node is only believed after 40 s and a live look."""

    name = "pod-garbage-collector-controller"
    account = "pod-garbage-collector"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._options = context.options
        self.queue = context.queue(self.name)
        self._pods = context.informers.get(PODS)
        self._nodes = context.informers.get(NODES)
        self._missing_since: dict[str, float] = {}

    async def run(self) -> None:
        await self._pods.wait_synced()
        await self._nodes.wait_synced()
        self.queue.add(_KEY)
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    async def reconcile(self, _key: str) -> float | None:
        pods = self._pods.list()
        out_of_service = {node["metadata"]["name"] for node in self._nodes.list() if is_out_of_service(node)}
        planned = plan(
            pods, await self._believed(pods), out_of_service, self._options.terminated_pod_threshold
        )
        results = await asyncio.gather(
            *(self._swept(pod, reason) for pod, reason in planned.sweep), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Conflict):
                raise result
        return self._options.pod_gc_period_s

    async def _swept(self, pod: Object, reason: str) -> None:
        labels = (pod["metadata"]["namespace"], reason)
        POD_GC_DELETIONS.labels(*labels).inc()
        try:
            await self._sweep(pod, reason)
        except Exception:
            POD_GC_ERRORS.labels(*labels).inc()
            raise

    async def _believed(self, pods: list[Object]) -> set[str]:
        """Nodes that exist or may yet: unknown ones count until they were missing long enough."""
        known = {node["metadata"]["name"] for node in self._nodes.list()}
        used = {str((pod.get("spec") or {}).get("nodeName") or "") for pod in pods} - {""}
        now = self._clock.monotonic()
        missing = {name: self._missing_since.get(name, now) for name in used - known}
        self._missing_since = missing
        for name, since in missing.items():
            if now - since < _QUARANTINE_S or await self._exists(name):
                known.add(name)
        return known

    async def _exists(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except NotFound:
            return False
        return True

    async def _sweep(self, pod: Object, reason: str) -> None:
        if not podstate.is_terminal(pod):
            meta = pod["metadata"]
            patch = {
                "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
                "status": failed_status(pod, reason, self._clock.now()),
            }
            try:
                await self._client.patch(PODS, meta["name"], meta["namespace"], patch, subresource="status")
            except NotFound:
                return
        await self._delete(pod)

    async def _delete(self, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(
                PODS, meta["name"], meta["namespace"], grace_period_s=0, uid=meta["uid"]
            )
        except NotFound:
            return
