"""Rules of Jobs: what a new one may be, and what of one may change."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    immutable,
    invalid,
    not_supported,
    required,
    shown_selector,
    too_long,
)
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.apps.validation import MISMATCH, parse_selector
from tiphys.apis.batch.defaults import NAME_LABEL, OLD_NAME_LABEL, OLD_UID_LABEL, UID_LABEL
from tiphys.apis.batch.policy_validation import failure_policy_faults, success_policy_faults
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import each, peek, restore
from tiphys.apis.inside import immutable_inside, inside
from tiphys.apis.value_validation import domain_prefixed_path, label_selector, not_negative

_PARALLELISM_MAX = 100_000
_FAILED_INDEXES_MAX = 100_000
MANY_COMPLETIONS = 100_000
MANY_PARALLEL = 10_000
_MANY_FAILED = 10_000
_MANAGER_MAX = 63
_REPLACEMENT = ("Failed", "TerminatingOrFailed")
_IMMUTABLE = {
    "completionMode": "",
    "podFailurePolicy": "PodFailurePolicy",
    "backoffLimitPerIndex": "",
    "managedBy": "",
    "successPolicy": "SuccessPolicy",
}
"""What never changes, and its type inside where it is an object."""
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")


def job_spec_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of what a Job has inside a CronJob as well."""
    faults = not_negative(
        spec, path, "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
        "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        faults.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    manager = spec.get("managedBy")
    if manager is not None:
        faults += domain_prefixed_path(manager, f"{path}.managedBy")
        if len(manager) > _MANAGER_MAX:
            faults.append(too_long(f"{path}.managedBy", _MANAGER_MAX))
    faults += _mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        faults += failure_policy_faults(spec, f"{path}.podFailurePolicy")
    policy = spec.get("successPolicy")
    if policy is not None and spec.get("completionMode") == "Indexed":
        faults += success_policy_faults(spec, f"{path}.successPolicy")
    elif policy is not None:
        faults.append(
            invalid(
                f"{path}.successPolicy", inside("SuccessPolicy", policy), "requires indexed completion mode"
            )
        )
    faults += _replacement(spec, f"{path}.podReplacementPolicy")
    faults += validate_template(peek(spec, "template"), f"{path}.template")
    return faults + _restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _mode(spec: Object, path: str) -> list[FieldError]:
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        return [not_supported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))]
    if mode == "Indexed":
        return _indexed(spec, path)
    return [
        invalid(f"{path}.{key}", spec[key], "requires indexed completion mode")
        for key in ("backoffLimitPerIndex", "maxFailedIndexes")
        if spec.get(key) is not None
    ]


def _at_most(value: int | None, most: int, path: str, text: str = "") -> list[FieldError]:
    if value is None or value <= most:
        return []
    return [invalid(path, value, f"must be less than or equal to {most}{text}")]


def _indexed(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism, at = spec.get("parallelism"), f"{path}.maxFailedIndexes"
    if completions is None:
        faults.append(required(f"{path}.completions", "when completion mode is Indexed"))
    text = " when completion mode is Indexed"
    faults += _at_most(parallelism, _PARALLELISM_MAX, f"{path}.parallelism", text)
    if completions is not None and failed is not None and failed > completions:
        faults.append(invalid(at, failed, "must be less than or equal to completions"))
    faults += _at_most(failed, _FAILED_INDEXES_MAX, at)
    if (completions or 0) > MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        if failed is None:
            text = f"must be specified when completions is above {MANY_COMPLETIONS}"
            faults.append(required(at, text))
        text = f" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        faults += _at_most(parallelism, MANY_PARALLEL, f"{path}.parallelism", text)
        faults += _at_most(failed, _MANY_FAILED, at, text)
    return faults


def _replacement(spec: Object, path: str) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    known = _REPLACEMENT if spec.get("podFailurePolicy") is None else ("Failed",)
    return [] if policy is None or policy in known else [not_supported(path, policy, known)]


def _restart_policy(spec: Object, path: str) -> list[FieldError]:
    policy = peek(spec, "template", "spec").get("restartPolicy") or ""
    if policy in ("", "Always"):
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [not_supported(path, policy, ("OnFailure", "Never"))]
    if policy == "OnFailure" and spec.get("podFailurePolicy") is not None:
        return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def validate_job(job: Object) -> list[FieldError]:
    """Return every fault of a Job whose selector has been made."""
    return _whole(job, new_labels=True)


def _whole(job: Object, *, new_labels: bool) -> list[FieldError]:
    spec, name = peek(job, "spec"), str(peek(job, "metadata").get("name") or "")
    faults = _generated(job, new_labels=new_labels) + _with_selector(spec)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        longest = f"{name}-{completions - 1}"
        if names.is_dns1123_label(longest):
            text = f"will not able to create pod with invalid DNS label: {longest}"
            faults.append(invalid("metadata.name", name, text))
    return faults


def _with_selector(spec: Object) -> list[FieldError]:
    faults = job_spec_faults(spec, "spec")
    given = spec.get("selector")
    if isinstance(given, dict):
        faults += label_selector(given, "spec.selector")
    else:
        faults.append(required("spec.selector"))
    selector, labels = parse_selector(given), peek(spec, "template", "metadata", "labels")
    if selector is not None and not selector.matches(labels):
        faults.append(invalid("spec.template.metadata.labels", labels or None, MISMATCH))
    return faults


def _generated(job: Object, *, new_labels: bool) -> list[FieldError]:
    """A selector that nobody made by hand selects by the Job's UID, and its template has the labels."""
    spec, meta = peek(job, "spec"), peek(job, "metadata")
    if spec.get("manualSelector") or not isinstance(spec.get("selector"), dict):
        return []
    uid, name = str(meta.get("uid") or ""), str(meta.get("name") or "")
    faults = [] if uid else [required("metadata.uid")]
    wanted = {OLD_UID_LABEL: uid, OLD_NAME_LABEL: name}
    if new_labels:
        wanted |= {UID_LABEL: uid, NAME_LABEL: name}
    labels = peek(spec, "template", "metadata", "labels")
    for key, value in wanted.items():
        at, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            faults.append(required(at, text))
        elif labels[key] != value:
            faults.append(invalid(at, labels, text))
    selector = parse_selector(spec["selector"])
    if selector is not None and not selector.matches(wanted):
        shown = shown_selector(spec["selector"])
        faults.append(invalid("spec.selector", shown, "`selector` not auto-generated"))
    return faults


def is_true(job: Object, kind: str) -> bool:
    """Whether a Job has this condition."""
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in each(job, "status", "conditions")
    )


def validate_job_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Job: what its pods are made of stays, unless it waits suspended.

    As upstream does, all rules of a new Job are told first, and those of its spec once more.
    """
    spec, before = peek(new, "spec"), peek(old, "spec")
    had = peek(before, "template", "metadata", "labels")
    faults = _whole(new, new_labels=UID_LABEL in had and NAME_LABEL in had) + _with_selector(spec)
    faults += _completions(spec, before)
    if spec.get("selector") != before.get("selector"):
        shown = shown_selector(peek(spec, "selector")) if spec.get("selector") is not None else None
        faults.append(invalid("spec.selector", shown, IMMUTABLE))
    faults += _changed_template(new, old)
    for key, type_ in _IMMUTABLE.items():
        if type_:
            faults += immutable_inside(f"spec.{key}", type_, spec.get(key), before.get(key))
        else:
            faults += immutable(f"spec.{key}", spec.get(key), before.get(key))
    return faults


def _completions(spec: Object, before: Object) -> list[FieldError]:
    new, old, path = spec.get("completions"), before.get("completions"), "spec.completions"
    if new == old:
        return []
    if spec.get("completionMode") != "Indexed":
        return [invalid(path, new, IMMUTABLE)]
    if new is None or new == spec.get("parallelism"):
        return []
    return [invalid(path, new, "can only be modified in tandem with spec.parallelism")]


def _changed_template(new: Object, old: Object) -> list[FieldError]:
    """The fault of changing the template in more than what is let through.

    A suspended Job that has not started, or whose pods are gone, may change where its pods run. Once its
    pods are gone, it may change their resources too; then only what its pods are is looked at.
    """
    template, path = peek(new, "spec", "template"), "spec.template"
    earlier: Object = copy_object(peek(old, "spec", "template"))
    suspended = bool(peek(old, "spec").get("suspend"))
    stopped = suspended and is_true(old, "Suspended") and not peek(old, "status").get("active")
    moved = stopped and on("MutableSchedulingDirectivesForSuspendedJobs")
    if moved or (suspended and not peek(old, "status").get("startTime")):
        _take_scheduling(earlier, template)
    if not stopped or not on("MutablePodResourcesForSuspendedJobs"):
        return immutable_inside(path, "PodTemplateSpec", template, earlier)
    for key in ("initContainers", "containers"):
        _take_resources(earlier, template, key)
    return immutable_inside(f"{path}.spec", "PodSpec", peek(template, "spec"), peek(earlier, "spec"))


def _take_scheduling(earlier: Object, template: Object) -> None:
    spec, wanted = earlier.setdefault("spec", {}), peek(template, "spec")
    for key in _SCHEDULING:
        restore(spec, wanted, key)
    for key in ("labels", "annotations"):
        restore(earlier.setdefault("metadata", {}), peek(template, "metadata"), key)
    affinity = {**peek(spec, "affinity")}
    restore(affinity, peek(wanted, "affinity"), "nodeAffinity")
    if affinity or isinstance(wanted.get("affinity"), dict):
        spec["affinity"] = affinity
    else:
        spec.pop("affinity", None)


def _take_resources(earlier: Object, template: Object, key: str) -> None:
    """Of containers that are as many, and each in its place."""
    wanted, had = list(each(template, "spec", key)), list(each(earlier, "spec", key))
    for one, container in zip(wanted, had, strict=True) if len(wanted) == len(had) else ():
        if container.get("name") == one.get("name"):
            restore(container, one, "resources")
