"""Keeps one pod of each DaemonSet on every node that should have it. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES
from tiphys.controllers.context import Context
from tiphys.controllers.daemonset.placement import pin
from tiphys.controllers.daemonset.plan import Plan, plan
from tiphys.controllers.history import HASH_LABEL, apply_history, hash_of, plan_history, pod_hash
from tiphys.controllers.owned import BY_CONTROLLER, index_owned, slow_start
from tiphys.controllers.podtemplate import pod_from_template
from tiphys.controllers.workload import WorkloadController


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
        self._nodes.add_handler(self._node_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return  # a heartbeat
        for owner in self._owners.list():
            self.queue.add(object_key(owner))

    async def look(self, key: str, owner: Object) -> float | None:
        pods = await self._claim(owner)
        revisions = self._revisions.by_index(BY_CONTROLLER, owner["metadata"]["uid"])
        used = {pod_hash(pod) for pod in pods}
        live = [item["metadata"]["name"] for item in revisions if hash_of(item) in used]
        revision = await apply_history(self._client, plan_history(owner, revisions, live=live))
        planned = plan(owner, self._nodes.list(), pods, hash_of(revision), self._clock.now())
        await self._write_status(key, owner, planned.status)
        await self._apply(key, owner, planned, hash_of(revision))
        return planned.recheck_s

    async def _apply(self, key: str, owner: Object, planned: Plan, digest: str) -> None:
        for pod in planned.failed:
            node = pod["spec"].get("nodeName", "")
            message = f"Found failed daemon pod {object_key(pod)} on node {node}, will try to kill it"
            self._recorder.record(owner, "Warning", "FailedDaemonPod", message)
        await asyncio.gather(*(self._delete_child(key, owner, pod) for pod in planned.delete))

        async def create(index: int) -> None:
            await self._create_child(key, owner, build_pod(owner, planned.create[index], digest))

        await slow_start(len(planned.create), create)


def build_pod(owner: Object, node: str, digest: str) -> Object:
    """Build the pod for a node, of the revision that ``digest`` names. Pure."""
    pod = pod_from_template(owner["spec"]["template"], owner)
    pod["metadata"]["labels"][HASH_LABEL] = digest
    pod["spec"] = pin(pod["spec"], node)
    return pod


def _placing(node: Object) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable")
