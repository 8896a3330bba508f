"""Rules of compute resources: names, amounts, and requests within limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery import names, quantity
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_found,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import NOT_INTEGER, NOT_NEGATIVE

_NATIVE_PREFIX = "kubernetes.io/"
_HUGE_PAGES = "hugepages-"
_ANY_HUGE_PAGES = (_HUGE_PAGES, "requests.hugepages-")
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = _CONTAINER | {
    "storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.loadbalancers", "services.nodeports",
    "requests.storage",
}  # fmt: skip


_COUNTS = frozenset(
    {
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip


def is_extended(name: str) -> bool:
    """Whether a resource is a vendor's own: a domain outside kubernetes.io, and no quota's prefix."""
    if "/" not in name or _NATIVE_PREFIX in name or name.startswith("requests."):
        return False
    return not names.is_qualified_name(f"requests.{name}")


def overcommits(name: str) -> bool:
    """Whether more of a resource may be given out than there is."""
    return ("/" not in name or _NATIVE_PREFIX in name) and not name.startswith(_HUGE_PAGES)


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
    # Asking for numerators is several times as fast as comparing fractions.
    faults = [invalid(path, str(value), NOT_NEGATIVE)] if parsed.amount.numerator < 0 else []
    whole = parsed.amount.denominator == 1 or parsed.milli() % 1000 == 0
    if not whole and (name in _COUNTS or is_extended(name)):
        faults.append(invalid(path, str(value), NOT_INTEGER))
    return faults


def resource_name_faults(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with a resource's name anywhere."""
    faults = invalid_all(path, name, names.is_qualified_name(name))
    if faults:
        return faults
    if "/" not in name and name not in _STANDARD and not name.startswith(_ANY_HUGE_PAGES):
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


def validate_resources(
    resources: Object, path: str, check_name: Callable[[str, str], list[FieldError]] = container_resource_name
) -> list[FieldError]:
    """Return every fault of requests and limits, of a container unless ``check_name`` is another's."""
    limits, requests = peek(resources, "limits"), peek(resources, "requests")
    faults: list[FieldError] = []
    for name, value in limits.items():
        at = f"{path}.limits[{name}]"
        faults += check_name(name, at) + quantity_faults(name, value, at) + _pages(name, value, at)
    for name, value in requests.items():
        at = f"{path}.requests[{name}]"
        faults += check_name(name, at) + quantity_faults(name, value, at)
        faults += _within_limit(name, value, limits, path) + _pages(name, value, at)
    asked = {*limits, *requests}
    if any(name.startswith(_HUGE_PAGES) for name in asked) and not asked & {"cpu", "memory"}:
        faults.append(forbidden(path, "HugePages require cpu or memory"))
    return faults


def _pages(name: str, value: Any, path: str) -> list[FieldError]:
    """Huge pages come whole."""
    if not name.startswith(_HUGE_PAGES):
        return []
    size, wanted = parse_amount(name.removeprefix(_HUGE_PAGES)), parse_amount(value)
    if wanted is None or (size is not None and size.amount > 0 and wanted.amount % size.amount == 0):
        return []
    return [invalid(path, str(value), f"{value} is not positive integer multiple of {name}")]


def validate_claim_names(resources: Object, known: frozenset[str], path: str) -> list[FieldError]:
    """Return every fault of the devices that a container uses; ``known`` are the pod's claims."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    requested: set[str] = set()
    for index, claim in enumerate(each(resources, "claims")):
        at, name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            faults.append(required(at))
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            faults.append(duplicate(at, name))
        elif request:
            faults += invalid_all(f"{at}.request", request, names.is_dns1123_label(request))
        if name not in seen and (key in seen or (not request and name in requested)):
            faults.append(duplicate(at, key))
        seen.add(key)
        if request:
            requested.add(name)
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            text = f"must be one of the names in pod.spec.resourceClaims{listed}"
            faults.append(not_found(at, name, text))
    return faults


def _pod_resource_name(name: str, path: str) -> list[FieldError]:
    faults = resource_name_faults(name, path)
    if not faults and name not in ("cpu", "memory") and not name.startswith(_HUGE_PAGES):
        return [not_supported(path, name, ("cpu", _HUGE_PAGES, "memory"))]
    return faults


def validate_pod_resources(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of what a pod asks for as a whole."""
    whole = spec.get("resources")
    if not isinstance(whole, dict):
        return []
    if peek(spec, "os").get("name") == "windows":
        return [forbidden(path, "may not be set for a windows pod")]
    faults: list[FieldError] = []
    if whole.get("claims") is not None:
        text = "claims may not be set for Resources at pod-level"
        faults.append(forbidden(f"{path}.claims", text))
    faults += validate_resources(whole, path, _pod_resource_name)
    known = frozenset(str(claim["name"]) for claim in each(spec, "resourceClaims") if claim.get("name"))
    faults += validate_claim_names(whole, known, f"{path}.claims")
    limits = peek(whole, "limits")
    faults += _enough(spec, "requests", peek(whole, "requests"), path)
    faults += _enough(spec, "limits", {k: v for k, v in limits.items() if k.startswith(_HUGE_PAGES)}, path)
    for index, container in enumerate(each(spec, "containers")):
        for name, value in peek(container, "resources", "limits").items():
            own, most = parse_amount(value), parse_amount(limits.get(name)) if name in limits else None
            if own is not None and most is not None and own.amount > most.amount:
                at = f"{path}.containers[{index}][{name}].limits"
                text = f"must be less than or equal to pod limits of {limits[name]}"
                faults.append(invalid(at, str(value), text))
    return faults


def _enough(spec: Object, kind: str, given: Object, path: str) -> list[FieldError]:
    """Of what the pod as a whole is given, its containers may not ask for more."""
    faults: list[FieldError] = []
    for name, asked in aggregate_requests(spec, kind).items():
        parsed = parse_amount(given[name]) if name in given else None
        if parsed is not None and asked.amount > parsed.amount:
            text = f"must be greater than or equal to aggregate container {kind} of {asked}"
            faults.append(invalid(f"{path}.{kind}[{name}]", str(given[name]), text))
    return faults


def _within_limit(name: str, value: Any, limits: Object, path: str) -> list[FieldError]:
    if name not in limits:
        if overcommits(name):
            return []
        return [required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    asked, limit = parse_amount(value), parse_amount(limits[name])
    if asked is None or limit is None:
        return []
    if not overcommits(name):
        if asked.amount == limit.amount:
            return []
        return [invalid(f"{path}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")]
    if asked.amount <= limit.amount:
        return []
    text = f"must be less than or equal to {name} limit of {limits[name]}"
    return [invalid(f"{path}.requests", str(value), text)]
