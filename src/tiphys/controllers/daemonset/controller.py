"""Keeps one pod of each DaemonSet on every node that should have it. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.daemonset.patience import Patience
from tiphys.controllers.daemonset.placement import pin, target_node
from tiphys.controllers.daemonset.plan import Plan, plan
from tiphys.controllers.history import (
    HASH_LABEL,
    Collision,
    apply_history,
    claim_revisions,
    hash_of,
    plan_history,
    pod_hash,
)
from tiphys.controllers.owned import index_owned, slow_start
from tiphys.controllers.podtemplate import pod_from_template
from tiphys.controllers.workload import WorkloadController

_GENERATION = "deprecated.daemonset.template.generation"
_GENERATION_LABEL = "pod-template-generation"


class DaemonSetController(WorkloadController):
    """A key is a DaemonSet's. Every change of a node's labels, taints or existence concerns all of them."""

    gvr = DAEMON_SETS
    kind = "DaemonSet"
    name = "daemonset-controller"
    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._nodes = self._follow(NODES)
        self._revisions = self._follow(CONTROLLER_REVISIONS)
        index_owned(self._revisions)
        self._patience = Patience()
        self._nodes.add_handler(self._node_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return  # a heartbeat
        for owner in self._owners.list():
            self.queue.add(object_key(owner))

    async def look(self, key: str, owner: Object) -> float | None:
        pods = await self._claim(owner)
        selector = self._selector(owner)
        revisions = await claim_revisions(self._client, self._revisions, self.gvr, owner, selector)
        used = {pod_hash(pod) for pod in pods}
        live = [item["metadata"]["name"] for item in revisions if hash_of(item) in used]
        history = plan_history(owner, revisions, live=live)
        try:
            revision = await apply_history(self._client, history)
        except Collision:
            await self._collide(key, owner)
            return None
        if history.duplicates:
            # What the pods bear must not name a revision that goes.
            pods = await self._relabel(key, pods, hash_of(revision))
            for item in history.duplicates:
                await self._forget_revision(item)
        waits = self._patience.waits(key, owner, self._clock.monotonic())
        planned = plan(owner, self._nodes.list(), pods, hash_of(revision), self._clock.now(), waits=waits)
        await self._write_status(key, owner, planned.status)
        await self._apply(key, owner, planned, hash_of(revision))
        return planned.recheck_s

    async def _gone(self, key: str) -> None:
        await super()._gone(key)
        self._patience.forget(key)

    async def _relabel(self, key: str, pods: list[Object], digest: str) -> list[Object]:
        told: list[Object] = []
        for pod in pods:
            stored, meta = pod, pod["metadata"]
            if pod_hash(pod) != digest:
                patch = {"metadata": {"uid": meta["uid"], "labels": {HASH_LABEL: digest}}}
                stored = await self._client.patch(PODS, meta["name"], meta["namespace"], patch)
                self._writes.wrote(key, stored)
            told.append(stored)
        return told

    async def _forget_revision(self, revision: Object) -> None:
        meta = revision["metadata"]
        try:
            await self._client.delete(CONTROLLER_REVISIONS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return

    async def _apply(self, key: str, owner: Object, planned: Plan, digest: str) -> None:
        for pod in planned.failed:
            node = pod["spec"].get("nodeName", "")
            message = f"Found failed daemon pod {object_key(pod)} on node {node}, will try to kill it"
            self._recorder.record(owner, "Warning", "FailedDaemonPod", message)
            self._patience.note(key, owner, target_node(pod), self._clock.monotonic())
        for pod in planned.succeeded:
            node = pod["spec"].get("nodeName", "")
            message = f"Found succeeded daemon pod {object_key(pod)} on node {node}, will try to delete it"
            self._recorder.record(owner, "Normal", "SucceededDaemonPod", message)
        await asyncio.gather(*(self._delete_child(key, owner, pod) for pod in planned.delete))

        async def create(index: int) -> bool:
            pod = build_pod(owner, planned.create[index], digest)
            return await self._create_child(key, owner, pod) is not None

        await slow_start(len(planned.create), create)


def build_pod(owner: Object, node: str, digest: str) -> Object:
    """Build the pod for a node, of the revision that ``digest`` names. Pure."""
    pod = pod_from_template(owner["spec"]["template"], owner)
    labels = pod["metadata"]["labels"]
    generation = atoi((owner["metadata"].get("annotations") or {}).get(_GENERATION, ""))
    if generation is not None:
        labels[_GENERATION_LABEL] = str(generation)
    labels[HASH_LABEL] = digest
    pod["spec"] = pin(pod["spec"], node)
    return pod


def _placing(node: Object) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable")
