"""Where the pods of a Job stand: active, ending, ended and not counted yet, counted for good. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions, podstate
from tiphys.controllers.job import failures, indexes, retries

TRACKING = "batch.kubernetes.io/job-tracking"
_TARGETS = ("FailureTarget", "SuccessCriteriaMet")
MOST_UNCOUNTED = 500
"""The ledger bears no more uids than this, so that a status stays small; the rest is counted later."""


@dataclass(slots=True)
class Count:
    """Finished pods. ``counted_*`` are for good; ``ledger`` names those whose finalizer is still to go."""

    counted_succeeded: int
    counted_failed: int
    ledger: dict[str, list[str]]
    active: list[Object] = field(default_factory=list)
    fresh: list[Object] = field(default_factory=list)
    terminating: int = 0
    """Pods on their way out, tracked or not."""
    done_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    held: dict[int, Object] = field(default_factory=dict)
    """The last failed pod of each index that will be tried again: it bears the count of failures."""
    indexed: bool = False
    new_succeeded: list[Object] = field(default_factory=list)
    new_failed: list[Object] = field(default_factory=list)
    """Pods that ended and were in no ledger before: what the wait for new ones is reckoned from."""
    left: list[Object] = field(default_factory=list)
    """Ended pods for which the ledger has no room now, succeeded ones and others that count."""

    @property
    def succeeded(self) -> int:
        if self.indexed:
            return len(self.done_indexes)
        left = sum(podstate.phase(pod) == "Succeeded" for pod in self.left)
        return self.counted_succeeded + len(self.ledger["succeeded"]) + left

    @property
    def failed(self) -> int:
        left = sum(podstate.phase(pod) != "Succeeded" for pod in self.left)
        return self.counted_failed + len(self.ledger["failed"]) + len(self.held) + left

    @property
    def settled(self) -> bool:
        waiting = self.active or self.fresh or self.left or self.held or self.terminating
        return not (waiting or any(self.ledger.values()))


def tracked(pod: Object) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def only_replaces_failed(job: Object) -> bool:
    """True if a pod on its way out counts as running until it has come to its end."""
    return job["spec"].get("podReplacementPolicy") == "Failed" or bool(job["spec"].get("podFailurePolicy"))


def decided(job: Object) -> bool:
    """True if the outcome is written already and only clearing away is left."""
    found = (job.get("status") or {}).get("conditions") or []
    return any(
        condition is not None and condition.get("status") == "True"
        for condition in (conditions.find(found, name) for name in _TARGETS)
    )


def count_pods(job: Object, pods: Sequence[Object]) -> Count:
    """Sort pods and bring the ledger up to date."""
    count = _start(job, pods)
    known = {uid for uids in count.ledger.values() for uid in uids}
    waits = only_replaces_failed(job) and not decided(job)
    ended: list[Object] = []
    for pod in pods:
        ending = podstate.is_deleting(pod) and not podstate.is_terminal(pod)
        count.terminating += ending
        if podstate.is_active(pod):
            count.active.append(pod)
        elif tracked(pod) and not (ending and waits):
            ended.append(pod)
    _take_indexes(job, ended, count)
    if retries.per_index(job) and not decided(job):
        _hold_back(job, ended, count)
    held = {pod["metadata"]["uid"] for pod in count.held.values()}
    for pod in ended:
        uid = pod["metadata"]["uid"]
        if uid not in known and not _is_outside(job, pod):
            (count.new_succeeded if podstate.phase(pod) == "Succeeded" else count.new_failed).append(pod)
        if uid in held:
            continue
        kind = "" if uid in known else _ledger_of(job, pod)
        if kind and sum(map(len, count.ledger.values())) >= MOST_UNCOUNTED:
            count.left.append(pod)
            continue
        count.fresh.append(pod)
        if kind:
            count.ledger[kind].append(uid)
    return count


def _is_outside(job: Object, pod: Object) -> bool:
    """True for a pod of an Indexed job without an index, or with one that is not asked for any more."""
    index = indexes.of(pod)
    return is_indexed(job) and (index is None or index >= job["spec"].get("completions", 0))


def _start(job: Object, pods: Sequence[Object]) -> Count:
    status = job.get("status") or {}
    bearing = {pod["metadata"]["uid"] for pod in pods if tracked(pod)}
    before = status.get("uncountedTerminatedPods") or {}
    ledger = {
        kind: [uid for uid in before.get(kind) or () if uid in bearing] for kind in ("succeeded", "failed")
    }
    # Whose finalizer is gone is counted now, for good.
    settled = {kind: len(before.get(kind) or ()) - len(ledger[kind]) for kind in ledger}
    return Count(
        (status.get("succeeded") or 0) + settled["succeeded"],
        (status.get("failed") or 0) + settled["failed"],
        ledger,
        done_indexes=indexes.within(status.get("completedIndexes") or "", job),
        failed_indexes=indexes.within(status.get("failedIndexes") or "", job),
        indexed=is_indexed(job),
    )


def _take_indexes(job: Object, ended: list[Object], count: Count) -> None:
    if not count.indexed:
        return
    for pod in ended:
        index = indexes.of(pod)
        if index is None or index >= job["spec"].get("completions", 0):
            continue
        if podstate.phase(pod) == "Succeeded":
            count.done_indexes.add(index)
        elif retries.per_index(job) and retries.is_index_failed(job, pod):
            count.failed_indexes.add(index)
    count.failed_indexes -= count.done_indexes


def _hold_back(job: Object, ended: list[Object], count: Count) -> None:
    """Of each index to be tried again, keep the pod that knows of the most failures."""
    closed = count.done_indexes | count.failed_indexes
    closed |= {index for pod in count.active if (index := indexes.of(pod)) is not None}
    for pod in ended:
        index = indexes.of(pod)
        if index is None or index in closed or index >= job["spec"].get("completions", 0):
            continue
        best = count.held.get(index)
        if best is None or retries.failure_rank(pod) > retries.failure_rank(best):
            count.held[index] = pod


def _ledger_of(job: Object, pod: Object) -> str:
    """Return what a finished pod is entered as; empty if it does not count."""
    if _is_outside(job, pod):
        return ""
    phase = podstate.phase(pod)
    if phase == "Succeeded":
        return "succeeded"
    found = (job.get("status") or {}).get("conditions") or []
    stopped_by_us = conditions.find(found, "SuccessCriteriaMet") is not None
    counts = (phase == "Failed" or not stopped_by_us) and not failures.is_ignored(job, pod)
    return "failed" if counts else ""
