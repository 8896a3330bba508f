"""Deletes Jobs whose ``ttlSecondsAfterFinished`` has run out."""

from __future__ import annotations

from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import JOBS
from tiphys.controllers.context import Context
from tiphys.controllers.job.plan import finished
from tiphys.controllers.metrics import JOB_DELETION_SECONDS


def left_s(job: Object, now: datetime) -> float | None:
    """Seconds until a job must go; None for never. Pure."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    found = finished((job.get("status") or {}).get("conditions"))
    if ttl_s is None or found is None or job["metadata"].get("deletionTimestamp"):
        return None
    return (parse_time(found["lastTransitionTime"]) + timedelta(seconds=ttl_s) - now).total_seconds()


class TtlAfterFinishedController:
    """A key is a Job's."""

    name = "ttl-after-finished-controller"
    account = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._jobs = context.informers.get(JOBS)
        self._jobs.add_handler(self._changed)

    async def run(self) -> None:
        await self._jobs.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("ttlSecondsAfterFinished") is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        job = self._jobs.get(key)
        wait_s = left_s(job, self._clock.now()) if job else None
        if job is None or wait_s is None:
            return None
        if wait_s > 0:
            return wait_s
        meta = job["metadata"]
        try:
            await self._client.delete(
                JOBS,
                meta["name"],
                meta["namespace"],
                propagation="Foreground",
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
            )
        except NotFound:
            return None
        JOB_DELETION_SECONDS.labels().observe(-wait_s)
        return None
