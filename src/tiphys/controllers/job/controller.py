"""Runs Jobs: makes pods, counts each finished one exactly once, and writes the outcome.

A pod bears a finalizer until it is counted: its uid is written into the status, then the finalizer goes, then
the count grows and the uid goes, so that no pod is lost or counted twice whatever dies in between.
"""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, controller_of
from tiphys.client.kinds import JOBS, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.job import indexes, retries, tally
from tiphys.controllers.job.backoff import Backoff
from tiphys.controllers.job.count import TRACKING, tracked
from tiphys.controllers.job.plan import Plan, finished, plan
from tiphys.controllers.metrics import JOBS_ELSEWHERE
from tiphys.controllers.owned import slow_start
from tiphys.controllers.podtemplate import pod_from_template
from tiphys.controllers.workload import WorkloadController

_LONGEST_PREFIX = 58
"""Of a generated name: what is longer is cut by the API server, and the index would be lost."""
_MANAGER = "kubernetes.io/job-controller"
_BY_JOB = "job"
"""Pods that bear our finalizer, by the job they belong to."""


class JobController(WorkloadController):
    """A key is a Job's."""

    gvr = JOBS
    kind = "Job"
    name = "job-controller"
    account = "job-controller"
    finalizer = TRACKING

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._backoffs: dict[str, Backoff] = {}
        self._owned.add_index(_BY_JOB, _job_of)
        self._owned.add_handler(tally.pod_changed)

    def _child_changed(self, old: Object | None, new: Object | None) -> None:
        super()._child_changed(old, new)
        if new is not None and tracked(new) and controller_of(new) is None:
            self.queue.add(_nobodys(new))

    def _owner_changed(self, old: Object | None, new: Object | None) -> None:
        super()._owner_changed(old, new)
        manager = _MANAGER if new is None else new["spec"].get("managedBy", _MANAGER)
        if old is None and manager != _MANAGER:
            JOBS_ELSEWHERE.labels(manager).inc()

    async def _settled(self, key: str, owner: Object) -> bool:
        settled = await super()._settled(key, owner)
        if not settled and _is_ours(owner):
            tally.looked(owner, tally.RECONCILING, 0.0, good=True)
        return settled

    async def look(self, key: str, owner: Object) -> float | None:
        if owner["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return None
        began, action, good = self._clock.monotonic(), tally.TRACKING, False
        try:
            pods = await self._claim(owner)
            planned = plan(owner, pods, self._clock.now(), self._backoffs.get(key, Backoff()))
            action = tally.action_of(planned)
            await self._apply(key, owner, planned)
            good = True
        finally:
            if _is_ours(owner):
                tally.looked(owner, action, self._clock.monotonic() - began, good=good)
        return planned.recheck_s

    async def _gone(self, key: str) -> None:
        """Take the finalizer from the pods of a job that is gone, or of none: nobody counts them any more."""
        await super()._gone(key)
        self._backoffs.pop(key, None)
        for pod in self._owned.by_index(_BY_JOB, key):
            if controller_of(pod) is not None or not self._selecting.of(pod):  # else it is adopted
                await self._release(key, pod)

    async def _apply(self, key: str, job: Object, planned: Plan) -> None:
        try:
            await self._create(key, job, planned)
        except StatusError:
            await self._write(key, job, planned)
            raise
        await self._write(key, job, planned)

    async def _create(self, key: str, job: Object, planned: Plan) -> None:
        """Create pods; the status counts as active those that came to be."""

        async def create(number: int) -> bool:
            index = planned.create[number]
            replaced = planned.replaces.get(index) if index is not None else None
            good = False
            try:
                good = await self._create_child(key, job, build_pod(job, index, replaced)) is not None
            finally:
                tally.created(job, good=good)
            if good:
                planned.status["active"] = planned.status.get("active", 0) + 1
            return good

        await slow_start(len(planned.create), create)

    async def _write(self, key: str, job: Object, planned: Plan) -> None:
        if planned.status != (job.get("status") or {}):
            await self._write_status(key, job, planned.status)
            tally.failed_by_rule(job, planned)
            tally.written(job, planned.status)
            for event in planned.events:
                self._recorder.record(job, *event)
        self._backoffs[key] = planned.backoff
        await asyncio.gather(*(self._release(key, pod) for pod in planned.release))
        await asyncio.gather(*(self._delete_child(key, job, pod) for pod in planned.delete))
        await asyncio.gather(*(self._discard(key, job, pod) for pod in planned.discard))

    async def _release(self, key: str, pod: Object) -> None:
        if not tracked(pod):
            return
        meta = pod["metadata"]
        left = [item for item in meta["finalizers"] if item != TRACKING]
        patch = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": left}
        }
        try:
            stored = await self._client.patch(PODS, meta["name"], meta["namespace"], patch)
        except (NotFound, Conflict):
            return  # gone, or changed meanwhile: that change's event brings the job back here
        self._writes.wrote(key, stored)

    async def _discard(self, key: str, job: Object, pod: Object) -> None:
        await self._release(key, pod)
        await self._delete_child(key, job, pod)


def _job_of(pod: Object) -> list[str]:
    ref = controller_of(pod)
    if not tracked(pod) or (ref is not None and ref["kind"] != "Job"):
        return []
    return [_nobodys(pod) if ref is None else f"{pod['metadata']['namespace']}/{ref['name']}"]


def _nobodys(pod: Object) -> str:
    """Return the key of no job: that of pods which were orphaned before they were counted."""
    return f"{pod['metadata']['namespace']}/"


def _is_ours(job: Object) -> bool:
    """True for a job that is this controller's, and not at its end."""
    ended = finished((job.get("status") or {}).get("conditions")) is not None
    return not ended and job["spec"].get("managedBy", _MANAGER) == _MANAGER


def build_pod(job: Object, index: int | None, replaced: Object | None = None) -> Object:
    """Build a pod of a job, for one completion index (after a failed one) if it has them. Pure."""
    pod = pod_from_template(job["spec"]["template"], job)
    meta = pod["metadata"]
    meta["finalizers"] = [*meta.get("finalizers", ()), TRACKING]
    if index is None:
        return pod
    suffix = f"-{index}-"
    meta["generateName"] = f"{job['metadata']['name'][: _LONGEST_PREFIX - len(suffix)]}{suffix}"
    meta.setdefault("annotations", {})[indexes.ANNOTATION] = str(index)
    if retries.per_index(job):
        meta["annotations"] |= retries.next_counts(job, replaced)
    meta["labels"][indexes.ANNOTATION] = str(index)
    pod["spec"]["hostname"] = f"{job['metadata']['name']}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{indexes.ANNOTATION}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}
    for group in ("initContainers", "containers"):
        for container in pod["spec"].get(group) or ():
            names = {item["name"] for item in container.get("env") or ()}
            if variable["name"] not in names:
                container["env"] = [*(container.get("env") or ()), variable]
    return pod
