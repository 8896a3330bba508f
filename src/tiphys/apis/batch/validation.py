"""Rules of Jobs and CronJobs."""

from __future__ import annotations

import re
from typing import Any

from tiphys.apimachinery import labels as label_machinery
from tiphys.apimachinery.errors import FieldError, StatusError
from tiphys.apimachinery.field_errors import forbidden, immutable, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.apps.validation import MISMATCH
from tiphys.apis.batch.defaults import UID_LABEL
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import label_selector, not_negative, one_of

_NAME_MAX = 52
_FIXED = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, 1)},
    {name: number for number, name in enumerate(_DAYS)},
)
_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})


def _job_spec(spec: Object, path: str) -> list[FieldError]:
    faults = not_negative(
        spec, path, "parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished",
        "activeDeadlineSeconds", "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    mode = spec.get("completionMode")
    faults += one_of(mode, f"{path}.completionMode", ("Indexed", "NonIndexed"), optional=True)
    if mode == "Indexed" and spec.get("completions") is None:
        text = "when completion mode is Indexed"
        faults.append(required(f"{path}.completions", text))
    if spec.get("backoffLimitPerIndex") is not None and mode != "Indexed":
        text = "requires indexed completion mode"
        faults.append(invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], text))
    policies = ("Failed", "TerminatingOrFailed")
    faults += one_of(
        spec.get("podReplacementPolicy"), f"{path}.podReplacementPolicy", policies, optional=True
    )
    template = peek(spec, "template")
    faults += validate_template(template, f"{path}.template")
    policy = peek(template, "spec").get("restartPolicy") or ""
    if policy not in ("OnFailure", "Never"):
        at = f"{path}.template.spec.restartPolicy"
        if policy in ("", "Always"):
            faults.append(required(at, 'valid values: "OnFailure", "Never"'))
        else:
            faults.append(not_supported(at, policy, ["OnFailure", "Never"]))
    return faults + _failure_policy(spec, policy, path)


def _failure_policy(spec: Object, restart: str, path: str) -> list[FieldError]:
    if spec.get("podFailurePolicy") is None:
        return []
    faults: list[FieldError] = []
    if restart != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        faults.append(invalid(f"{path}.template.spec.restartPolicy", restart, text))
    actions = ("Count", "FailIndex", "FailJob", "Ignore")
    for index, rule in enumerate(each(spec, "podFailurePolicy", "rules")):
        at = f"{path}.podFailurePolicy.rules[{index}]"
        faults += one_of(rule.get("action"), f"{at}.action", actions)
        if rule.get("onExitCodes") is None and not rule.get("onPodConditions"):
            text = "specifying one of OnExitCodes and OnPodConditions is required"
            faults.append(invalid(at, rule, text))
        codes = rule.get("onExitCodes")
        if isinstance(codes, dict):
            if rule.get("onPodConditions"):
                text = "specifying both OnExitCodes and OnPodConditions is not supported"
                faults.append(invalid(at, rule, text))
            faults += one_of(codes.get("operator"), f"{at}.onExitCodes.operator", ("In", "NotIn"))
            if not codes.get("values"):
                text = "at least one value is required"
                faults.append(invalid(f"{at}.onExitCodes.values", codes.get("values") or [], text))
    return faults


def validate_job(job: Object) -> list[FieldError]:
    """Return every fault of a Job whose selector has been made."""
    spec = peek(job, "spec")
    faults = _generated_selector(job) + _job_spec(spec, "spec")
    selector = spec.get("selector")
    labels = peek(spec, "template", "metadata", "labels")
    if not isinstance(selector, dict):
        mismatch = invalid("spec.template.metadata.labels", labels or None, MISMATCH)
        return [*faults, required("spec.selector"), mismatch]
    return faults + label_selector(selector, "spec.selector") + _matches(selector, labels)


def _matches(selector: Object, labels: Object) -> list[FieldError]:
    try:
        matched = label_machinery.from_label_selector(selector).matches(labels)
    except StatusError:
        matched = True
    return [] if matched else [invalid("spec.template.metadata.labels", labels, MISMATCH)]


def _generated_selector(job: Object) -> list[FieldError]:
    spec = peek(job, "spec")
    if spec.get("manualSelector") or not isinstance(spec.get("selector"), dict):
        return []
    wanted = {"matchLabels": {UID_LABEL: peek(job, "metadata").get("uid")}}
    old = {"matchLabels": {"controller-uid": peek(job, "metadata").get("uid")}}
    given = {key: value for key, value in spec["selector"].items() if value}
    if given in (wanted, old):
        return []
    return [invalid("spec.selector", spec["selector"], "`selector` not auto-generated")]


def validate_job_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Job; what its pods are made of stays, unless it waits suspended."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = _job_spec(spec, "spec")
    if not isinstance(spec.get("selector"), dict):
        labels = peek(spec, "template", "metadata", "labels") or None
        faults.append(required("spec.selector"))
        faults.append(invalid("spec.template.metadata.labels", labels, MISMATCH))
    faults += _completions(spec, before)
    for key in _FIXED:
        faults += immutable(f"spec.{key}", spec.get(key), before.get(key))
    template, earlier = peek(spec, "template"), peek(before, "template")
    if before.get("suspend") and not peek(old, "status").get("startTime"):
        template, earlier = _without_scheduling(template), _without_scheduling(earlier)
    return faults + immutable("spec.template", template, earlier)


def _completions(spec: Object, before: Object) -> list[FieldError]:
    new, old = spec.get("completions"), before.get("completions")
    elastic = spec.get("completionMode") == "Indexed" and new == spec.get("parallelism")
    if new == old or (elastic and old is not None):
        return []
    return [invalid("spec.completions", new, "field is immutable")]


def _without_scheduling(template: Object) -> Object:
    spec = {key: value for key, value in peek(template, "spec").items() if key not in _SCHEDULING}
    meta = {
        key: value
        for key, value in peek(template, "metadata").items()
        if key not in ("labels", "annotations")
    }
    return {"metadata": meta, "spec": spec}


def _in_field(text: str, low: int, high: int, known: dict[str, int]) -> bool:
    """Whether one comma-separated part of a cron field reads as a range within bounds."""

    def number(token: str) -> int | None:
        if token.lower() in known:
            return known[token.lower()]
        return int(token) if token.isdecimal() and token.isascii() else None

    span, slash, step = text.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span in ("*", "?"):
        return True
    first, dash, last = span.partition("-")
    start, end = number(first), number(last) if dash else number(first)
    if start is None or end is None:
        return False
    return low <= start <= end <= high


def is_schedule(schedule: str) -> bool:
    """Whether a text is a cron schedule: five fields, or a named one."""
    if schedule.startswith("@"):
        return schedule in _MACROS or bool(re.fullmatch(r"@every ([0-9.]+(ns|us|ms|h|m|s))+", schedule))
    fields = schedule.split()
    if len(fields) != len(_CRON_FIELDS):
        return False
    return all(
        all(_in_field(part, low, high, known) for part in field.split(","))
        for field, (low, high), known in zip(fields, _CRON_FIELDS, _CRON_NAMES, strict=True)
    )


def _schedule_faults(schedule: str) -> list[FieldError]:
    path = "spec.schedule"
    if not schedule:
        return [required(path)]
    faults: list[FieldError] = []
    if "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        faults.append(invalid(path, schedule, text))
    elif not is_schedule(schedule):
        fields = schedule.split()
        text = f"failed to parse schedule: {schedule}"
        if len(fields) != len(_CRON_FIELDS) and not schedule.startswith("@"):
            text = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        faults.append(invalid(path, schedule, text))
    return faults


def validate_cron_job(cron: Object) -> list[FieldError]:
    """Return every fault of a CronJob."""
    spec = peek(cron, "spec")
    faults: list[FieldError] = []
    name = str(peek(cron, "metadata").get("name") or "")
    if len(name) > _NAME_MAX:
        text = f"must be no more than {_NAME_MAX} characters"
        faults.append(invalid("metadata.name", name, text))
    faults += _schedule_faults(spec.get("schedule") or "")
    faults += not_negative(spec, "spec", "startingDeadlineSeconds")
    policies = ("Allow", "Forbid", "Replace")
    faults += one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", policies)
    faults += _time_zone(spec.get("timeZone"))
    job = peek(spec, "jobTemplate", "spec")
    faults += _job_spec(job, "spec.jobTemplate.spec")
    if job.get("manualSelector"):
        at = "spec.jobTemplate.spec.manualSelector"
        faults.append(not_supported(at, True, ["nil", "false"]))
    if job.get("selector") is not None:
        faults.append(forbidden("spec.jobTemplate.spec.selector", "`selector` will be auto-generated"))
    return faults + not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def _time_zone(zone: Any) -> list[FieldError]:
    if zone is None:
        return []
    path = "spec.timeZone"
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [
            invalid(
                path,
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        ]
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", zone):
        return [invalid(path, zone, f"unknown time zone {zone}")]
    return []


def validate_cron_job_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a CronJob."""
    return validate_cron_job(new)
