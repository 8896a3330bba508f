"""Empties a namespace that is being deleted, then lets it go through its ``finalize`` subresource."""

from __future__ import annotations

from tiphys.apimachinery.errors import Conflict, MethodNotAllowed, NotFound, StatusError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NAMESPACES, PODS
from tiphys.client.transport import TransportError
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import Discovered, Discovery, ServedResource
from tiphys.controllers.namespace.plan import FINALIZER, Progress, finalizers_of, plan_status

_AGAIN_S = 1.0
_AT_LATEST_S = 5.0


class NamespaceController:
    """A key is a namespace's. Content is found by discovery, so that custom resources go as well."""

    name = "namespace-controller"
    account = "namespace-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers_of(self.name)
        self.queue = context.queue(self.name)
        self._namespaces = context.informers.get(NAMESPACES)
        self._pods = context.informers.get(PODS)
        self._discovery = Discovery(context.client)
        self._namespaces.add_handler(self._changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["metadata"].get("deletionTimestamp"):
            self.queue.add(new["metadata"]["name"])

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """With its last pod gone a namespace need not wait for its next turn."""
        if old is None or new is not None:
            return
        namespace = old["metadata"]["namespace"]
        if not self._pods.list(namespace):
            self._changed(None, self._namespaces.get(namespace))

    async def reconcile(self, key: str) -> float | None:
        try:
            namespace = await self._client.get(NAMESPACES, key)
        except NotFound:
            return None
        if not namespace["metadata"].get("deletionTimestamp") or FINALIZER not in finalizers_of(namespace):
            return None
        namespace = await self._mark(namespace)
        progress = await self._empty(key, await self._discovery.look())
        status = plan_status(namespace, progress, self._clock.now())
        if status != namespace.get("status"):
            namespace = await self._client.update(NAMESPACES, {**namespace, "status": status}, "status")
        if progress.empty:
            await self._finalize(namespace)
            return None
        return min(max(progress.estimate_s / 2, _AGAIN_S), _AT_LATEST_S)

    async def _mark(self, namespace: Object) -> Object:
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            return namespace
        status = {**(namespace.get("status") or {}), "phase": "Terminating"}
        return await self._client.update(NAMESPACES, {**namespace, "status": status}, "status")

    async def _finalize(self, namespace: Object) -> None:
        freed = copy_object(namespace)
        freed["spec"]["finalizers"] = [item for item in finalizers_of(namespace) if item != FINALIZER]
        try:
            await self._client.update(NAMESPACES, freed, "finalize")
        except NotFound:
            return

    async def _empty(self, namespace: str, discovered: Discovered) -> Progress:
        progress = Progress(discovery_faults=list(discovered.failed))
        wanted = [
            item for item in discovered.preferred() if item.namespaced and {"list", "delete"} <= item.verbs
        ]
        # Pods first, and nothing else before the last is gone: they may need their secrets, policies and
        # services to the end. New ones are refused, whoever controls them.
        pods_may_be_left = False
        for item in sorted(wanted, key=lambda found: found.gvr != PODS):
            if item.gvr != PODS and pods_may_be_left:
                break
            try:
                await self._empty_resource(namespace, item, progress)
            except (NotFound, MethodNotAllowed):
                continue
            except StatusError as error:
                progress.deletion_faults.append(error.message)
            except TransportError as error:
                progress.deletion_faults.append(str(error))
            pods_may_be_left |= item.gvr == PODS and bool(progress.remaining or progress.deletion_faults)
        return progress

    async def _empty_resource(self, namespace: str, item: ServedResource, progress: Progress) -> None:
        found = (await self._client.list(item.gvr, namespace)).get("items") or []
        if not found:
            return
        if "deletecollection" in item.verbs:
            await self._client.delete_collection(item.gvr, namespace, propagation="Background")
        else:
            for obj in found:
                await self._delete(namespace, item, obj)
        left = (await self._client.list(item.gvr, namespace)).get("items") or []
        if not left:
            return
        # Core resources keep the dot before their empty group, as upstream prints them.
        progress.remaining[f"{item.gvr.resource}.{item.gvr.group}"] = len(left)
        for obj in left:
            for finalizer in obj["metadata"].get("finalizers") or ():
                progress.finalizers[finalizer] = progress.finalizers.get(finalizer, 0) + 1
            if item.gvr == PODS:
                grace = (obj.get("spec") or {}).get("terminationGracePeriodSeconds") or 0
                progress.estimate_s = max(progress.estimate_s, min(grace, 30))

    async def _delete(self, namespace: str, item: ServedResource, obj: Object) -> None:
        meta = obj["metadata"]
        try:
            await self._client.delete(
                item.gvr, meta["name"], namespace, propagation="Background", uid=meta["uid"]
            )
        except (NotFound, Conflict):
            return
