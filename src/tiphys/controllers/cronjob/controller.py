"""Starts Jobs on schedule. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.meta import Object, controller_of, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CRON_JOBS, JOBS
from tiphys.controllers.context import Context
from tiphys.controllers.cronjob.plan import Plan, plan
from tiphys.controllers.owned import BY_CONTROLLER, Writes, index_owned


class CronJobController:
    """A key is a CronJob's."""

    name = "cronjob-controller"
    account = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._crons = context.informers.get(CRON_JOBS)
        self._jobs = context.informers.get(JOBS)
        index_owned(self._jobs)
        self._writes = Writes(self._jobs, context.clock)
        self._cron_writes = Writes(self._crons, context.clock)
        self._crons.add_handler(self._cron_changed)
        self._jobs.add_handler(self._job_changed)

    async def run(self) -> None:
        await self._crons.wait_synced()
        await self._jobs.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _cron_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        for job in (old, new):
            ref = controller_of(job) if job else None
            if job and ref and ref.get("kind") == "CronJob":
                self.queue.add(f"{job['metadata']['namespace']}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        cron = self._crons.get(key)
        if cron is None:
            self._writes.forget(key)
            self._cron_writes.forget(key)
            return None
        if not (self._writes.settled(key) and self._cron_writes.settled(key)):
            return None
        jobs = self._jobs.by_index(BY_CONTROLLER, cron["metadata"]["uid"])
        planned = plan(cron, jobs, self._clock.now())
        for event in planned.events:
            self._recorder.record(cron, *event)
        await self._apply(key, cron, planned)
        return planned.recheck_s

    async def _apply(self, key: str, cron: Object, planned: Plan) -> None:
        for job in planned.delete:
            await self._delete(key, cron, job)
        if planned.create is not None:
            await self._create(key, cron, planned.create)
        if planned.status != (cron.get("status") or {}):
            stored = await self._client.update(CRON_JOBS, {**cron, "status": planned.status}, "status")
            self._cron_writes.wrote(key, stored)

    async def _create(self, key: str, cron: Object, job: Object) -> None:
        try:
            stored = await self._client.create(JOBS, job)
        except AlreadyExists:
            return
        except StatusError as error:
            self._recorder.record(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._writes.wrote(key, stored)
        self._recorder.record(cron, "Normal", "SuccessfulCreate", f"Created job {job['metadata']['name']}")

    async def _delete(self, key: str, cron: Object, job: Object) -> None:
        meta = job["metadata"]
        try:
            await self._client.delete(
                JOBS, meta["name"], meta["namespace"], propagation="Background", uid=meta["uid"]
            )
        except NotFound:
            return
        self._writes.deleted(key, job)
        self._recorder.record(cron, "Normal", "SuccessfulDelete", f"Deleted job {meta['name']}")
