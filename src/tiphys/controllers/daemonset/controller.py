"""Keeps one pod of each DaemonSet on every node that should have it. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object, controller_of, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.daemonset.placement import pin
from tiphys.controllers.daemonset.plan import Plan, plan
from tiphys.controllers.history import HASH_LABEL, apply_history, hash_of, plan_history, pod_hash
from tiphys.controllers.owned import (
    BY_CONTROLLER,
    Writes,
    apply_claims,
    candidates,
    index_owned,
    plan_claims,
    slow_start,
)
from tiphys.controllers.podtemplate import pod_from_template


class DaemonSetController:
    """A key is a DaemonSet's. Every change of a node's labels, taints or existence concerns all of them."""

    name = "daemonset-controller"
    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._sets = context.informers.get(DAEMON_SETS)
        self._pods = context.informers.get(PODS)
        self._nodes = context.informers.get(NODES)
        self._revisions = context.informers.get(CONTROLLER_REVISIONS)
        index_owned(self._pods)
        index_owned(self._revisions)
        self._writes = Writes(self._pods, context.clock)
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        for informer in (self._sets, self._pods, self._nodes, self._revisions):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            ref = controller_of(pod) if pod else None
            if pod and ref and ref.get("kind") == "DaemonSet":
                self.queue.add(f"{pod['metadata']['namespace']}/{ref['name']}")

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return  # a heartbeat
        for owner in self._sets.list():
            self.queue.add(object_key(owner))

    async def reconcile(self, key: str) -> float | None:
        owner = self._sets.get(key)
        if owner is None:
            self._writes.forget(key)
            return None
        if not self._writes.settled(key):
            return None
        claims = plan_claims(
            owner, from_label_selector(owner["spec"].get("selector")), candidates(self._pods, owner)
        )
        pods = await apply_claims(self._client, PODS, DAEMON_SETS, owner, claims)
        revisions = self._revisions.by_index(BY_CONTROLLER, owner["metadata"]["uid"])
        used = {pod_hash(pod) for pod in pods}
        live = [item["metadata"]["name"] for item in revisions if hash_of(item) in used]
        revision = await apply_history(self._client, plan_history(owner, revisions, live=live))
        planned = plan(owner, self._nodes.list(), pods, hash_of(revision), self._clock.now())
        await self._write_status(owner, planned)
        await self._apply(key, owner, planned, hash_of(revision))
        return planned.recheck_s

    async def _write_status(self, owner: Object, planned: Plan) -> None:
        if planned.status != (owner.get("status") or {}):
            await self._client.update(DAEMON_SETS, {**owner, "status": planned.status}, "status")

    async def _apply(self, key: str, owner: Object, planned: Plan, digest: str) -> None:
        for pod in planned.failed:
            node = pod["spec"].get("nodeName", "")
            message = f"Found failed daemon pod {object_key(pod)} on node {node}, will try to kill it"
            self._recorder.record(owner, "Warning", "FailedDaemonPod", message)
        await asyncio.gather(*(self._delete(key, owner, pod) for pod in planned.delete))
        await slow_start(len(planned.create), lambda i: self._create(key, owner, planned.create[i], digest))

    async def _create(self, key: str, owner: Object, node: str, digest: str) -> None:
        pod = pod_from_template(owner["spec"]["template"], owner)
        pod["metadata"]["labels"][HASH_LABEL] = digest
        pod["spec"] = pin(pod["spec"], node)
        try:
            stored = await self._client.create(PODS, pod)
        except StatusError as error:
            self._recorder.record(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._writes.wrote(key, stored)
        self._recorder.record(
            owner, "Normal", "SuccessfulCreate", f"Created pod: {stored['metadata']['name']}"
        )

    async def _delete(self, key: str, owner: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        self._writes.deleted(key, pod)
        self._recorder.record(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")


def _placing(node: Object) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable")
