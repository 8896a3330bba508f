"""Retries of each index of a Job by itself: how often it failed, when it may run again. Pure.

The count lives in annotations of the index's last pod, which therefore stays until the next one is made.
Source: batch/v1 backoffLimitPerIndex.
"""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object
from tiphys.controllers.job import backoff, failures

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def per_index(job: Object) -> bool:
    """True if every index has a limit of failures of its own."""
    return job["spec"].get("backoffLimitPerIndex") is not None


def is_index_failed(job: Object, pod: Object) -> bool:
    """True if this pod's failure was the last that its index may have."""
    action = failures.action_for(job, pod)
    if action == "FailIndex":
        return True
    return action != "Ignore" and _number(pod, FAILURES) >= int(job["spec"]["backoffLimitPerIndex"])


def failure_rank(pod: Object) -> int:
    """All failures of an index up to and with this pod, ignored ones too."""
    return _number(pod, FAILURES) + _number(pod, IGNORED) + 1


def next_counts(job: Object, replaced: Object | None) -> dict[str, str]:
    """Return the annotations of the pod that comes after ``replaced``."""
    if replaced is None:
        return {FAILURES: "0"}
    failed, ignored = _number(replaced, FAILURES), _number(replaced, IGNORED)
    if failures.is_ignored(job, replaced):
        ignored += 1
    else:
        failed += 1
    counts = {FAILURES: str(failed)}
    if ignored:
        counts[IGNORED] = str(ignored)
    return counts


def wait_s(replaced: Object | None, now: datetime) -> float:
    """Seconds until an index may run again: ten after the first failure, doubled for each more."""
    if replaced is None:
        return 0.0
    return backoff.wait_s(failure_rank(replaced), backoff.ended_at(replaced, now), now)


def _number(pod: Object, annotation: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    return atoi(text) or 0
