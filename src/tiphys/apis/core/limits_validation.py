"""Rules of LimitRanges and ResourceQuotas."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.core.resource_validation import (
    container_resource_name,
    overcommits,
    parse_amount,
    quantity_faults,
    resource_name_faults,
)
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside

_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_SCOPES = frozenset(
    {
        "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
        "Terminating", "VolumeAttributesClass",
    }
)  # fmt: skip
_EXISTS_ONLY = frozenset(
    {"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"}
)
_EXISTS_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)
_PAIRS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = frozenset({"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_STANDARD = _COMPUTE | {
    "ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "pods",
    "resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
    "services.nodeports", "services.loadbalancers",
}  # fmt: skip


def _is_quota_resource(name: str) -> bool:
    return name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))


def _fits(scope: str, name: str) -> bool:
    """Whether a scope can apply to a resource."""
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return scope not in _SCOPES or name == "pods" or name in _COMPUTE


def validate_quota(quota: Object) -> list[FieldError]:
    """Return every fault of a ResourceQuota."""
    spec = peek(quota, "spec")
    faults = _amounts(peek(spec, "hard"), "spec.hard")
    if spec.get("scopes"):
        faults += _scopes(spec)
    if isinstance(spec.get("scopeSelector"), dict):
        faults += _selector(spec)
    return faults


def _amounts(hard: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for name, value in hard.items():
        at = f"{path}[{name}]"
        faults += resource_name_faults(name, at)
        if "/" not in name and not _is_quota_resource(name):
            faults.append(invalid(at, name, "must be a standard resource for quota"))
        faults += quantity_faults(name, value, at)
    return faults


def _scopes(spec: Object) -> list[FieldError]:
    scopes, path = list(spec["scopes"]), "spec.scopes"
    faults: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            faults.append(invalid(path, scopes, "unsupported scope"))
        faults += _misapplied(scope, spec, path, scopes)
    return faults + _conflicting(set(scopes), path, scopes)


def _misapplied(scope: str, spec: Object, path: str, shown: Any) -> list[FieldError]:
    return [
        invalid(path, shown, "unsupported scope applied to resource")
        for name in sorted(peek(spec, "hard"))
        if _is_quota_resource(name) and not _fits(scope, name)
    ]


def _conflicting(scopes: set[str], path: str, shown: Any) -> list[FieldError]:
    return [invalid(path, shown, "conflicting scopes") for pair in _PAIRS if pair <= scopes]


def _selector(spec: Object) -> list[FieldError]:
    path = "spec.scopeSelector.matchExpressions"
    faults: list[FieldError] = []
    seen: set[str] = set()
    for requirement in each(spec, "scopeSelector", "matchExpressions"):
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        values = requirement.get("values") or []
        if scope not in _SCOPES:
            faults.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        faults += _misapplied(scope, spec, path, inside("ScopeSelector", spec["scopeSelector"]))
        if scope in _EXISTS_ONLY and operator != "Exists":
            faults.append(invalid(f"{path}.operator", operator, _EXISTS_TEXT))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                faults.append(required(f"{path}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                faults.append(invalid(f"{path}.values", values, text))
        else:
            faults.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
        seen.add(scope)
    return faults + _conflicting(seen, path, spec.get("scopes"))


def validate_quota_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ResourceQuota; what it is about never changes."""
    scopes, before = (set(peek(part, "spec").get("scopes") or ()) for part in (new, old))
    faults = validate_quota(new)
    if scopes != before:
        faults.append(invalid("spec.scopes", peek(new, "spec").get("scopes"), "field is immutable"))
    return faults


def validate_quota_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of a ResourceQuota's status."""
    status = peek(new, "status")
    return _amounts(peek(status, "hard"), "status.hard") + _amounts(peek(status, "used"), "status.used")


def validate_limit_range(limits: Object) -> list[FieldError]:
    """Return every fault of a LimitRange: minimum, request, default and maximum go up in this order."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, item in enumerate(each(limits, "spec", "limits")):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        faults += _type(kind, f"{path}.type")
        if kind in seen:
            faults.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        sections = ("max", "min") if kind == "Pod" else ("max", "min", "default", "defaultRequest")
        for section in sections:
            faults += _item_names(item, section, kind, path)
        if kind == "Pod":
            text = "may not be specified when `type` is 'Pod'"
            faults += [
                forbidden(f"{path}.{key}", text) for key in ("default", "defaultRequest") if item.get(key)
            ]
        storage = {"storage"} & {*peek(item, "min"), *peek(item, "max")}
        if kind == "PersistentVolumeClaim" and not storage:
            text = "either minimum or maximum storage value is required, but neither was provided"
            faults.append(required(f"{path}.limits", text))
        faults += _item_names(item, "maxLimitRequestRatio", kind, path)
        known = {name for section in (*sections, "maxLimitRequestRatio") for name in peek(item, section)}
        for name in sorted(known):
            faults += _ordered(item, name, path, sections)
    return faults


def _type(kind: str, path: str) -> list[FieldError]:
    faults = invalid_all(path, kind, names.is_qualified_name(kind))
    if not faults and "/" not in kind and kind not in _TYPES:
        return [invalid(path, kind, "must be a standard limit type or fully qualified")]
    return faults


def _item_names(item: Object, section: str, kind: str, path: str) -> list[FieldError]:
    check = container_resource_name if kind in ("Pod", "Container") else resource_name_faults
    return [fault for name in peek(item, section) for fault in check(name, f"{path}.{section}[{name}]")]


def _ordered(item: Object, name: str, path: str, sections: tuple[str, ...]) -> list[FieldError]:
    found: dict[str, Quantity] = {}
    for section in (*sections, "maxLimitRequestRatio"):
        parsed = parse_amount(peek(item, section)[name]) if name in peek(item, section) else None
        if parsed is not None:
            found[section] = parsed
    faults: list[FieldError] = []
    for low, high, where, shown, text in (
        ("min", "max", "min", "min", "min value {} is greater than max value {}"),
        ("min", "defaultRequest", "defaultRequest", "defaultRequest",
         "min value {} is greater than default request value {}"),
        ("defaultRequest", "max", "defaultRequest", "defaultRequest",
         "default request value {} is greater than max value {}"),
        ("defaultRequest", "default", "defaultRequest", "defaultRequest",
         "default request value {} is greater than default limit value {}"),
        ("min", "default", "default", "min", "min value {} is greater than default value {}"),
        ("default", "max", "default", "max", "default value {} is greater than max value {}"),
    ):  # fmt: skip
        if low in found and high in found and found[low].amount > found[high].amount:
            given = str(found[shown])
            faults.append(invalid(f"{path}.{where}[{name}]", given, text.format(found[low], found[high])))
    faults += _ratio(found, name, path)
    default, request = found.get("default"), found.get("defaultRequest")
    if default and request and default.amount != request.amount and not overcommits(name):
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        faults.append(invalid(f"{path}.defaultRequest[{name}]", str(request), text))
    return faults


def _ratio(found: dict[str, Quantity], name: str, path: str) -> list[FieldError]:
    ratio, least, most = found.get("maxLimitRequestRatio"), found.get("min"), found.get("max")
    if ratio is None:
        return []
    at = f"{path}.maxLimitRequestRatio[{name}]"
    faults = [] if ratio.amount >= 1 else [invalid(at, str(ratio), f"ratio {ratio} is less than 1")]
    if least is not None and most is not None:
        highest = most.amount / least.amount if least.amount else None
        if highest is not None and ratio.amount > highest:
            text = f"ratio {ratio} is greater than max/min = {float(Fraction(highest)):f}"
            faults.append(invalid(at, str(ratio), text))
    return faults


def validate_limit_range_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a LimitRange."""
    return validate_limit_range(new)
