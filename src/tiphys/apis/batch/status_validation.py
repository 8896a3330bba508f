"""Rules of what a Job's controller, the cluster's own or another, writes into its status."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, invalid_unshown, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.batch.index_ranges import MalformedIndexes, count_indexes, first_overlap
from tiphys.apis.batch.validation import is_true
from tiphys.apis.defaulting import peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import not_negative

_CONDITIONS = "status.conditions"
_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


def validate_job_status(job: Object, old: Object) -> list[FieldError]:
    """Return every fault of a Job's status. Most rules bind only where what they tell of changes."""
    status = peek(job, "status")
    faults = not_negative(status, "status", *_COUNTS)
    faults += _uncounted(peek(status, "uncountedTerminatedPods"))
    faults += _conditions(job, old)
    faults += _times(job, old)
    faults += _finished(job, old)
    faults += _indexes(job, old)
    faults += _pods_left(job, old)
    faults += _success(job)
    return faults + _changes(job, old)


def _uncounted(pods: Object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(key) or ()):
            at = f"status.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                yield invalid(at, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(at, uid)
            seen.add(uid)


def _moved(job: Object, old: Object, *what: str) -> bool:
    """Whether any of these conditions (``Complete``) or fields (``active``) has changed."""
    status, before = peek(job, "status"), peek(old, "status")
    return any(
        is_true(job, name) != is_true(old, name)
        if name[0].isupper()
        else status.get(name) != before.get(name)
        for name in what
    )


def _conditions(job: Object, old: Object) -> list[FieldError]:
    complete = is_true(job, "Complete")
    faults: list[FieldError] = []
    if complete and is_true(job, "Failed") and _moved(job, old, "Complete", "Failed"):
        faults.append(invalid_unshown(_CONDITIONS, "cannot set Complete=True and Failed=true conditions"))
    if complete and is_true(job, "FailureTarget") and _moved(job, old, "Complete", "FailureTarget"):
        text = "cannot set Complete=True and FailureTarget=true conditions"
        faults.append(invalid_unshown(_CONDITIONS, text))
    return faults


def _times(job: Object, old: Object) -> list[FieldError]:
    status, complete, path = peek(job, "status"), is_true(job, "Complete"), "status.completionTime"
    start, end = status.get("startTime"), status.get("completionTime")
    moved = _moved(job, old, "Complete", "completionTime")
    faults: list[FieldError] = []
    if end and not complete and moved:
        text = "cannot set completionTime when there is no Complete=True condition"
        faults.append(invalid(path, end, text))
    if not end and complete and moved:
        faults.append(required(path, "completionTime is required for Complete jobs"))
    # Times of the API all have one shape, so that their texts compare as they do.
    if start and end and end < start and _moved(job, old, "startTime", "completionTime"):
        faults.append(invalid(path, end, "completionTime cannot be set before startTime"))
    if (
        is_true(job, "Failed")
        and not is_true(job, "FailureTarget")
        and _moved(job, old, "Failed", "failedIndexes")
    ):
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        faults.append(invalid_unshown(_CONDITIONS, text))
    met = is_true(job, "SuccessCriteriaMet")
    if complete and not met and _moved(job, old, "Complete", "SuccessCriteriaMet"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        faults.append(invalid_unshown(_CONDITIONS, text))
    return faults


def _ended(job: Object) -> bool:
    return is_true(job, "Complete") or is_true(job, "Failed")


def _finished(job: Object, old: Object) -> list[FieldError]:
    if not _ended(job):
        return []
    status, spec, fresh = peek(job, "status"), peek(job, "spec"), not _ended(old)
    faults: list[FieldError] = []
    if (status.get("active") or 0) > 0 and (fresh or _moved(job, old, "active")):
        faults.append(invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    nothing_to_do = spec.get("suspend") and spec.get("completions") == 0
    if not status.get("startTime") and (fresh or _moved(job, old, "startTime")) and not nothing_to_do:
        faults.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = peek(status, "uncountedTerminatedPods")
    left = uncounted.get("failed") or uncounted.get("succeeded")
    if left and (fresh or _moved(job, old, "uncountedTerminatedPods")):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        shown = inside("UncountedTerminatedPods", uncounted)
        faults.append(invalid("status.uncountedTerminatedPods", shown, text))
    return faults


def _pods_left(job: Object, old: Object) -> list[FieldError]:
    status = peek(job, "status")
    faults: list[FieldError] = []
    ending = _ended(job) and (not _ended(old) or _moved(job, old, "terminating"))
    if (status.get("terminating") or 0) > 0 and ending:
        text = "terminating>0 is invalid for finished job"
        faults.append(invalid("status.terminating", status["terminating"], text))
    if (status.get("ready") or 0) > (status.get("active") or 0) and _moved(job, old, "ready", "active"):
        faults.append(
            invalid("status.ready", status.get("ready") or 0, "cannot set more ready pods than active")
        )
    return faults


def _malformed(text: str, completions: int, key: str) -> list[FieldError]:
    try:
        count_indexes(text, completions)
    except MalformedIndexes as error:
        return [invalid(f"status.{key}", text, f"error parsing {key}: {error}")]
    return []


def _indexes(job: Object, old: Object) -> list[FieldError]:
    spec, status = peek(job, "spec"), peek(job, "status")
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    fresh, fresh_failed = _moved(job, old, "completedIndexes"), _moved(job, old, "failedIndexes")
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex") is not None
    faults: list[FieldError] = []
    if completions is not None and fresh:
        faults += _malformed(completed, completions, "completedIndexes")
    if completions is not None and per_index and failed is not None and fresh_failed:
        faults += _malformed(failed, completions, "failedIndexes")
    if completed and spec.get("completionMode") != "Indexed" and fresh:
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        faults.append(invalid("status.completedIndexes", completed, text))
    if failed is not None and not per_index and fresh_failed:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        faults.append(invalid("status.failedIndexes", failed, text))
    if completions is not None and failed is not None and (fresh or fresh_failed):
        both = first_overlap(completed, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            faults.append(invalid("status.failedIndexes", failed, text))
    return faults


def _success(job: Object) -> list[FieldError]:
    met = is_true(job, "SuccessCriteriaMet")
    faults: list[FieldError] = []
    if met and is_true(job, "Failed"):
        text = "cannot set SuccessCriteriaMet=True and Failed=true conditions"
        faults.append(invalid_unshown(_CONDITIONS, text))
    if met and is_true(job, "FailureTarget"):
        text = "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"
        faults.append(invalid_unshown(_CONDITIONS, text))
    if peek(job, "spec").get("successPolicy") is not None and not met and is_true(job, "Complete"):
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        faults.append(invalid_unshown(_CONDITIONS, text))
    return faults


def _changes(job: Object, old: Object) -> list[FieldError]:
    status, before = peek(job, "status"), peek(old, "status")
    faults = [
        invalid_unshown(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
        for kind in _TERMINAL
        if is_true(old, kind) and not is_true(job, kind)
    ]
    spec = peek(job, "spec")
    elastic = spec.get("completionMode") == "Indexed" and spec.get("parallelism") == spec.get("completions")
    for key in ("failed",) if elastic else ("failed", "succeeded"):
        count = status.get(key) or 0
        if count < (before.get(key) or 0):
            faults.append(invalid(f"status.{key}", count, f"cannot decrease the {key} counter"))
    end, earlier = status.get("completionTime"), before.get("completionTime")
    if end and earlier and end != earlier:
        faults.append(invalid("status.completionTime", end, "completionTime cannot be mutated"))
    start, earlier = status.get("startTime"), before.get("startTime")
    resumed = is_true(old, "Suspended") and not is_true(job, "Suspended")
    if earlier and start != earlier and not resumed and not peek(job, "spec").get("suspend"):
        text = "field is immutable for unsuspended job once set"
        faults.append(invalid("status.startTime", start, text))
    if is_true(old, "SuccessCriteriaMet") and not is_true(job, "SuccessCriteriaMet"):
        text = "cannot disable the SuccessCriteriaMet=True condition"
        faults.append(invalid_unshown(_CONDITIONS, text))
    if (
        is_true(old, "Complete")
        and not is_true(old, "SuccessCriteriaMet")
        and is_true(job, "SuccessCriteriaMet")
    ):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        faults.append(invalid_unshown(_CONDITIONS, text))
    return faults
