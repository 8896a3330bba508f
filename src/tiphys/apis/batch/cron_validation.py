"""Rules of CronJobs, and what is said of Jobs and CronJobs that are let through."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, not_supported, required, shown_selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.batch.schedule_faults import schedule_faults, zone_faults
from tiphys.apis.batch.validation import MANY_COMPLETIONS, MANY_PARALLEL, job_spec_faults
from tiphys.apis.core.pod_warnings import name_warnings, template_warnings, unchanged
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import not_negative

_NAME_MAX = 52
"""The controller appends eleven characters for each Job."""
_POLICIES = ("Allow", "Forbid", "Replace")


def validate_cron_job(cron: Object) -> list[FieldError]:
    """Return every fault of a new CronJob."""
    faults = _spec(peek(cron, "spec"), None)
    name = str(peek(cron, "metadata").get("name") or "")
    if len(name) > _NAME_MAX:
        text = f"must be no more than {_NAME_MAX} characters"
        faults.append(invalid("metadata.name", name, text))
    return faults


def validate_cron_job_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a CronJob. Its name is let through, and a time zone that stays."""
    return _spec(peek(new, "spec"), peek(old, "spec"))


def _spec(spec: Object, before: Object | None) -> list[FieldError]:
    zone = spec.get("timeZone")
    faults = schedule_faults(spec.get("schedule") or "", zone, before.get("schedule") if before else None)
    faults += not_negative(spec, "spec", "startingDeadlineSeconds")
    if before is None or before.get("timeZone") != zone:
        faults += zone_faults(zone)
    policy, path = spec.get("concurrencyPolicy") or "", "spec.concurrencyPolicy"
    if not policy:
        faults.append(required(path))
    elif policy not in _POLICIES:
        faults.append(not_supported(path, policy, _POLICIES))
    faults += _job_template(peek(spec, "jobTemplate", "spec"), "spec.jobTemplate.spec")
    return faults + not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def _job_template(job: Object, path: str) -> list[FieldError]:
    faults = job_spec_faults(job, path)
    if job.get("selector") is not None:
        text = "`selector` will be auto-generated"
        faults.append(invalid(f"{path}.selector", shown_selector(job["selector"]), text))
    if job.get("manualSelector"):
        faults.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return faults


def _many_indexes(spec: Object, path: str) -> list[str]:
    completions, parallel = spec.get("completions") or 0, spec.get("parallelism") or 0
    if spec.get("completionMode") != "Indexed" or not (
        completions > MANY_COMPLETIONS and parallel > MANY_PARALLEL
    ):
        return []
    return [
        f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
        "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
    ]


def job_warnings(job: Object, old: Object | None) -> list[str]:
    """Return the warnings about a Job."""
    found = name_warnings(job, old)
    if unchanged(job, old):
        return found
    return found + _many_indexes(peek(job, "spec"), "spec") + template_warnings(job, old)


def cron_job_warnings(cron: Object, old: Object | None) -> list[str]:
    """Return the warnings about a CronJob."""
    found = name_warnings(cron, old)
    if not unchanged(cron, old):
        found += _many_indexes(peek(cron, "spec", "jobTemplate", "spec"), "spec.jobTemplate.spec")
        found += template_warnings(cron, old)
    if old and "TZ" in str(peek(cron, "spec").get("schedule")):
        # A new one has no such schedule. The path is spelled as the API spells it.
        found.append(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    return found
