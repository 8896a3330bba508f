"""Gives every node its podCIDRs, once and for all. A range is free again when its node is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.counting import Counts
from tiphys.client.kinds import NODES
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import (
    HELD,
    RANGES_ALLOCATED,
    RANGES_IN_ALL,
    RANGES_RELEASED,
    RANGES_TRIED,
    RANGES_USED,
)
from tiphys.controllers.nodeipam.plan import Ledger, pools


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
        services = [one.strip() for one in options.service_cidr.split(",") if one.strip()]
        self._ledger = Ledger(self._pools, services)
        self._cidrs = [one.strip() for one in options.cluster_cidr.split(",") if one.strip()]
        HELD.add(self)
        self.queue = context.queue(self.name)
        self._nodes = context.informers.get(NODES)
        self._nodes.add_handler(self._changed)

    async def run(self) -> None:
        await self._nodes.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._ledger.release(old["metadata"]["name"])
            if ranges_of(old):
                self._count(RANGES_RELEASED)
        elif new is not None:
            if ranges_of(new):  # what was just written may not show yet
                self._ledger.hold(new["metadata"]["name"], ranges_of(new))
            self.queue.add(new["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None or not self._pools or ranges_of(node):
            return None
        chosen = self._ledger.held(key) or self._allot(key)
        if chosen is None:
            self._recorder.record(
                node, "Normal", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable"
            )
            return 30.0
        patch = {
            "metadata": {"uid": node["metadata"]["uid"]},
            "spec": {"podCIDR": chosen[0], "podCIDRs": chosen},
        }
        try:
            await self._client.patch(NODES, key, "", patch)
        except StatusError as error:
            if error.target_gone:
                raise  # it is another node by now
            text = f"Node {key} status is now: CIDRAssignmentFailed"
            self._recorder.record(node, "Normal", "CIDRAssignmentFailed", text)
            raise
        self._count(RANGES_ALLOCATED)
        return None

    def _allot(self, key: str) -> list[str] | None:
        chosen = self._ledger.allot(key)
        if chosen is not None:
            for cidr, tries in zip(self._cidrs, self._ledger.tries, strict=True):
                RANGES_TRIED.labels(cidr).observe(tries)
        return chosen

    def collect(self) -> Iterator[Metric]:
        """Bring what is shown of ranges in use up to date, when somebody scrapes."""
        for cidr, (used, in_all) in zip(self._cidrs, self._ledger.usage(), strict=True):
            RANGES_USED.labels(cidr).set(used / in_all)
            RANGES_IN_ALL.labels(cidr).set(in_all)
        return iter(())

    def _count(self, family: Counts) -> None:
        for cidr in self._cidrs:
            family.labels(cidr).inc()


def ranges_of(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
