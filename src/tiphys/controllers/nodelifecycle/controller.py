"""Watches nodes' heartbeats, marks the silent ones and taints them; ``tainteviction`` sees to their pods."""

from __future__ import annotations

from functools import partial

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import LEASES, NODES, PODS
from tiphys.controllers import conditions, podstate
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import NODE_HEALTH_SECONDS
from tiphys.controllers.nodelifecycle.plan import (
    Health,
    lasting_labels,
    not_ready_status,
    observe,
    plan_taints,
    sign_of_life,
    silent_conditions,
)
from tiphys.controllers.nodelifecycle.tally import ZoneTally, tainted
from tiphys.controllers.nodelifecycle.zones import Zones

LEASE_NAMESPACE = "kube-node-lease"
BY_NODE = "node"


class NodeLifecycleController:
    """A key is a node's. Every node is looked at on changes and once in a monitor period."""

    name = "node-lifecycle-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._options = context.options
        self._recorder = context.recorder("node-controller")
        self.queue = context.queue(self.name)
        self._nodes = context.informers.get(NODES)
        self._pods = context.informers.get(PODS)
        self._leases = context.informers.get(LEASES, namespace=LEASE_NAMESPACE)
        self._pods.add_index(BY_NODE, podstate.node_of)
        self._health: dict[str, Health] = {}
        self._zones = Zones(self._options.eviction_rates, self._options.node_monitor_period_s)
        self._shown = ZoneTally()
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        for informer in (self._nodes, self._pods, self._leases):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._options.workers, name=self.name)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._health.pop(old["metadata"]["name"], None)
            self._zones.remove(old["metadata"]["name"])
            self._shown.show(self._zones.sizes())
            self._tell(old, "RemovingNode", "Removing Node {name} from Controller")
        elif new is not None:
            self._zones.put(new, self._clock.monotonic())
            self._shown.show(self._zones.sizes())
            if old is None:
                self._tell(new, "RegisteredNode", "Registered Node {name} in Controller")
            self.queue.add(new["metadata"]["name"])

    def _tell(self, node: Object, reason: str, text: str) -> None:
        name = node["metadata"]["name"]
        self._recorder.record(node, "Normal", reason, f"Node {name} event: {text.format(name=name)}")

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None:
            return None
        now_s = self._clock.monotonic()
        sign = sign_of_life(node, self._leases.get(f"{LEASE_NAMESPACE}/{key}"))
        health = self._health[key] = observe(self._health.get(key), sign, now_s)
        grace_s = self._options.node_monitor_grace_s
        if not any(sign.split("|")):
            grace_s = max(grace_s, self._options.node_startup_grace_s)
        if now_s - health.seen_at >= grace_s:
            node = await self._mark_silent(node)
        try:
            node = await self._mark(node)
        except Conflict:
            # Others write nodes too: their event brings it back here.
            return self._options.node_monitor_period_s
        NODE_HEALTH_SECONDS.labels().observe(self._clock.monotonic() - now_s)
        if not _is_ready(node):
            await self._mark_pods(key)
        return self._options.node_monitor_period_s

    async def _mark(self, node: Object) -> Object:
        """Write the taints and labels that a node should have. Raises Conflict."""
        taints = plan_taints(
            node,
            self._clock.now(),
            may_evict=partial(self._zones.may_give_up, node, self._clock.monotonic()),
            spare=self._zones.all_down,
        )
        if taints is not None:
            changed = await self._client.update(NODES, _with_taints(node, taints))
            tainted(node, taints)
            node = changed
        labels = lasting_labels(node)
        if labels is None:
            return node
        return await self._client.update(NODES, {**node, "metadata": {**node["metadata"], "labels": labels}})

    async def _mark_silent(self, node: Object) -> Object:
        found = silent_conditions(node, self._clock.now())
        if found is None:
            return node
        name = node["metadata"]["name"]
        if _is_ready(node):
            text = f"Node {name} status is now: NodeNotReady"
            self._recorder.record(node, "Normal", "NodeNotReady", text)
        status = {**(node.get("status") or {}), "conditions": found}
        return await self._client.update(NODES, {**node, "status": status}, "status")

    async def _mark_pods(self, name: str) -> None:
        """Take the silent node's pods out of service: no endpoint may point there."""
        for pod in self._pods.by_index(BY_NODE, name):
            status = not_ready_status(pod, self._clock.now())
            if status is None:
                continue
            try:
                await self._client.update(PODS, {**pod, "status": status}, "status")
            except (NotFound, Conflict):
                continue  # its next event, or the next period, decides
            self._recorder.record(pod, "Warning", "NodeNotReady", "Node is not ready")


def _with_taints(node: Object, taints: list[Object]) -> Object:
    spec = {**(node.get("spec") or {}), "taints": taints}
    if not taints:
        del spec["taints"]
    return {**node, "spec": spec}


def _is_ready(node: Object) -> bool:
    found = conditions.find((node.get("status") or {}).get("conditions") or [], "Ready")
    return found is None or found.get("status") == "True"
