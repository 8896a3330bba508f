"""Runs Jobs: makes pods, counts each finished one exactly once, and writes the outcome.

A pod bears a finalizer until it is counted: its uid is written into the status, then the finalizer goes, then
the count grows and the uid goes, so that no pod is lost or counted twice whatever dies in between.
"""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import Conflict, Forbidden, NotFound, StatusError
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object, controller_of, object_key, split_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import JOBS, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.job import indexes, retries
from tiphys.controllers.job.count import TRACKING, tracked
from tiphys.controllers.job.plan import Plan, failed_count, plan
from tiphys.controllers.owned import (
    Writes,
    apply_claims,
    candidates,
    index_owned,
    plan_claims,
    slow_start,
)
from tiphys.controllers.podtemplate import pod_from_template

_BACKOFF_BASE_S = 10.0
_BACKOFF_CAP_S = 600.0
_MANAGER = "kubernetes.io/job-controller"


class JobController:
    """A key is a Job's."""

    name = "job-controller"
    account = "job-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._jobs = context.informers.get(JOBS)
        self._pods = context.informers.get(PODS)
        index_owned(self._pods)
        self._writes = Writes(self._pods, context.clock)
        self._job_writes = Writes(self._jobs, context.clock)
        self._failed: dict[str, tuple[int, float]] = {}
        self._jobs.add_handler(self._job_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._jobs.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            ref = controller_of(pod) if pod else None
            if pod and ref and ref.get("kind") == "Job":
                self.queue.add(f"{pod['metadata']['namespace']}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        job = self._jobs.get(key)
        if job is None:
            await self._let_go(key)
            return None
        if job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return None
        if not (self._writes.settled(key) and self._job_writes.settled(key)):
            return None
        selector = from_label_selector(job["spec"].get("selector"))
        claims = plan_claims(job, selector, candidates(self._pods, job))
        pods = await apply_claims(self._client, PODS, JOBS, job, claims)
        planned = plan(job, pods, self._clock.now(), backoff_s=self._backoff(key, failed_count(job, pods)))
        await self._apply(key, job, planned)
        return planned.recheck_s

    async def _let_go(self, key: str) -> None:
        """Take the finalizer from the pods of a job that is gone: nobody counts them any more."""
        self._forget(key)
        namespace, name = split_key(key)
        for pod in self._pods.list(namespace):
            ref = controller_of(pod)
            if ref is not None and (ref["kind"], ref["name"]) == ("Job", name) and tracked(pod):
                await self._release(key, pod)

    def _forget(self, key: str) -> None:
        self._writes.forget(key)
        self._job_writes.forget(key)
        self._failed.pop(key, None)

    def _backoff(self, key: str, failed: int) -> float:
        """Seconds until pods may be made again: doubled for each failure, from ten seconds on."""
        seen, at = self._failed.get(key, (0, 0.0))
        now = self._clock.monotonic()
        if failed > seen:
            seen, at = self._failed[key] = (failed, now)
        if not failed:
            return 0.0
        wait_s = min(_BACKOFF_BASE_S * 2.0 ** min(failed - 1, 10), _BACKOFF_CAP_S)
        return max(at + wait_s - now, 0.0)

    async def _apply(self, key: str, job: Object, planned: Plan) -> None:
        failed: StatusError | None = None
        if planned.create:
            planned.status["active"] = planned.status.get("active", 0) + len(planned.create)
        if planned.status != (job.get("status") or {}):
            stored = await self._client.update(JOBS, {**job, "status": planned.status}, "status")
            self._job_writes.wrote(key, stored)
            if planned.event is not None:
                self._recorder.record(job, *planned.event)
        await asyncio.gather(*(self._release(key, pod) for pod in planned.release))
        await asyncio.gather(*(self._delete(key, job, pod) for pod in planned.delete))
        await asyncio.gather(*(self._discard(key, job, pod) for pod in planned.discard))
        try:
            await slow_start(len(planned.create), lambda i: self._create(key, job, planned, i))
        except StatusError as error:
            failed = error
        if failed is not None:
            raise failed

    async def _create(self, key: str, job: Object, planned: Plan, number: int) -> None:
        index = planned.create[number]
        pod = build_pod(job, index, planned.replaces.get(index) if index is not None else None)
        try:
            stored = await self._client.create(PODS, pod)
        except StatusError as error:
            if isinstance(error, Forbidden) and "because it is being terminated" in error.message:
                return
            self._recorder.record(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._writes.wrote(key, stored)
        self._recorder.record(job, "Normal", "SuccessfulCreate", f"Created pod: {stored['metadata']['name']}")

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
        await self._delete(key, job, pod)

    async def _delete(self, key: str, job: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        self._writes.deleted(key, pod)
        self._recorder.record(job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")


def build_pod(job: Object, index: int | None, replaced: Object | None = None) -> Object:
    """Build a pod of a job, for one completion index (after a failed one) if it has them. Pure."""
    pod = pod_from_template(job["spec"]["template"], job)
    meta = pod["metadata"]
    meta["finalizers"] = [*meta.get("finalizers", ()), TRACKING]
    if index is None:
        return pod
    meta["generateName"] = f"{job['metadata']['name']}-{index}-"
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
