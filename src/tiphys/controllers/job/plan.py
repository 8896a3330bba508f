"""One step of a Job: pods to make, pods to stop, what has finished, and the status. Pure.

Covers NonIndexed and Indexed completion, backoffLimit, activeDeadlineSeconds, suspend, pod failure policy
and success by count. Source: batch/v1 Job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions, podstate
from tiphys.controllers.job import failures, indexes

TRACKING = "batch.kubernetes.io/job-tracking"
_BURST = 500


@dataclass(slots=True)
class Plan:
    """``create``: completion indexes, None for a plain pod. ``release``: pods to take the finalizer from."""

    status: Object = field(default_factory=dict)
    create: list[int | None] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)
    recheck_s: float | None = None
    event: tuple[str, str, str] | None = None


@dataclass(slots=True)
class _Count:
    """Finished pods. ``counted_*`` are for good; ``ledger`` names those whose finalizer is still to go."""

    counted_succeeded: int
    counted_failed: int
    ledger: dict[str, list[str]]
    active: list[Object] = field(default_factory=list)
    fresh: list[Object] = field(default_factory=list)
    done_indexes: set[int] = field(default_factory=set)
    indexed: bool = False

    @property
    def succeeded(self) -> int:
        if self.indexed:
            return len(self.done_indexes)
        return self.counted_succeeded + len(self.ledger["succeeded"])

    @property
    def failed(self) -> int:
        return self.counted_failed + len(self.ledger["failed"])

    @property
    def settled(self) -> bool:
        return not self.active and not self.fresh and not any(self.ledger.values())


_Verdict = tuple[str, str, str]
"""Complete or Failed, reason, message."""


def plan(job: Object, pods: Sequence[Object], now: datetime, *, backoff_s: float = 0.0) -> Plan:
    """Plan; ``backoff_s`` is how long new pods must still wait after the last failure."""
    status = job.get("status") or {}
    if finished(status.get("conditions")) is not None or podstate.is_deleting(job):
        return Plan(status=dict(status), release=[pod for pod in pods if tracked(pod)])
    count = _count(job, pods)
    result = Plan(release=count.fresh)
    verdict = _target(job) or _failure(job, pods, count, now) or _success(job, count)
    if verdict is not None:
        _finish(result, job, count, now, verdict)
        return result
    if job["spec"].get("suspend"):
        result.delete = count.active
    else:
        _plan_pods(result, job, count, backoff_s)
    result.status = _status(job, count, now, active=_active_after(result, count))
    _plan_suspension(result, job, now)
    deadline_s = job["spec"].get("activeDeadlineSeconds")
    start = result.status.get("startTime")
    if deadline_s is not None and start and not job["spec"].get("suspend"):
        left = parse_time(start) + timedelta(seconds=deadline_s) - now
        result.recheck_s = podstate.earliest([result.recheck_s, left.total_seconds()])
    return result


def failed_count(job: Object, pods: Sequence[Object]) -> int:
    """Failures so far, those not yet in the status included."""
    return _count(job, pods).failed


def finished(found: Sequence[Object] | None) -> Object | None:
    """Return the Complete or Failed condition, if true."""
    for condition in found or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return condition
    return None


def tracked(pod: Object) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _count(job: Object, pods: Sequence[Object]) -> _Count:
    status = job.get("status") or {}
    bearing = {pod["metadata"]["uid"] for pod in pods if tracked(pod)}
    before = status.get("uncountedTerminatedPods") or {}
    ledger = {
        kind: [uid for uid in before.get(kind) or () if uid in bearing] for kind in ("succeeded", "failed")
    }
    # Whose finalizer is gone is counted now, for good.
    settled = {kind: len(before.get(kind) or ()) - len(ledger[kind]) for kind in ledger}
    count = _Count(
        (status.get("succeeded") or 0) + settled["succeeded"],
        (status.get("failed") or 0) + settled["failed"],
        ledger,
        done_indexes=indexes.parse(status.get("completedIndexes") or ""),
        indexed=is_indexed(job),
    )
    known = {uid for uids in ledger.values() for uid in uids}
    succeeding = conditions.find(status.get("conditions") or [], "SuccessCriteriaMet") is not None
    for pod in pods:
        if podstate.is_active(pod):
            count.active.append(pod)
        elif tracked(pod):
            count.fresh.append(pod)
            if pod["metadata"]["uid"] not in known:
                _note(job, pod, count, stopped_by_us=succeeding)
    return count


def _note(job: Object, pod: Object, count: _Count, *, stopped_by_us: bool) -> None:
    """Enter a finished pod into the ledger."""
    phase, uid = podstate.phase(pod), pod["metadata"]["uid"]
    if phase == "Succeeded":
        index = indexes.of(pod)
        if count.indexed and (index is None or index >= job["spec"].get("completions", 0)):
            return
        if count.indexed and index is not None:
            count.done_indexes.add(index)
        count.ledger["succeeded"].append(uid)
    elif (phase == "Failed" or not stopped_by_us) and not failures.is_ignored(job, pod):
        count.ledger["failed"].append(uid)


def _target(job: Object) -> _Verdict | None:
    """The verdict already written, while its pods are still being cleared away."""
    found = (job.get("status") or {}).get("conditions") or []
    for target, type_ in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        condition = conditions.find(found, target)
        if condition is not None and condition["status"] == "True":
            return type_, condition["reason"], condition["message"]
    return None


def _failure(job: Object, pods: Sequence[Object], count: _Count, now: datetime) -> _Verdict | None:
    spec = job["spec"]
    by_policy = failures.policy_verdict(job, pods)
    if by_policy is not None:
        return ("Failed", *by_policy)
    limit = spec.get("backoffLimit", 6)
    restarts = _restarts(job, count.active)
    if count.failed > limit or (restarts and count.failed + restarts >= max(limit, 1)):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline_s, start = spec.get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if deadline_s is None or not start or spec.get("suspend"):
        return None
    if now >= parse_time(start) + timedelta(seconds=deadline_s):
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _restarts(job: Object, active: Sequence[Object]) -> int:
    """Restarts count as failures when the kubelet restarts containers in place."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return 0
    total = 0
    for pod in active:
        status = pod.get("status") or {}
        for group in ("initContainerStatuses", "containerStatuses"):
            total += sum(item.get("restartCount") or 0 for item in status.get(group) or ())
    return total


def _success(job: Object, count: _Count) -> _Verdict | None:
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: the first success ends it, once the others have come to an end.
        enough = count.succeeded > 0 and not count.active
    else:
        enough = count.succeeded >= completions
    if not enough:
        return None
    return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"


def _plan_pods(result: Plan, job: Object, count: _Count, backoff_s: float) -> None:
    parallelism = job["spec"].get("parallelism", 1)
    completions = job["spec"].get("completions")
    if completions is None:
        wanted = len(count.active) if count.succeeded else parallelism
    else:
        wanted = min(parallelism, completions - count.succeeded)
    surplus = len(count.active) - wanted
    if surplus > 0:
        ranked = sorted(
            count.active, key=lambda pod: (podstate.is_ready(pod), podstate.phase(pod) == "Running")
        )
        result.delete = ranked[:surplus]
        return
    if surplus == 0:
        return
    if backoff_s > 0:
        result.recheck_s = backoff_s
        return
    missing = min(-surplus, _BURST)
    if is_indexed(job):
        taken = count.done_indexes | {index for pod in count.active if (index := indexes.of(pod)) is not None}
        free = (index for index in range(completions or 0) if index not in taken)
        result.create = [index for _, index in zip(range(missing), free, strict=False)]
    else:
        result.create = [None] * missing


def _active_after(result: Plan, count: _Count) -> int:
    return len(count.active) - len(result.delete)


def _finish(result: Plan, job: Object, count: _Count, now: datetime, verdict: _Verdict) -> None:
    """Write the verdict at once; the final condition only when every pod is stopped and counted."""
    type_, reason, message = verdict
    result.delete = count.active
    status = _status(job, count, now, active=len(count.active))
    types = ["FailureTarget" if type_ == "Failed" else "SuccessCriteriaMet"]
    if count.settled:
        types.append(type_)
        if type_ == "Complete":
            status["completionTime"] = rfc3339(now)
            result.event = ("Normal", "Completed", "Job completed")
        else:
            result.event = ("Warning", reason, message)
    for name in types:
        stamped = {**conditions.make(name, "True", reason, message, now), "lastProbeTime": rfc3339(now)}
        status["conditions"] = conditions.put(status.get("conditions") or [], stamped)
    result.status = status


def _status(job: Object, count: _Count, now: datetime, *, active: int) -> Object:
    before = job.get("status") or {}
    ready = sum(podstate.is_ready(pod) for pod in count.active) if active else 0
    result: Object = {
        "active": active,
        "succeeded": len(count.done_indexes) if count.indexed else count.counted_succeeded,
        "failed": count.counted_failed,
        "completedIndexes": indexes.render(count.done_indexes) if is_indexed(job) else "",
    }
    result = {key: value for key, value in result.items() if value}
    result["ready"] = ready
    result["terminating"] = sum(not podstate.is_terminal(pod) for pod in count.fresh)
    result["uncountedTerminatedPods"] = {kind: uids for kind, uids in count.ledger.items() if uids}
    if before.get("conditions"):
        result["conditions"] = list(before["conditions"])
    start = before.get("startTime") or (None if job["spec"].get("suspend") else rfc3339(now))
    if start:
        result["startTime"] = start
    return result


def _plan_suspension(result: Plan, job: Object, now: datetime) -> None:
    found = conditions.find(result.status.get("conditions") or [], "Suspended")
    noted = found is not None and found.get("status") == "True"
    if job["spec"].get("suspend") and not noted:
        told = ("True", "JobSuspended", "Job suspended")
        result.event = ("Normal", "Suspended", "Job suspended")
        result.status.pop("startTime", None)
    elif noted and not job["spec"].get("suspend"):
        told = ("False", "JobResumed", "Job resumed")
        result.event = ("Normal", "Resumed", "Job resumed")
        result.status["startTime"] = rfc3339(now)
    else:
        return
    condition = {**conditions.make("Suspended", *told, now), "lastProbeTime": rfc3339(now)}
    result.status["conditions"] = conditions.put(result.status.get("conditions") or [], condition)
