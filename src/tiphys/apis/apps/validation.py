"""Rules of Deployments, ReplicaSets and ReplicationControllers, and what all workloads share."""

from __future__ import annotations

from tiphys.apimachinery import labels as label_machinery
from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import FieldError, StatusError
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    Struct,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    shown_selector,
)
from tiphys.apimachinery.labels import Selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import peek
from tiphys.apis.outdated_annotations import ROLLBACK
from tiphys.apis.value_validation import (
    NOT_NEGATIVE,
    amount,
    at_most_all,
    count_or_percent,
    label_selector,
    not_negative,
)

_UNCONVERTIBLE = "non-convertible.kubernetes.io"
MISMATCH = "`selector` does not match template `labels`"


def selector_faults(spec: Object, noun: str) -> list[FieldError]:
    """Return every fault of a workload's selector, which must be there and select by something."""
    selector = spec.get("selector")
    if not isinstance(selector, dict):
        return [required("spec.selector")]
    faults = label_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = f"empty selector is invalid for {noun}"
        faults.append(invalid("spec.selector", shown_selector(selector), text))
    return faults


def parse_selector(selector: Object | None) -> Selector | None:
    """Return the selector, or nothing where it cannot be read."""
    try:
        return label_machinery.from_label_selector(selector)
    except StatusError:
        return None


def matched_template(spec: Object, noun: str) -> list[FieldError]:
    """Return every fault of a template that the selector must match.

    A selector that is missing selects nothing, so that is told beside its being required. Of a template whose
    selector cannot be read nothing is told but what no pod of a workload may have.
    """
    selector = parse_selector(spec.get("selector"))
    if selector is None:
        shown = shown_selector(peek(spec, "selector"))
        return [invalid("spec.selector", shown, "invalid label selector")]
    return _selected_template(peek(spec, "template"), selector, noun)


def _selected_template(template: Object, selector: Selector, noun: str) -> list[FieldError]:
    labels = peek(template, "metadata", "labels")
    faults: list[FieldError] = []
    if not selector.everything and not selector.matches(labels):
        faults.append(invalid("spec.template.metadata.labels", labels or None, MISMATCH))
    faults += validate_template(template, "spec.template")
    return faults + long_running(template, noun)


def long_running(template: Object, noun: str) -> list[FieldError]:
    """Pods of a workload run until they are deleted."""
    pod, at = peek(template, "spec"), "spec.template.spec"
    faults: list[FieldError] = []
    policy = pod.get("restartPolicy") or ""
    if policy != "Always":
        faults.append(not_supported(f"{at}.restartPolicy", policy, ["Always"]))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {noun} is not Supported"
        faults.append(forbidden(f"{at}.activeDeadlineSeconds", text))
    return faults


def validate_deployment(obj: Object) -> list[FieldError]:
    """Return every fault of a Deployment."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "replicas")
    faults += selector_faults(spec, "deployment")
    faults += matched_template(spec, "ReplicaSet")
    faults += _deployment_strategy(peek(spec, "strategy"), "spec.strategy")
    faults += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    back = atoi(str(peek(obj, "metadata", "annotations").get(ROLLBACK) or ""))
    if back is not None and back < 0:
        faults.append(invalid("spec.rollback.version", back, NOT_NEGATIVE))
    faults += not_negative(spec, "spec", "progressDeadlineSeconds")
    progress = spec.get("progressDeadlineSeconds")
    if progress is not None and progress <= (spec.get("minReadySeconds") or 0):
        text = "must be greater than minReadySeconds"
        faults.append(invalid("spec.progressDeadlineSeconds", progress, text))
    return faults


def _deployment_strategy(strategy: Object, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden(f"{path}.rollingUpdate", text)]
    if kind != "RollingUpdate":
        shown = Struct(Type=kind or "", RollingUpdate=shown_rolling(rolling))
        return [not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    if not isinstance(rolling, dict):
        return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    return _rolling(rolling, f"{path}.rollingUpdate")


def shown_rolling(rolling: Object | None) -> Struct | None:
    """How many pods a rollout may be short of and have too many, as the API shows it."""
    if rolling is None:
        return None
    return Struct(MaxUnavailable=rolling.get("maxUnavailable") or 0, MaxSurge=rolling.get("maxSurge") or 0)


def _rolling(rolling: Object, path: str) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    faults = count_or_percent(unavailable, f"{path}.maxUnavailable")
    faults += count_or_percent(surge, f"{path}.maxSurge")
    if not amount(unavailable) and not amount(surge):
        text = "may not be 0 when `maxSurge` is 0"
        faults.append(invalid(f"{path}.maxUnavailable", unavailable, text))
    return faults + at_most_all(unavailable, f"{path}.maxUnavailable")


def validate_deployment_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Deployment; its selector never changes."""
    return validate_deployment(new) + same_selector(new, old)


def same_selector(new: Object, old: Object) -> list[FieldError]:
    """A workload's selector never changes."""
    selector, before = (peek(obj, "spec").get("selector") for obj in (new, old))
    if selector == before:
        return []
    shown = shown_selector(selector) if isinstance(selector, dict) else None
    return [invalid("spec.selector", shown, IMMUTABLE)]


def validate_replica_set(obj: Object) -> list[FieldError]:
    """Return every fault of a ReplicaSet."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "replicas", "minReadySeconds")
    faults += selector_faults(spec, "deployment")
    return faults + matched_template(spec, "ReplicaSet")


def validate_replica_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ReplicaSet; its selector never changes.

    As upstream does, all rules of a new one are told twice.
    """
    return validate_replica_set(new) * 2 + same_selector(new, old)


def validate_replication_controller(obj: Object) -> list[FieldError]:
    """Return every fault of a ReplicationController. Its selector is never read, so any can be matched."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    if not selector:
        faults.append(required("spec.selector"))
    faults += not_negative(spec, "spec", "replicas")
    if not isinstance(template, dict):
        return [*faults, required("spec.template")]
    return faults + _selected_template(template, label_machinery.from_set(selector), "ReplicationController")


def validate_replication_controller_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ReplicationController.

    As upstream does, all rules of a new one are told twice.
    """
    return validate_replication_controller(new) * 2 + _unconvertible(new, old)


def _unconvertible(new: Object, old: Object) -> list[FieldError]:
    """What annotations say of fields that had no place in a ReplicationController: a selector stays then."""
    faults: list[FieldError] = []
    for key, value in peek(old, "metadata", "annotations").items():
        group, _, name = key.partition("/")
        if not group.startswith(_UNCONVERTIBLE) or not name:
            continue
        selector, before = (peek(obj, "spec").get("selector") or {} for obj in (new, old))
        if "selector" not in name:
            faults.append(not_found(name, value, "unknown non-convertible field"))
        elif selector != before:
            faults.append(invalid("spec.selector", selector, "cannot update non-convertible selector"))
    return faults
