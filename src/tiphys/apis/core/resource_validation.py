"""Rules of compute resources: names, amounts, and requests within limits."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import names, quantity
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import NOT_INTEGER, NOT_NEGATIVE

_NATIVE_PREFIX = "kubernetes.io/"
_HUGE_PAGES = "hugepages-"
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = _CONTAINER | {
    "storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.loadbalancers", "services.nodeports",
    "requests.storage",
}  # fmt: skip


def is_extended(name: str) -> bool:
    """Whether a resource is a vendor's own: a domain outside kubernetes.io, and no quota's prefix."""
    if "/" not in name or _NATIVE_PREFIX in name or name.startswith("requests."):
        return False
    return not names.is_qualified_name(f"requests.{name}")


def _overcommits(name: str) -> bool:
    return not is_extended(name) and not name.startswith(_HUGE_PAGES)


def parse_amount(value: Any) -> quantity.Quantity | None:
    """Read a quantity; None where it is none (the decoder has complained already)."""
    try:
        return quantity.parse(str(value))
    except ValueError:
        return None


def quantity_faults(name: str, value: Any, path: str) -> list[FieldError]:
    """An amount is not negative, and whole for what only comes in pieces."""
    parsed = parse_amount(value)
    if parsed is None:
        return [invalid(path, value, quantity.FORMAT_TEXT)]
    if parsed.amount < 0:
        return [invalid(path, str(value), NOT_NEGATIVE)]
    whole_only = is_extended(name) or name in ("pods", "services", "secrets", "configmaps")
    if whole_only and parsed.amount.denominator != 1:
        return [invalid(path, str(value), NOT_INTEGER)]
    return []


def resource_name_faults(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with a resource's name anywhere."""
    faults = invalid_all(path, name, names.is_qualified_name(name))
    if faults:
        return faults
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        return [invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def container_resource_name(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with the name of a resource that a container asks for."""
    faults = resource_name_faults(name, path)
    if "/" not in name:
        if name not in _CONTAINER and not name.startswith(_HUGE_PAGES):
            faults.append(invalid(path, name, "must be a standard resource for containers"))
    elif _NATIVE_PREFIX not in name and not is_extended(name):
        faults.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return faults


def validate_resources(resources: Object, path: str) -> list[FieldError]:
    """Return every fault of a container's requests and limits."""
    limits, requests = peek(resources, "limits"), peek(resources, "requests")
    faults: list[FieldError] = []
    for name, value in limits.items():
        at = f"{path}.limits[{name}]"
        faults += container_resource_name(name, at) + quantity_faults(name, value, at)
    for name, value in requests.items():
        at = f"{path}.requests[{name}]"
        faults += container_resource_name(name, at) + quantity_faults(name, value, at)
        faults += _within_limit(name, value, limits, path)
    return faults


def _within_limit(name: str, value: Any, limits: Object, path: str) -> list[FieldError]:
    if name not in limits:
        if _overcommits(name):
            return []
        return [required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    asked, limit = parse_amount(value), parse_amount(limits[name])
    if asked is None or limit is None:
        return []
    if not _overcommits(name):
        if asked.amount == limit.amount:
            return []
        return [invalid(f"{path}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")]
    if asked.amount <= limit.amount:
        return []
    text = f"must be less than or equal to {name} limit of {limits[name]}"
    return [invalid(f"{path}.requests", str(value), text)]
