"""Starts Jobs on schedule. Decisions are in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import CRON_JOBS, JOBS
from tiphys.controllers.cronjob.plan import SCHEDULED_AT, Plan, plan
from tiphys.controllers.metrics import CRONJOB_SKEW
from tiphys.controllers.owned import BY_CONTROLLER
from tiphys.controllers.workload import WorkloadController


class CronJobController(WorkloadController):
    """A key is a CronJob's. Jobs are never adopted."""

    gvr = CRON_JOBS
    kind = "CronJob"
    children = JOBS
    noun = "job"
    name = "cronjob-controller"
    account = "cronjob-controller"

    def _child_changed(self, old: Object | None, new: Object | None) -> None:
        for job in (old, new):
            self._add_owner_of(job)

    async def look(self, key: str, owner: Object) -> float | None:
        jobs = self._owned.by_index(BY_CONTROLLER, owner["metadata"]["uid"])
        planned = plan(owner, jobs, self._clock.now())
        for event in planned.events:
            self._recorder.record(owner, *event)
        await self._apply(key, owner, planned)
        return planned.recheck_s

    async def _apply(self, key: str, cron: Object, planned: Plan) -> None:
        for job in planned.delete:
            await self._delete_child(key, cron, job)
        if planned.create is not None:
            # One that is there was made before a run's status was written: the name says for which time.
            _count_skew(await self._create_child(key, cron, planned.create, may_exist=True))
        await self._write_status(key, cron, planned.status)

    # -- words of events

    def _create_failed(self, owner: Object, wanted: Object, error: StatusError) -> str:
        return f"Error creating job: {error.message}"

    def _created(self, owner: Object, child: Object) -> str:
        return f"Created job {child['metadata']['name']}"

    def _deleted(self, owner: Object, child: Object) -> str:
        return f"Deleted job {child['metadata']['name']}"


def _count_skew(job: Object | None) -> None:
    """Count how late a job was made."""
    meta = job["metadata"] if job is not None else {}
    scheduled = (meta.get("annotations") or {}).get(SCHEDULED_AT)
    if scheduled and meta.get("creationTimestamp"):
        late = parse_time(meta["creationTimestamp"]) - parse_time(scheduled)
        CRONJOB_SKEW.labels().observe(max(late.total_seconds(), 0.0))
