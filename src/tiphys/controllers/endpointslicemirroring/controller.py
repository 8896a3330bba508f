"""Mirrors Endpoints that people write into EndpointSlices, which proxies read. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from tiphys.controllers.context import Context
from tiphys.controllers.endpointslice import tally
from tiphys.controllers.endpointslice.apply import apply_plan
from tiphys.controllers.endpointslice.plan import MANAGED_BY, SERVICE_NAME
from tiphys.controllers.endpointslicemirroring.plan import MIRROR, is_mirrored, plan, skipped, skipped_event
from tiphys.controllers.metrics import (
    MIRROR_ADDED,
    MIRROR_CHANGES,
    MIRROR_FILL,
    MIRROR_REMOVED,
    MIRROR_SECONDS,
    MIRROR_SKIPPED,
    MIRROR_UPDATED,
)
from tiphys.controllers.owned import Writes

_BY_ENDPOINTS = "mirrored"
_MOVES = (MIRROR_ADDED, MIRROR_UPDATED, MIRROR_REMOVED)


class EndpointSliceMirroringController:
    """A key is that of Endpoints and of the Service of the same name."""

    name = "endpoint-slice-mirroring-controller"
    account = "endpointslicemirroring-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._services = context.informers.get(SERVICES)
        self._endpoints = context.informers.get(ENDPOINTS)
        self._slices = context.informers.get(ENDPOINT_SLICES)
        self._slices.add_index(_BY_ENDPOINTS, _mirrored)
        self._clock, self._fill = context.clock, tally.Fill(MIRROR_FILL)
        self._writes = Writes(self._slices, context.clock)
        self._recorder = context.recorder(self.name)
        self._services.add_handler(self._changed)
        self._endpoints.add_handler(self._changed)
        self._slices.add_handler(self._slice_changed)

    async def run(self) -> None:
        for informer in (self._services, self._endpoints, self._slices):
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for item in (old, new):
            for key in _mirrored(item) if item else ():
                self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        if not self._writes.settled(key):
            return None
        mirrored = self._slices.by_index(_BY_ENDPOINTS, key)
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        planned = plan(endpoints, service, mirrored)
        if endpoints is None or not is_mirrored(endpoints, service):
            self._fill.forget(key)
        else:
            self._count(key, endpoints, tally.after(planned, mirrored), mirrored)
            event = skipped_event(endpoints)
            if event is not None:
                self._recorder.record(endpoints, *event)
        began = self._clock.monotonic()
        try:
            await apply_plan(self._client, self._writes, key, planned)
        finally:
            MIRROR_SECONDS.labels().observe(self._clock.monotonic() - began)
        tally.changed(MIRROR_CHANGES, planned)
        return None

    def _count(self, key: str, endpoints: Object, after: list[Object], before: list[Object]) -> None:
        """Count what is about to be done for an Endpoints object."""
        MIRROR_SKIPPED.labels().observe(skipped(endpoints))
        for family, count in zip(_MOVES, tally.moves(before, after), strict=True):
            family.labels().observe(count)
        self._fill.note(key, after)


def _mirrored(item: Object) -> list[str]:
    labels = item["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MIRROR or not labels.get(SERVICE_NAME):
        return []
    return [f"{item['metadata']['namespace']}/{labels[SERVICE_NAME]}"]
