"""Keeps the legacy Endpoints objects that old clients read. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import Forbidden, NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import ENDPOINTS, PODS, SERVICES
from tiphys.controllers.context import Context
from tiphys.controllers.endpoints.plan import MANAGED_BY, MANAGER, plan
from tiphys.controllers.endpointslice.backends import has_endpoints
from tiphys.controllers.endpointslice.controller import enqueue_services
from tiphys.controllers.endpointslice.trigger import TriggerTimes
from tiphys.controllers.owned import Writes
from tiphys.controllers.selected import Selecting, index_labels, selected_by, service_selector


class EndpointsController:
    """A key is a Service's, and that of the Endpoints of the same name."""

    name = "endpoint-controller"
    account = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("endpoint-controller")
        self._workers = context.options.workers_of(self.name)
        self.queue = context.queue(self.name)
        self._services = context.informers.get(SERVICES)
        self._pods = context.informers.get(PODS)
        self._endpoints = context.informers.get(ENDPOINTS)
        index_labels(self._pods)
        self._selecting = Selecting(self._services, service_selector)
        self._writes = Writes(self._endpoints, context.clock)
        self._triggers = TriggerTimes()
        self._services.add_handler(self._changed)
        self._endpoints.add_handler(self._changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._services, self._pods, self._endpoints):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        enqueue_services(self.queue.add, self._selecting, old, new)

    async def reconcile(self, key: str) -> float | None:
        service, present = self._services.get(key), self._endpoints.get(key)
        if service is None:
            self._triggers.forget(key)
            self._writes.forget(key)
            await self._clean_up(present)
            return None
        if not has_endpoints(service):
            return None
        if not self._writes.settled(key):
            return None  # it would only meet a conflict; the write's own event brings the key back
        pods = selected_by(self._pods, service["metadata"]["namespace"], service_selector(service))
        desired = plan(service, pods, present, since=self._triggers.observe(service, pods))
        if desired is None:
            return None
        try:
            if present is None:
                stored = await self._client.create(ENDPOINTS, desired)
            else:
                stored = await self._client.update(ENDPOINTS, desired)
            self._writes.wrote(key, stored)
        except StatusError as error:
            made = present is None
            if made and isinstance(error, Forbidden) and "because it is being terminated" in error.message:
                return None
            reason = "FailedToCreateEndpoint" if made else "FailedToUpdateEndpoint"
            what = "create endpoint for service" if made else "update endpoint"
            self._recorder.record(desired, "Warning", reason, f"Failed to {what} {key}: {error.message}")
            raise
        return None

    async def _clean_up(self, present: Object | None) -> None:
        """Remove what we made for a service that is gone; endpoints that users made stay."""
        if present is None or (present["metadata"].get("labels") or {}).get(MANAGED_BY) != MANAGER:
            return
        meta = present["metadata"]
        try:
            await self._client.delete(ENDPOINTS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
