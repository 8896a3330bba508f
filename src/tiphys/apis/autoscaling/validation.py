"""Rules of HorizontalPodAutoscalers: what they scale, between which bounds, and how fast."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import forbidden, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.autoscaling.metric_validation import api_version_text, metrics_faults, reference_faults
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.defaulting import each, peek
from tiphys.apis.hpa_conversion import hpa_from_v1
from tiphys.apis.value_validation import not_negative

_PERIOD_MAX_S = 1800
_WINDOW_MAX_S = 3600
_CHOICES = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_GROUPLESS = "ReplicationController"
"""The only kind that scales and has no API group."""


def validate_autoscaler(obj: Object) -> list[FieldError]:
    """Return every fault of a new HorizontalPodAutoscaler."""
    return _spec(peek(obj, "spec"), {})


def validate_autoscaler_v1(obj: Object) -> list[FieldError]:
    """The same for one of v1: faults are told of it as it is in v2."""
    return validate_autoscaler(hpa_from_v1(obj))


def validate_autoscaler_v1_update(new: Object, old: Object) -> list[FieldError]:
    """The same for replacing one."""
    return validate_autoscaler_update(hpa_from_v1(new), hpa_from_v1(old))


def validate_autoscaler_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an autoscaler; some of what it had before may stay."""
    return _spec(peek(new, "spec"), peek(old, "spec"))


def _spec(spec: Object, before: Object) -> list[FieldError]:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    lowest = 0 if before.get("minReplicas") == 0 or on("HPAScaleToZero") else 1
    faults: list[FieldError] = []
    if least is not None and least < lowest:
        text = f"must be greater than or equal to {lowest}"
        faults.append(invalid("spec.minReplicas", least, text))
    if most == 0:
        faults.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif most < 0:
        faults.append(invalid("spec.maxReplicas", most, "must be greater than or equal to 1"))
    if least is not None and most < least:
        faults.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    faults += _target(peek(spec, "scaleTargetRef"), peek(before, "scaleTargetRef"))
    metrics, path = list(each(spec, "metrics")), "spec.metrics"
    faults += metrics_faults(metrics, path, any_reference=_had_bad_reference(before))
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        faults.append(forbidden(path, text))
    for key in ("scaleUp", "scaleDown"):
        rules = peek(spec, "behavior").get(key)
        if isinstance(rules, dict):
            faults += _rules(rules, f"spec.behavior.{key}")
    return faults


def _target(reference: Object, before: Object) -> list[FieldError]:
    """What is scaled has an API group, unless it was there without one before."""
    path = "spec.scaleTargetRef"
    same = before and all(reference.get(key) == before.get(key) for key in ("apiVersion", "kind"))
    return reference_faults(
        reference, path, any_version=bool(same), no_group=reference.get("kind") == _GROUPLESS
    )


def _had_bad_reference(before: Object) -> bool:
    return any(
        api_version_text(peek(metric, "object", "describedObject"), no_group=True)
        for metric in each(before, "metrics")
        if metric.get("type") == "Object" and isinstance(metric.get("object"), dict)
    )


def _rules(rules: Object, path: str) -> list[FieldError]:
    window, at = rules.get("stabilizationWindowSeconds"), f"{path}.stabilizationWindowSeconds"
    faults: list[FieldError] = []
    if window is not None and window < 0:
        faults.append(invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_MAX_S:
        faults.append(invalid(at, window, f"must be less than or equal to {_WINDOW_MAX_S}"))
    choice = rules.get("selectPolicy")
    if choice is not None and choice not in _CHOICES:
        faults.append(not_supported(f"{path}.selectPolicy", choice, _CHOICES))
    policies = list(each(rules, "policies"))
    if not policies:
        faults.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        faults += _policy(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    parsed = parse_amount(tolerance) if tolerance is not None else None
    if parsed is not None and parsed.amount < 0:
        text = "must be greater than or equal to 0"
        faults.append(invalid(f"{path}.tolerance", str(tolerance), text))
    return faults


def _policy(policy: Object, path: str) -> list[FieldError]:
    kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
    faults = [] if kind in _POLICIES else [not_supported(f"{path}.type", kind, _POLICIES)]
    if value <= 0:
        faults.append(invalid(f"{path}.value", value, "must be greater than zero"))
    if period <= 0:
        faults.append(invalid(f"{path}.periodSeconds", period, "must be greater than zero"))
    if period > _PERIOD_MAX_S:
        text = f"must be less than or equal to {_PERIOD_MAX_S}"
        faults.append(invalid(f"{path}.periodSeconds", period, text))
    return faults


def validate_autoscaler_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of an autoscaler's status."""
    return not_negative(peek(new, "status"), "status", "currentReplicas", "desiredReplicas")
