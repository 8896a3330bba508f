"""Deletes the pods of a node that do not tolerate its NoExecute taints, at once or when their time is up."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NODES, PODS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.disruption_target import disrupt
from tiphys.controllers.metrics import TAINT_DELETION_SECONDS, TAINT_DELETIONS
from tiphys.controllers.tainteviction.plan import evict_at, undated

_BY_NODE = "node"
_NO_EXECUTE = "NoExecute"


class TaintEvictionController:
    """A key is a node's. It is looked at when its taints or its pods change, and when a pod's time is up."""

    name = "taint-eviction-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._options = context.options
        self._recorder = context.recorder("taint-eviction-controller")
        self._seen: dict[str, dict[str, datetime]] = {}
        """By node: since when taints are known that do not say when they were added."""
        self._waiting: dict[str, set[str]] = {}
        """By node: pods whose time is running."""
        self.queue = context.queue(self.name)
        self._nodes = context.informers.get(NODES)
        self._pods = context.informers.get(PODS)
        self._pods.add_index(_BY_NODE, podstate.node_of)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._nodes, self._pods):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._options.workers, name=self.name)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if _taints(old) != _taints(new):
            self.queue.add((new or old or {})["metadata"]["name"])

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod that comes to a tainted node must be judged."""
        if new is None or (old is not None and podstate.node_of(old) == podstate.node_of(new)):
            return
        for name in podstate.node_of(new):
            if _taints(self._nodes.get(name)):
                self.queue.add(name)

    async def reconcile(self, key: str) -> float | None:
        """Delete the pods whose time is up; return the seconds until the next one's is."""
        node = self._nodes.get(key)
        taints, now = _taints(node), self._clock.now()
        seen, waiting = self._seen.pop(key, {}), self._waiting.pop(key, set())
        if not taints:
            if node is not None:
                self._tell_spared(key, waiting)
            return None
        self._seen[key] = undated(taints, seen, now)
        times = {
            object_key(pod): at
            for pod in self._pods.by_index(_BY_NODE, key)
            if not podstate.is_deleting(pod)
            and (at := evict_at(pod, taints, now, self._seen[key])) is not None
        }
        due = [
            (pod, at) for name, at in times.items() if at <= now and (pod := self._pods.get(name)) is not None
        ]
        self._tell_spared(key, waiting - set(times))
        await asyncio.gather(*(self._delete(pod, at) for pod, at in due))
        later = {name: at for name, at in times.items() if at > now}
        self._waiting[key] = set(later)
        return min(((at - now).total_seconds() for at in later.values()), default=None)

    def _tell_spared(self, key: str, spared: set[str]) -> None:
        """Pods that were to go and may stay."""
        for name in spared:
            pod = self._pods.get(name)
            if pod is not None and not podstate.is_deleting(pod) and key in podstate.node_of(pod):
                text = f"Cancelling deletion of Pod {name}"
                self._recorder.record(pod, "Normal", "TaintManagerEviction", text)

    async def _delete(self, pod: Object, due_at: datetime) -> None:
        marking = f"Marking for deletion Pod {object_key(pod)}"
        self._recorder.record(pod, "Normal", "TaintManagerEviction", marking)
        text = "Taint manager: deleting due to NoExecute taint"
        if not await disrupt(self._client, pod, "DeletionByTaintManager", text, self._clock.now()):
            return
        TAINT_DELETIONS.labels().inc()
        TAINT_DELETION_SECONDS.labels().observe((self._clock.now() - due_at).total_seconds())


def _taints(node: Object | None) -> list[Object]:
    found = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in found if taint.get("effect") == _NO_EXECUTE]
