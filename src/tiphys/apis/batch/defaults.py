"""Defaults of Jobs and CronJobs, and the selector that a new Job is given."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_defaults import default_template
from tiphys.apis.defaulting import each, fill, fill_optional, section, show

_RETRIES = 6
_UNBOUNDED = 2**31 - 1

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
OLD_UID_LABEL = "controller-uid"
OLD_NAME_LABEL = "job-name"


def default_job(job: Object) -> None:
    """Complete a Job."""
    spec = section(job, "spec")
    _default_embedded(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    fill_optional(spec, "parallelism", 1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    fill_optional(spec, "backoffLimit", _UNBOUNDED if per_index else _RETRIES)
    labels = spec["template"]["metadata"].get("labels")
    if labels:
        fill(section(job, "metadata"), "labels", dict(labels))
    fill_optional(spec, "completionMode", "NonIndexed")
    fill_optional(spec, "suspend", False)
    replace = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    fill_optional(spec, "podReplacementPolicy", replace)
    fill_optional(spec, "manualSelector", False)


def _default_embedded(spec: Object) -> None:
    """Complete the parts that a Job has inside a CronJob as well."""
    default_template(section(spec, "template"))
    policy = spec.get("podFailurePolicy")
    if isinstance(policy, dict):
        policy["rules"] = policy.get("rules") or None
    for rule in each(spec, "podFailurePolicy", "rules"):
        show(rule, "onExitCodes", "onPodConditions")
        if isinstance(rule["onExitCodes"], dict):
            show(rule["onExitCodes"], "containerName")
        for pattern in each(rule, "onPodConditions"):
            fill(pattern, "status", "True")


def default_cron_job(cron: Object) -> None:
    """Complete a CronJob; its Jobs are completed when they are made."""
    spec = section(cron, "spec")
    fill(spec, "concurrencyPolicy", "Allow")
    fill_optional(spec, "suspend", False)
    fill_optional(spec, "successfulJobsHistoryLimit", 3)
    fill_optional(spec, "failedJobsHistoryLimit", 1)
    template = section(spec, "jobTemplate")
    section(template, "metadata")
    _default_embedded(section(template, "spec"))


def prepare_job(job: Object) -> None:
    """A new Job selects its own pods by its UID (which must be set), unless told to select by hand."""
    job["status"] = {}
    spec = section(job, "spec")
    if spec.get("manualSelector"):
        return
    meta = job["metadata"]
    labels = section(section(section(spec, "template"), "metadata"), "labels")
    uid, name = meta.get("uid", ""), meta.get("name", "")
    for key, value in (
        (UID_LABEL, uid),
        (NAME_LABEL, name),
        (OLD_UID_LABEL, uid),
        (OLD_NAME_LABEL, name),
    ):
        labels.setdefault(key, value)
    section(section(spec, "selector"), "matchLabels").setdefault(UID_LABEL, uid)


def prepare_cron_job(cron: Object) -> None:
    """A new CronJob has run nothing."""
    cron["status"] = {}
