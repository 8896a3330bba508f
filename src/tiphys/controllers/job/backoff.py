"""When a Job may make pods again: ten seconds after a failure, doubled for each more since the last success.

Owns: when a pod came to its end, and the record of failures that the controller keeps in memory. Pure.
Source: batch/v1 Job, "Pod backoff failure policy".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition

_BASE_S = 10.0
_CAP_S = 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    last_at: datetime | None = None


def advance(record: Backoff, succeeded: Sequence[Object], failed: Sequence[Object], now: datetime) -> Backoff:
    """Return the record after pods that ended and were not looked at before."""
    fallen = sorted(ended_at(pod, now) for pod in failed)
    if succeeded:
        last_success = max(ended_at(pod, now) for pod in succeeded)
        fallen = [at for at in fallen if at > last_success]
        record = Backoff()
    if not fallen:
        return record
    return Backoff(record.failures + len(fallen), fallen[-1])


def left_s(record: Backoff, now: datetime) -> float:
    """Seconds until pods may be made again."""
    if not record.failures or record.last_at is None:
        return 0.0
    return wait_s(record.failures, record.last_at, now)


def wait_s(failures: int, last_at: datetime, now: datetime) -> float:
    """Return what is left of the wait that so many failures cost."""
    delay_s = min(_BASE_S * 2.0 ** min(failures - 1, 10), _CAP_S)
    return max((last_at + timedelta(seconds=delay_s) - now).total_seconds(), 0.0)


def ended_at(pod: Object, now: datetime) -> datetime:
    """When a pod ended: its last container, or when it was last seen ready, asked to go, or made."""
    times = [
        ((item.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for item in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    if times and all(times):
        return max(parse_time(time) for time in times if time)
    ready = get_condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    meta = pod["metadata"]
    if meta.get("deletionTimestamp"):
        # It says when the pod must be gone: the wish for it came a grace period before.
        grace = timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)
        return parse_time(meta["deletionTimestamp"]) - grace
    created = meta.get("creationTimestamp")
    return parse_time(created) if created else now
