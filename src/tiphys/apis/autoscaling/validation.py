"""Rules of HorizontalPodAutoscalers and of the Scale subresource."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import not_negative, one_of

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_HALF_HOUR_S = 1800
_HOUR_S = 3600


def validate_autoscaler(obj: Object) -> list[FieldError]:
    """Return every fault of a HorizontalPodAutoscaler of either version."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        faults.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        faults.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        faults.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    reference = peek(spec, "scaleTargetRef")
    faults += [required(f"spec.scaleTargetRef.{key}") for key in ("kind", "name") if not reference.get(key)]
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        faults.append(invalid("spec.targetCPUUtilizationPercentage", percent, "must be greater than 0"))
    for index, metric in enumerate(each(spec, "metrics")):
        faults += _metric(metric, f"spec.metrics[{index}]")
    for key in ("scaleUp", "scaleDown"):
        rules = peek(spec, "behavior").get(key)
        if isinstance(rules, dict):
            faults += _rules(rules, f"spec.behavior.{key}")
    return faults


def _metric(metric: Object, path: str) -> list[FieldError]:
    kind = metric.get("type") or ""
    if not kind:
        return [required(f"{path}.type", "must specify a metric source type")]
    faults = one_of(kind, f"{path}.type", _SOURCES)
    key = _SOURCES.get(kind, "")
    if faults or not isinstance(metric.get(key), dict):
        return faults or [required(f"{path}.{key}", "must populate information for the given metric source")]
    return _target(peek(metric, key, "target"), f"{path}.{key}.target")


def _target(target: Object, path: str) -> list[FieldError]:
    if not target.get("type"):
        return [required(f"{path}.type", "must specify a metric target type")]
    faults = one_of(target["type"], f"{path}.type", ("AverageValue", "Utilization", "Value"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        faults.append(invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))
    return faults


def _rules(rules: Object, path: str) -> list[FieldError]:
    faults = not_negative(rules, path, "stabilizationWindowSeconds")
    window = rules.get("stabilizationWindowSeconds") or 0
    if window > _HOUR_S:
        text = f"must be less than or equal to {_HOUR_S}"
        faults.append(invalid(f"{path}.stabilizationWindowSeconds", window, text))
    choices = ("Disabled", "Max", "Min")
    faults += one_of(rules.get("selectPolicy"), f"{path}.selectPolicy", choices, optional=True)
    policies = list(each(rules, "policies"))
    if not policies:
        faults.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        at = f"{path}.policies[{index}]"
        faults += one_of(policy.get("type"), f"{at}.type", ("Percent", "Pods"))
        value, period = policy.get("value") or 0, policy.get("periodSeconds") or 0
        if value <= 0:
            faults.append(invalid(f"{at}.value", value, "must be greater than zero"))
        if period <= 0:
            faults.append(invalid(f"{at}.periodSeconds", period, "must be greater than zero"))
        elif period > _HALF_HOUR_S:
            text = f"must be less than or equal to {_HALF_HOUR_S}"
            faults.append(invalid(f"{at}.periodSeconds", period, text))
    return faults


def validate_autoscaler_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing an autoscaler."""
    return validate_autoscaler(new)
