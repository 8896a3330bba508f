"""Deletes what lost its owners, over every resource the server has.

One shared informer per resource feeds the graph; an owner that the graph does not know is looked up live
before anything is deleted for the want of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from enum import Enum
from typing import Any

from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.controller import run_controller
from tiphys.client.informer import Handler
from tiphys.client.transport import TransportError
from tiphys.controllers.context import Context
from tiphys.controllers.discovery import Discovered, Discovery, ServedResource
from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Node
from tiphys.controllers.garbagecollector.plan import Situation, decide, fate_of, strange_owner
from tiphys.controllers.metrics import GC_SYNC_ERRORS

log = logging.getLogger(__name__)

_DEFINITIONS = "customresourcedefinitions"
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_NEEDED = {"list", "watch", "delete"}
_ABSENT_REMEMBERED = 500
_UNKNOWN_KIND_AGAIN_S = 30.0


_Coordinates = tuple[str, str, str, str, str]
"""Of an owner: uid, version, kind, namespace, name. References may be wrong in any of them."""


class _Presence(Enum):
    """What is known of an owner."""

    THERE = 1
    ABSENT = 2
    UNKNOWN = 3
    """Nobody serves its kind just now."""
    UNFIT = 4
    """It cannot own the object, wherever it is: the object is left alone for good."""


class GarbageCollector:
    """A key is an object's uid."""

    name = "garbage-collector-controller"
    account = "generic-garbage-collector"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._informers = context.informers
        self._resync_s = context.options.gc_resync_s
        self._workers = context.options.workers_of(self.name)
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self.graph = Graph()
        self._discovery = Discovery(context.client)
        self._discovered: Discovered | None = None
        self._served: dict[GVR, ServedResource] = {}
        self._handlers: dict[GVR, Handler] = {}
        self._by_kind: dict[tuple[str, str], ServedResource] = {}
        self._absent: OrderedDict[_Coordinates, None] = OrderedDict()
        self._definitions_changed = asyncio.Event()
        """Custom resources come and go with their definitions: look again at once."""

    async def run(self) -> None:
        await self._first_refresh()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_fresh())
            await self._first_lists()
            group.create_task(
                run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)
            )

    async def _first_lists(self) -> None:
        """Wait for what there is: before it is known there is much to look for live, and less to wait for.

        One kind that cannot be listed (nobody converts it, or its server is away) does not hold up the rest.
        """
        informers = {gvr: self._informers.get(gvr) for gvr in self._handlers}
        try:
            async with asyncio.timeout(self._resync_s):
                for informer in informers.values():
                    await informer.wait_synced()
        except TimeoutError:
            missing = [gvr.group_resource for gvr, informer in informers.items() if not informer.synced]
            log.warning("begins without all resources missing=%s", ",".join(missing))

    async def _first_refresh(self) -> None:
        while True:
            if await self._try_refresh():
                return
            await asyncio.sleep(1.0)

    async def _keep_fresh(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._resync_s):
                    await self._definitions_changed.wait()
            except TimeoutError:
                pass
            self._definitions_changed.clear()
            await self._try_refresh()

    async def _try_refresh(self) -> bool:
        try:
            await self.refresh()
        except (StatusError, TransportError) as error:
            GC_SYNC_ERRORS.labels().inc()
            log.warning("discovery failed error=%s", error)
            return False
        return True

    async def refresh(self) -> None:
        """Begin to watch new resources and leave those that are no longer served."""
        discovered = await self._discovery.look()
        if discovered is self._discovered:
            return
        self._by_kind = {(item.gvk.api_version, item.kind): item for item in discovered.resources}
        wanted = {
            item.gvr: item
            for item in discovered.preferred()
            if item.verbs >= _NEEDED and (item.gvr.group, item.gvr.resource) not in _IGNORED
        }
        for gvr in [gvr for gvr in self._handlers if gvr not in wanted]:
            if any(failed.startswith(gvr.api_version) for failed in discovered.failed):
                continue  # its server is away: not the same as gone
            self._informers.get(gvr).remove_handler(self._handlers.pop(gvr))
            self._informers.remove(gvr)
            for uid in self.graph.uids_of(gvr):
                self._look(self.graph.remove(uid))
        self._served = wanted
        for gvr in [gvr for gvr in wanted if gvr not in self._handlers]:
            self._handlers[gvr] = self._handler_for(gvr)
            self._informers.get(gvr).add_handler(self._handlers[gvr])
        self._discovered = discovered

    def _handler_for(self, gvr: GVR) -> Handler:
        def handle(old: Object | None, new: Object | None) -> None:
            if gvr.resource == _DEFINITIONS:
                self._definitions_changed.set()
            if new is not None:
                kind = self._served[gvr].kind
                self._absent.pop(_coordinates(gvr, kind, new), None)
                self._look(self.graph.put(gvr, kind, new))
            elif old is not None:
                self._forget(gvr, old)

        return handle

    def _forget(self, gvr: GVR, obj: Object) -> None:
        """Take note of a deletion: nobody need look for this owner, nor could, once its kind has gone too."""
        uid = obj["metadata"]["uid"]
        if gvr in self._served and self.graph.dependents(uid):
            self._note_absent(_coordinates(gvr, self._served[gvr].kind, obj))
        self._look(self.graph.remove(uid))

    def _note_absent(self, owner: _Coordinates) -> None:
        self._absent[owner] = None
        while len(self._absent) > _ABSENT_REMEMBERED:
            self._absent.popitem(last=False)

    def _look(self, uids: set[str]) -> None:
        for uid in sorted(uids):
            self.queue.add(uid)

    async def reconcile(self, key: str) -> float | None:
        node = self.graph.get(key)
        if node is None:
            return None
        live = await self._live(node.gvr, node.namespace, node.name)
        if live is None or live["metadata"]["uid"] != node.uid:
            self._look(self.graph.remove(node.uid))
            return None
        if live["metadata"].get("deletionTimestamp"):
            await self._help_deletion(node, live)
            return None
        situation, presence = await self._situation(node, live)
        if presence is _Presence.UNKNOWN:
            return _UNKNOWN_KIND_AGAIN_S
        if presence is not _Presence.UNFIT:
            await self._apply(node, situation)
        return None

    async def _help_deletion(self, node: Node, live: Object) -> None:
        finalizers = live["metadata"].get("finalizers") or ()
        if ORPHAN in finalizers:
            await self._orphan_all(node)
            await self._remove_finalizer(node, live, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = [item for item in self.graph.dependents(node.uid) if item.blocks(node.uid)]
            if not blocking:
                await self._remove_finalizer(node, live, FOREGROUND)
            self._look({item.uid for item in blocking if not item.deleting})

    async def _orphan_all(self, node: Node) -> None:
        """Free all dependents. One that cannot be written does not hold up the others."""
        failed: StatusError | None = None
        for dependent in self.graph.dependents(node.uid):
            try:
                await self._drop_owner(dependent, node.uid)
            except StatusError as error:
                failed = error
        if failed is not None:
            raise failed

    async def _situation(self, node: Node, live: Object) -> tuple[Situation, _Presence]:
        situation = Situation(
            live,
            has_dependents=bool(self.graph.dependents(node.uid)),
            in_circle=any(item.deleting_dependents for item in self.graph.dependents(node.uid)),
        )
        for ref in live["metadata"].get("ownerReferences") or ():
            present = await self._is_present(ref, node)
            if present in (_Presence.UNKNOWN, _Presence.UNFIT):
                return situation, present
            there = present is _Presence.THERE
            situation.fates[ref["uid"]] = fate_of(ref, present=there, waiting=self._is_waiting)
        return situation, _Presence.THERE

    def _is_waiting(self, uid: str) -> bool:
        owner = self.graph.get(uid)
        return owner is not None and owner.deleting_dependents

    async def _is_present(self, ref: dict[str, Any], node: Node) -> _Presence:
        """Tell whether an owner exists: with that uid, and where and what the reference says that it is."""
        uid = ref["uid"]
        owner = self.graph.get(uid)
        if owner is not None and owner.is_meant_by(ref, node.namespace):
            return _Presence.THERE
        names = (uid, ref["apiVersion"], ref["kind"])
        if any((*names, namespace, ref["name"]) in self._absent for namespace in ("", node.namespace)):
            return _Presence.ABSENT
        served = self._by_kind.get((ref["apiVersion"], ref["kind"]))
        unfit = served is not None and served.namespaced and not node.namespace
        if unfit or (owner is not None and owner.namespace not in ("", node.namespace)):
            self._tell_of_strange_owner(ref, node)
        if served is None:
            return _Presence.UNKNOWN
        if unfit:
            return _Presence.UNFIT
        namespace = node.namespace if served.namespaced else ""
        found = await self._live(served.gvr, namespace, ref["name"])
        if found is not None and found["metadata"]["uid"] == uid:
            return _Presence.THERE
        self._note_absent((*names, namespace, ref["name"]))
        return _Presence.ABSENT

    def _tell_of_strange_owner(self, ref: dict[str, Any], node: Node) -> None:
        """Warn of a reference out of the object's namespace: it will be taken to be missing."""
        child: Object = {
            "apiVersion": node.gvr.api_version,
            "kind": self._served[node.gvr].kind if node.gvr in self._served else "",
            "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid},
        }
        self._recorder.record(
            child, "Warning", "OwnerRefInvalidNamespace", strange_owner(ref, node.namespace)
        )

    async def _apply(self, node: Node, situation: Situation) -> None:
        decision = decide(situation)
        meta = situation.obj["metadata"]
        if decision.owners is not None:
            await self._patch(node, {"ownerReferences": decision.owners, **_preconditions(meta)})
        if decision.unblock:
            refs = [{**ref, "blockOwnerDeletion": False} for ref in meta["ownerReferences"]]
            changed = await self._patch(node, {"ownerReferences": refs, **_preconditions(meta)})
            if changed is None:
                return
            meta = changed["metadata"]
        if decision.propagation:
            log.info("deleting ownerless object=%s/%s/%s", node.gvr.resource, node.namespace, node.name)
            await self._delete(node, meta, decision.propagation)

    async def _delete(self, node: Node, meta: Object, propagation: str) -> None:
        """Delete an object as it was judged: one that has got an owner meanwhile stays."""
        uid, version = node.uid, meta["resourceVersion"]
        try:
            await self._client.delete(
                node.gvr,
                node.name,
                node.namespace,
                propagation=propagation,
                uid=uid,
                resource_version=version,
            )
        except NotFound:
            return
        except Conflict:
            now = await self._live(node.gvr, node.namespace, node.name)
            if now is None or now["metadata"]["uid"] != uid:
                return
            if now["metadata"].get("ownerReferences") != meta.get("ownerReferences"):
                raise
            await self._client.delete(node.gvr, node.name, node.namespace, propagation=propagation, uid=uid)

    async def _drop_owner(self, dependent: Node, owner_uid: str) -> None:
        live = await self._live(dependent.gvr, dependent.namespace, dependent.name)
        if live is None or live["metadata"]["uid"] != dependent.uid:
            return
        refs = live["metadata"].get("ownerReferences") or []
        left = [ref for ref in refs if ref["uid"] != owner_uid]
        if left != refs:
            await self._patch(dependent, {"ownerReferences": left, **_preconditions(live["metadata"])})

    async def _remove_finalizer(self, node: Node, live: Object, finalizer: str) -> None:
        left = [item for item in live["metadata"].get("finalizers") or () if item != finalizer]
        await self._patch(node, {"finalizers": left, **_preconditions(live["metadata"])})

    async def _patch(self, node: Node, metadata: Object) -> Object | None:
        try:
            return await self._client.patch(node.gvr, node.name, node.namespace, {"metadata": metadata})
        except NotFound:
            return None

    async def _live(self, gvr: GVR, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(gvr, name, namespace)
        except NotFound:
            return None


def _preconditions(meta: Object) -> Object:
    return {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}


def _coordinates(gvr: GVR, kind: str, obj: Object) -> _Coordinates:
    meta = obj["metadata"]
    return meta["uid"], gvr.api_version, kind, meta.get("namespace") or "", meta["name"]
