"""One step of a Job: pods to make, pods to stop, what has finished, and the status. Pure.

Counting is in ``count``, the outcome in ``verdict``; what is here acts on them. Source: batch/v1 Job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions, podstate
from tiphys.controllers.job import indexes, retries
from tiphys.controllers.job.backoff import Backoff, advance, left_s
from tiphys.controllers.job.count import (
    Count,
    count_pods,
    is_indexed,
    only_replaces_failed,
    tracked,
)
from tiphys.controllers.job.verdict import Verdict, judge
from tiphys.controllers.removal import rank_for_deletion

_BURST = 500
_TOO_MANY = "Too many succeeded pods running after completion count reached"


@dataclass(slots=True)
class Plan:
    """``create``: completion indexes, None for a plain pod. ``release``: pods to take the finalizer from.

    ``delete`` pods still count when they end, ``discard`` pods are deleted without counting for anything.
    """

    status: Object = field(default_factory=dict)
    create: list[int | None] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    discard: list[Object] = field(default_factory=list)
    replaces: dict[int, Object] = field(default_factory=dict)
    """The failed pod that the new one of an index comes after."""
    release: list[Object] = field(default_factory=list)
    recheck_s: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """Told when the status is written."""
    backoff: Backoff = field(default_factory=Backoff)
    """What to remember of failures once the plan is carried out."""


def plan(job: Object, pods: Sequence[Object], now: datetime, backoff: Backoff = Backoff()) -> Plan:  # noqa: B008
    """Plan; ``backoff`` is what the last plan said to remember."""
    status = job.get("status") or {}
    if finished(status.get("conditions")) is not None:
        return Plan(status=dict(status), release=[pod for pod in pods if tracked(pod)])
    count = count_pods(job, pods)
    record = advance(backoff, count.new_succeeded, count.new_failed, now)
    result = Plan(release=count.fresh, replaces=count.held, backoff=record)
    verdict = judge(job, pods, count, now)
    if verdict is not None:
        _finish(result, job, count, now, verdict)
    elif podstate.is_deleting(job):
        result.status = _status(job, count, now, count.active)
    else:
        _go_on(result, job, count, now)
    if podstate.is_deleting(job):
        result.release = [pod for pod in pods if tracked(pod)]
    return result


def _go_on(result: Plan, job: Object, count: Count, now: datetime) -> None:
    """Make or stop pods, as the job is to run or to be suspended."""
    if job["spec"].get("suspend"):
        result.discard = count.active
    else:
        _plan_pods(result, job, count, now, left_s(result.backoff, now))
    result.status = _status(job, count, now, _staying(result, count))
    _plan_suspension(result, job, now)
    deadline_s = job["spec"].get("activeDeadlineSeconds")
    start = result.status.get("startTime")
    if deadline_s is not None and start and not job["spec"].get("suspend"):
        left = parse_time(start) + timedelta(seconds=deadline_s) - now
        result.recheck_s = podstate.earliest([result.recheck_s, left.total_seconds()])


def finished(found: Sequence[Object] | None) -> Object | None:
    """Return the Complete or Failed condition, if true."""
    for condition in found or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return condition
    return None


def _plan_pods(result: Plan, job: Object, count: Count, now: datetime, backoff_s: float) -> None:
    parallelism = job["spec"].get("parallelism", 1)
    completions = job["spec"].get("completions")
    if completions is None:
        wanted = len(count.active) if count.succeeded else parallelism
    else:
        closed = count.succeeded + len(count.failed_indexes)
        wanted = min(parallelism, completions - closed)
    surplus = len(count.active) - max(wanted, 0)
    result.discard = _superfluous(job, count.active, surplus)[:_BURST]
    if result.discard:
        return
    missing = min(-surplus - (count.terminating if only_replaces_failed(job) else 0), _BURST)
    if missing <= 0:
        return
    if is_indexed(job) and (backoff_s <= 0 or retries.per_index(job)):
        _plan_indexes(result, job, count, now, missing)
    elif backoff_s > 0:
        result.recheck_s = backoff_s
    else:
        result.create = [None] * missing


def _superfluous(job: Object, active: list[Object], least: int) -> list[Object]:
    """Return pods to take away: those whose index is wrong or taken, and others until ``least`` are found."""
    wrong: list[Object] = []
    kept = active
    if is_indexed(job):
        kept = []
        by_index: dict[int | None, list[Object]] = {}
        for pod in active:
            by_index.setdefault(indexes.of(pod), []).append(pod)
        for index, pods in by_index.items():
            known = index is not None and index < (job["spec"].get("completions") or 0)
            ranked = rank_for_deletion(pods, costs=False)
            wrong += ranked[:-1] if known else pods
            kept += ranked[-1:] if known else []
    more = max(least - len(wrong), 0)
    return wrong + (rank_for_deletion(kept, costs=False)[:more] if more else [])


def _plan_indexes(result: Plan, job: Object, count: Count, now: datetime, missing: int) -> None:
    taken = count.done_indexes | count.failed_indexes
    taken |= {index for pod in count.active if (index := indexes.of(pod)) is not None}
    for index in range(job["spec"].get("completions") or 0):
        if len(result.create) == missing:
            return
        wait_s = retries.wait_s(count.held.get(index), now)
        if index in taken:
            continue
        if wait_s > 0:
            result.recheck_s = podstate.earliest([result.recheck_s, wait_s])
        else:
            result.create.append(index)


def _staying(result: Plan, count: Count) -> list[Object]:
    """Return the active pods that are not about to be deleted."""
    going = {id(pod) for pod in (*result.delete, *result.discard)}
    return [pod for pod in count.active if id(pod) not in going]


def _finish(result: Plan, job: Object, count: Count, now: datetime, verdict: Verdict) -> None:
    """Write the verdict at once; the final condition only when every pod is stopped and counted."""
    type_, reason, message = verdict
    result.delete = count.active
    result.release = [*count.fresh, *count.held.values()]
    status = _status(job, count, now, count.active)
    types = ["FailureTarget" if type_ == "Failed" else "SuccessCriteriaMet"]
    if count.settled:
        types.append(type_)
        if type_ == "Complete":
            status["completionTime"] = rfc3339(now)
            if (status.get("succeeded") or 0) > (job["spec"].get("completions") or 2**31):
                result.events.append(("Warning", "TooManySucceededPods", _TOO_MANY))
            result.events.append(("Normal", "Completed", "Job completed"))
        else:
            result.events.append(("Warning", reason, message))
    for name in types:
        stamped = {**conditions.make(name, "True", reason, message, now), "lastProbeTime": rfc3339(now)}
        status["conditions"] = conditions.put(status.get("conditions") or [], stamped)
    result.status = status


def _status(job: Object, count: Count, now: datetime, active: Sequence[Object]) -> Object:
    before = job.get("status") or {}
    ready = sum(podstate.is_ready(pod) for pod in active)
    result: Object = {
        "active": len(active),
        "succeeded": len(count.done_indexes) if count.indexed else count.counted_succeeded,
        "failed": count.counted_failed,
        "completedIndexes": indexes.render(count.done_indexes) if is_indexed(job) else "",
    }
    result = {key: value for key, value in result.items() if value}
    result["ready"] = ready
    if retries.per_index(job):
        result["failedIndexes"] = indexes.render(count.failed_indexes)
    result["terminating"] = count.terminating
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
        result.events.append(("Normal", "Suspended", "Job suspended"))
        result.status.pop("startTime", None)
    elif noted and not job["spec"].get("suspend"):
        told = ("False", "JobResumed", "Job resumed")
        result.events.append(("Normal", "Resumed", "Job resumed"))
        result.status["startTime"] = rfc3339(now)
    else:
        return
    condition = {**conditions.make("Suspended", *told, now), "lastProbeTime": rfc3339(now)}
    result.status["conditions"] = conditions.put(result.status.get("conditions") or [], condition)
