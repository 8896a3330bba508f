"""Whether a Job has failed or succeeded, and why. Pure. Source: batch/v1 Job conditions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions
from tiphys.controllers.job import failures, retries, success
from tiphys.controllers.job.count import Count

Verdict = tuple[str, str, str]
"""Complete or Failed, reason, message."""


def judge(job: Object, pods: Sequence[Object], count: Count, now: datetime) -> Verdict | None:
    """Return the outcome; None while the job is to go on."""
    return (
        _written(job)
        or _failure(job, pods, count, now)
        or _failed_indexes(job, count)
        or _by_policy(job, count)
        or _success(job, count)
    )


def _written(job: Object) -> Verdict | None:
    """The verdict already written, while its pods are still being cleared away."""
    found = (job.get("status") or {}).get("conditions") or []
    for target, type_ in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        condition = conditions.find(found, target)
        if condition is not None and condition["status"] == "True":
            return type_, condition.get("reason") or "", condition.get("message") or ""
    return None


def _failure(job: Object, pods: Sequence[Object], count: Count, now: datetime) -> Verdict | None:
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


def _failed_indexes(job: Object, count: Count) -> Verdict | None:
    if not retries.per_index(job):
        return None
    most, failed = job["spec"].get("maxFailedIndexes"), len(count.failed_indexes)
    if most is not None and failed > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return "Failed", "MaxFailedIndexesExceeded", text
    if failed and failed + len(count.done_indexes) >= job["spec"].get("completions", 0):
        return "Failed", "FailedIndexes", "Job has failed indexes"
    return None


def _by_policy(job: Object, count: Count) -> Verdict | None:
    rule = success.matched_rule(job, count.done_indexes)
    return None if rule is None else ("Complete", "SuccessPolicy", f"Matched rules at index {rule}")


def _success(job: Object, count: Count) -> Verdict | None:
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: the first success ends it, once the others have come to an end.
        enough = count.succeeded > 0 and not count.active
    else:
        enough = count.succeeded >= completions
    if not enough:
        return None
    return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
