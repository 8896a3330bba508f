"""Counts what a look at a Job found and did: which sync it was, what ended, what was made anew.

Owns: the values of labels. The controller calls it around each look. Source: upstream's metrics of jobs.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.controllers import metrics, podstate
from tiphys.controllers.job import failures, indexes, retries
from tiphys.controllers.job.count import is_indexed, only_replaces_failed, tracked
from tiphys.controllers.job.plan import Plan, finished

RECONCILING: Final = "reconciling"
"""What was written for a job is not seen yet: it is not planned for."""
TRACKING: Final = "tracking"


def mode(job: Object) -> str:
    return "Indexed" if is_indexed(job) else "NonIndexed"


def action_of(planned: Plan) -> str:
    """Return what a look came to."""
    if planned.create:
        return "pods_created"
    return "pods_deleted" if planned.delete or planned.discard else TRACKING


def looked(job: Object, action: str, seconds: float, *, good: bool) -> None:
    """Count one look at a job that has not come to its end."""
    labels = (mode(job), "success" if good else "error", action)
    metrics.JOB_SYNCS.labels(*labels).inc()
    metrics.JOB_SYNC_SECONDS.labels(*labels).observe(seconds)


def written(job: Object, status: Object) -> None:
    """Count what a new status says that the old one did not."""
    before = job.get("status") or {}
    done = _grown(before, status, "succeeded")
    if is_indexed(job):
        done = max(_indexes(status, "completedIndexes") - _indexes(before, "completedIndexes"), 0)
        limit = "perIndex" if retries.per_index(job) else "global"
        metrics.JOB_INDEXES_FINISHED.labels("succeeded", limit).inc(done)
        lost = max(_indexes(status, "failedIndexes") - _indexes(before, "failedIndexes"), 0)
        metrics.JOB_INDEXES_FINISHED.labels("failed", limit).inc(lost)
    metrics.JOB_PODS_FINISHED.labels(mode(job), "succeeded").inc(done)
    metrics.JOB_PODS_FINISHED.labels(mode(job), "failed").inc(_grown(before, status, "failed"))
    end = finished(status.get("conditions"))
    if end is not None and finished(before.get("conditions")) is None:
        result = "succeeded" if end["type"] == "Complete" else "failed"
        metrics.JOBS_FINISHED.labels(mode(job), result, end.get("reason") or "").inc()


def _grown(before: Object, after: Object, key: str) -> int:
    return max((after.get(key) or 0) - (before.get(key) or 0), 0)


def _indexes(status: Object, key: str) -> int:
    return len(indexes.parse(status.get(key) or ""))


def failed_by_rule(job: Object, planned: Plan) -> None:
    """Count the failed pods that are entered or passed over now, by the action of the rule that matched."""
    ledger = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    known = {uid for uids in ledger.values() for uid in uids}
    found: Counter[str] = Counter()
    for pod in planned.release:
        if podstate.phase(pod) == "Failed" and pod["metadata"]["uid"] not in known:
            action = failures.matched_action(job, pod)
            if action:
                found[action] += 1
    for action, count in found.items():
        metrics.JOB_POLICY_FAILURES.labels(action).inc(count)


def creation_reason(job: Object) -> str:
    """Return why pods are made: for the first time, or after others."""
    status = job.get("status") or {}
    failed = status.get("failed") or 0
    if only_replaces_failed(job):
        return "recreate_failed" if failed else "new"
    return "recreate_terminating_or_failed" if failed or status.get("terminating") else "new"


def created(job: Object, *, good: bool) -> None:
    metrics.JOB_PODS_CREATED.labels(creation_reason(job), "succeeded" if good else "failed").inc()


def pod_changed(old: Object | None, new: Object | None) -> None:
    """Count ended pods that came to be tracked, or are tracked no more."""
    was, now = (pod is not None and podstate.is_terminal(pod) and tracked(pod) for pod in (old, new))
    if was != now:
        metrics.JOB_TRACKED_PODS.labels("add" if now else "delete").inc()
