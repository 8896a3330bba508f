"""Rules of Deployments, ReplicaSets, StatefulSets, DaemonSets and ReplicationControllers."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery import labels as label_machinery
from tiphys.apimachinery.errors import FieldError, StatusError
from tiphys.apimachinery.field_errors import (
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.claim_validation import claim_spec_faults
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import (
    NOT_NEGATIVE,
    amount,
    at_most_all,
    count_or_percent,
    label_selector,
    not_negative,
    one_of,
)

MISMATCH = "`selector` does not match template `labels`"
_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _selector(spec: Object, path: str, noun: str) -> list[FieldError]:
    selector = spec.get("selector")
    if not isinstance(selector, dict):
        return [required(f"{path}.selector")]
    faults = label_selector(selector, f"{path}.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = f"empty selector is invalid for {noun}"
        faults.append(invalid(f"{path}.selector", selector, text))
    return faults


def _matches(selector: Object | None, template: Object, path: str) -> list[FieldError]:
    # A selector that is missing selects nothing, so that is told beside its being required.
    labels = peek(template, "metadata", "labels")
    if selector is None:
        return [invalid(f"{path}.metadata.labels", labels or None, MISMATCH)]
    try:
        parsed = label_machinery.from_label_selector(selector)
    except StatusError:
        return []
    if parsed.everything or parsed.matches(labels):
        return []
    return [invalid(f"{path}.metadata.labels", labels, MISMATCH)]


def _template(
    spec: Object, selector: Object | None, path: str, noun: str, *, extra_volumes: Iterable[str] = ()
) -> list[FieldError]:
    template = spec.get("template")
    if not isinstance(template, dict):
        return [required(f"{path}.template")]
    at = f"{path}.template"
    faults = _matches(selector, template, at)
    faults += validate_template(template, at, extra_volumes=extra_volumes)
    pod = peek(template, "spec")
    policy = pod.get("restartPolicy")
    if policy and policy != "Always":
        faults.append(not_supported(f"{at}.spec.restartPolicy", policy, ["Always"]))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {noun} is not Supported"
        faults.append(forbidden(f"{at}.spec.activeDeadlineSeconds", text))
    return faults


def validate_deployment(obj: Object) -> list[FieldError]:
    """Return every fault of a Deployment."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "replicas")
    faults += _selector(spec, "spec", "deployment")
    faults += _template(spec, spec.get("selector"), "spec", "ReplicaSet")
    faults += _deployment_strategy(peek(spec, "strategy"), "spec.strategy")
    faults += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    progress = spec.get("progressDeadlineSeconds")
    if progress is not None and progress <= (spec.get("minReadySeconds") or 0):
        text = "must be greater than minReadySeconds"
        faults.append(invalid("spec.progressDeadlineSeconds", progress, text))
    return faults


def _deployment_strategy(strategy: Object, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate" and rolling is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{path}.rollingUpdate", text)]
    if kind != "RollingUpdate":
        return one_of(kind, f"{path}.type", ("Recreate", "RollingUpdate"))
    if not isinstance(rolling, dict):
        return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    return _rolling(rolling, f"{path}.rollingUpdate")


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
    return validate_deployment(new) + _same_selector(new, old)


def _same_selector(new: Object, old: Object) -> list[FieldError]:
    return immutable("spec.selector", peek(new, "spec").get("selector"), peek(old, "spec").get("selector"))


def validate_replica_set(obj: Object) -> list[FieldError]:
    """Return every fault of a ReplicaSet."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "replicas", "minReadySeconds")
    faults += _selector(spec, "spec", "replicaset")
    return faults + _template(spec, spec.get("selector"), "spec", "ReplicaSet")


def validate_replica_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ReplicaSet; its selector never changes."""
    return validate_replica_set(new) + _same_selector(new, old)


def validate_daemon_set(obj: Object) -> list[FieldError]:
    """Return every fault of a DaemonSet."""
    spec = peek(obj, "spec")
    faults = _selector(spec, "spec", "daemonset")
    faults += _template(spec, spec.get("selector"), "spec", "DaemonSet")
    faults += not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    strategy = peek(spec, "updateStrategy")
    faults += one_of(strategy.get("type"), "spec.updateStrategy.type", ("OnDelete", "RollingUpdate"))
    if strategy.get("type") == "RollingUpdate":
        faults += _daemon_rolling(peek(strategy, "rollingUpdate"), "spec.updateStrategy.rollingUpdate")
    return faults


def _daemon_rolling(rolling: Object, path: str) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    faults: list[FieldError] = []
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        faults += count_or_percent(value, f"{path}.{key}") + at_most_all(value, f"{path}.{key}")
    if amount(unavailable) and amount(surge):
        text = "may not be set when maxUnavailable is non-zero"
        faults.append(invalid(f"{path}.maxSurge", surge, text))
    elif not amount(unavailable) and not amount(surge):
        faults.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return faults


def validate_daemon_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a DaemonSet; its selector never changes."""
    return validate_daemon_set(new) + _same_selector(new, old)


def validate_stateful_set(obj: Object) -> list[FieldError]:
    """Return every fault of a StatefulSet; its claim templates stand for volumes of their names."""
    spec = peek(obj, "spec")
    policies = ("OrderedReady", "Parallel")
    faults = one_of(spec.get("podManagementPolicy"), "spec.podManagementPolicy", policies)
    strategy = peek(spec, "updateStrategy")
    faults += one_of(strategy.get("type"), "spec.updateStrategy.type", ("OnDelete", "RollingUpdate"))
    rolling, at = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") == "OnDelete" and rolling is not None:
        text = "only allowed for updateStrategy 'RollingUpdate'"
        faults.append(invalid(at, rolling, text))
    if isinstance(rolling, dict):
        faults += not_negative(rolling, at, "partition")
        unavailable = rolling.get("maxUnavailable")
        faults += count_or_percent(unavailable, f"{at}.maxUnavailable")
        if unavailable is not None and not amount(unavailable):
            faults.append(invalid(f"{at}.maxUnavailable", unavailable, "cannot be 0"))
        faults += at_most_all(unavailable, f"{at}.maxUnavailable")
    retention = peek(spec, "persistentVolumeClaimRetentionPolicy")
    for key in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
        faults += one_of(retention.get(key), path, ("Delete", "Retain"), optional=True)
    faults += not_negative(spec, "spec", "replicas", "minReadySeconds")
    faults += not_negative(peek(spec, "ordinals"), "spec.ordinals", "start")
    faults += _selector(spec, "spec", "statefulset")
    claims = [str(peek(claim, "metadata").get("name")) for claim in each(spec, "volumeClaimTemplates")]
    faults += _template(spec, spec.get("selector"), "spec", "StatefulSet", extra_volumes=claims)
    for index, claim in enumerate(each(spec, "volumeClaimTemplates")):
        faults += claim_spec_faults(peek(claim, "spec"), f"spec.volumeClaimTemplates[{index}].spec")
    return faults


def validate_stateful_set_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a StatefulSet; most of its spec never changes."""
    faults = validate_stateful_set(new)
    spec, before = peek(new, "spec"), peek(old, "spec")
    fixed = (set(spec) | set(before)) - set(_STATEFUL_MUTABLE)
    if any(spec.get(key) != before.get(key) for key in fixed):
        faults.append(forbidden("spec", _STATEFUL_TEXT))
    return faults


def validate_replication_controller(obj: Object) -> list[FieldError]:
    """Return every fault of a ReplicationController."""
    spec = peek(obj, "spec")
    faults = not_negative(spec, "spec", "minReadySeconds")
    selector = spec.get("selector")
    if not selector:
        faults.append(required("spec.selector"))
    faults += not_negative(spec, "spec", "replicas")
    return faults + _template(spec, {"matchLabels": selector or {}}, "spec", "ReplicationController")


def validate_replication_controller_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a ReplicationController."""
    return validate_replication_controller(new)


def validate_status_counts(new: Object, _old: Object) -> list[FieldError]:
    """Counts in a workload's status are not negative, and no more ready than there are."""
    status = peek(new, "status")
    counts = (
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "fullyLabeledReplicas",
        "currentReplicas",
        "observedGeneration",
        "collisionCount",
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    )
    faults = not_negative(status, "status", *counts)
    total = status.get("replicas")
    if total is None:
        return faults
    for key in ("updatedReplicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas"):
        count = status.get(key)
        if count is not None and count > total:
            text = "cannot be greater than status.replicas"
            faults.append(invalid(f"status.{key}", count, text))
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        faults.append(invalid("status.availableReplicas", available, "cannot be greater than readyReplicas"))
    return faults


def validate_revision(obj: Object) -> list[FieldError]:
    """Return every fault of a ControllerRevision."""
    faults = [] if obj.get("data") is not None else [required("data", "data is mandatory")]
    return faults + (
        [invalid("revision", obj["revision"], NOT_NEGATIVE)] if (obj.get("revision") or 0) < 0 else []
    )


def validate_revision_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ControllerRevision; the past never changes."""
    return validate_revision(new) + immutable("data", new.get("data"), old.get("data"))
