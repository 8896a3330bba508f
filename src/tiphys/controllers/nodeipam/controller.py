"""Gives every node its podCIDRs, once and for all. A range is free again when its node is deleted."""

from __future__ import annotations

from prometheus_client import Counter

from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NODES
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import RANGES_ALLOCATED, RANGES_RELEASED
from tiphys.controllers.nodeipam.plan import allot, pools


class NodeIpamController:
    """A key is a node's. One worker: allotment must not race with itself."""

    name = "node-ipam-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        options = context.options
        self._client = context.client
        self._recorder = context.recorder("cidrAllocator")
        self._pools = pools(
            options.cluster_cidr, options.node_cidr_mask_size, options.node_cidr_mask_size_ipv6
        )
        self._cidrs = [one.strip() for one in options.cluster_cidr.split(",") if one.strip()]
        self.queue = context.queue(self.name)
        self._nodes = context.informers.get(NODES)
        self._allotted: dict[str, list[str]] = {}
        self._services = [one.strip() for one in options.service_cidr.split(",") if one.strip()]
        self._nodes.add_handler(self._changed)

    async def run(self) -> None:
        await self._nodes.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._allotted.pop(old["metadata"]["name"], None)
            if ranges_of(old):
                self._count(RANGES_RELEASED)
        elif new is not None:
            self.queue.add(new["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None or not self._pools or ranges_of(node):
            return None
        # What was just written may not show in the cache yet.
        taken = [text for other in self._nodes.list() for text in ranges_of(other)]
        taken += [text for name, ranges in self._allotted.items() if name != key for text in ranges]
        taken += self._services
        chosen = self._allotted.get(key) or allot(self._pools, taken)
        if chosen is None:
            self._recorder.record(
                node, "Normal", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable"
            )
            return 30.0
        self._allotted[key] = chosen
        patch = {
            "metadata": {"uid": node["metadata"]["uid"]},
            "spec": {"podCIDR": chosen[0], "podCIDRs": chosen},
        }
        await self._client.patch(NODES, key, "", patch)
        self._count(RANGES_ALLOCATED)
        return None

    def _count(self, family: Counter) -> None:
        for cidr in self._cidrs:
            family.labels(cidr).inc()


def ranges_of(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
