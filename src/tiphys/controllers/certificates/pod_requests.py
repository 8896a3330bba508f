"""Clears away requests for pods' certificates: whoever waits for an answer has had it, or has asked anew.

Source: KEP-4317, "Pod Certificates".
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import POD_CERTIFICATE_REQUESTS
from tiphys.controllers.context import Context

log = logging.getLogger(__name__)

_KEPT: Final = timedelta(minutes=15)


def left_s(request: Object, now: datetime) -> float:
    """Return the seconds until a request is too old, whatever became of it. Pure."""
    return (parse_time(request["metadata"]["creationTimestamp"]) + _KEPT - now).total_seconds()


class PodCertificateCleaner:
    """A key is a request's."""

    name = "podcertificaterequest-cleaner-controller"
    account = "podcertificaterequestcleaner"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._requests = context.informers.get(POD_CERTIFICATE_REQUESTS)
        self._requests.add_handler(self._changed)

    async def run(self) -> None:
        await self._requests.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and old is None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        request = self._requests.get(key)
        if request is None:
            return None
        left = left_s(request, self._clock.now())
        if left > 0:
            return left
        meta = request["metadata"]
        try:
            await self._client.delete(
                POD_CERTIFICATE_REQUESTS, meta["name"], meta["namespace"], uid=meta["uid"]
            )
        except NotFound:
            return None
        log.info("old request removed request=%s", key)
        return None
