"""Marks ranges of cluster IPs as ready and keeps them while they are used. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import IP_ADDRESSES, SERVICE_CIDRS
from tiphys.controllers.context import Context
from tiphys.controllers.servicecidr.plan import Plan, containing, overlapping, plan


class ServiceCidrController:
    """A key is a range's name."""

    name = "service-cidr-controller"
    account = "service-cidrs-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._cidrs = context.informers.get(SERVICE_CIDRS)
        self._addresses = context.informers.get(IP_ADDRESSES)
        self._cidrs.add_handler(self._cidr_changed)
        self._addresses.add_handler(self._address_changed)

    async def run(self) -> None:
        await self._cidrs.wait_synced()
        await self._addresses.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _cidr_changed(self, old: Object | None, new: Object | None) -> None:
        """A range that comes or goes may decide about those that share addresses with it."""
        for item in filter(None, (old, new)):
            self.queue.add(item["metadata"]["name"])
            if old is None or new is None:
                for name in overlapping(item, self._cidrs.list()):
                    self.queue.add(name)

    def _address_changed(self, old: Object | None, new: Object | None) -> None:
        """Only ranges that are to go depend on addresses."""
        if old is not None and new is not None:
            return
        going = [cidr for cidr in self._cidrs.list() if cidr["metadata"].get("deletionTimestamp")]
        for item in filter(None, (old, new)):
            for name in containing(item, going):
                self.queue.add(name)

    async def reconcile(self, key: str) -> float | None:
        cidr = self._cidrs.get(key)
        if cidr is None:
            return None
        planned = plan(cidr, self._cidrs.list(), self._addresses.list(), self._clock.now())
        try:
            await self._apply(cidr, planned)
        except (Conflict, NotFound):
            return None  # a newer version comes by itself
        return planned.again_s

    async def _apply(self, cidr: Object, planned: Plan) -> None:
        if planned.finalizers is not None:
            meta = {**cidr["metadata"], "finalizers": planned.finalizers}
            cidr = await self._client.update(SERVICE_CIDRS, {**cidr, "metadata": meta})
        if planned.condition is not None:
            status = {"status": {"conditions": [planned.condition]}}
            await self._client.patch(
                SERVICE_CIDRS, cidr["metadata"]["name"], "", status, type="merge", subresource="status"
            )
