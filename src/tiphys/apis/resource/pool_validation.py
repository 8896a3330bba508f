"""Rules of DeviceTaintRules and ResourcePoolStatusRequests: what they are about, and what is reported of it.

Source: resource.k8s.io/v1beta2 DeviceTaintRule, v1alpha3 ResourcePoolStatusRequest.
"""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import immutable, invalid, invalid_all, required, too_many
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import immutable_inside
from tiphys.apis.resource.device_values import label_faults, pool_name_faults, taint_faults
from tiphys.apis.value_validation import conditions

_MOST_CONDITIONS = 8
_MOST_POOLS = 1000
_COUNTS = ("totalDevices", "allocatedDevices", "availableDevices", "unavailableDevices")
_NEGATIVE = "must be non-negative"


def validate_taint_rule(rule: Object) -> list[FieldError]:
    """Return every fault of a DeviceTaintRule."""
    return _rule(peek(rule, "spec"), None)


def validate_taint_rule_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a DeviceTaintRule."""
    return _rule(peek(new, "spec"), peek(old, "spec", "taint"))


def _rule(spec: Object, old_taint: Object | None) -> list[FieldError]:
    chosen, path = peek(spec, "deviceSelector"), "spec.deviceSelector"
    faults: list[FieldError] = []
    if chosen.get("driver") is not None:
        faults += driver_name(chosen["driver"], f"{path}.driver")
    if chosen.get("pool") is not None:
        faults += pool_name_faults(chosen["pool"], f"{path}.pool")
    if chosen.get("device") is not None:
        faults += label_faults(chosen["device"], f"{path}.device")
    return faults + taint_faults(peek(spec, "taint"), "spec.taint", old_taint)


def validate_taint_rule_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of writing a DeviceTaintRule's status."""
    status, path = peek(new, "status"), "status.conditions"
    faults, count = conditions(status, path), len(status.get("conditions") or ())
    return faults + ([too_many(path, count, _MOST_CONDITIONS)] if count > _MOST_CONDITIONS else [])


def validate_pool_request(request: Object) -> list[FieldError]:
    """Return every fault of a ResourcePoolStatusRequest."""
    spec = peek(request, "spec")
    driver, pool, limit = spec.get("driver") or "", spec.get("poolName") or "", spec.get("limit")
    faults = (
        driver_name(driver, "spec.driver") if driver else [required("spec.driver", "driver name is required")]
    )
    faults += pool_name_faults(pool, "spec.poolName") if pool else []
    if limit is not None and limit < 1:
        faults.append(invalid("spec.limit", limit, "must be at least 1"))
    if limit is not None and limit > _MOST_POOLS:
        faults.append(invalid("spec.limit", limit, f"must not exceed {_MOST_POOLS}"))
    return faults


def validate_pool_request_update(new: Object, old: Object) -> list[FieldError]:
    """What was asked for never changes."""
    return immutable_inside("spec", "ResourcePoolStatusRequestSpec", peek(new, "spec"), peek(old, "spec"))


def validate_pool_request_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of answering a request, which is done once."""
    status, before = peek(new, "status"), peek(old, "status")
    if before.get("observationTime") is not None:
        return immutable("status", status, before)
    faults: list[FieldError] = []
    for index, pool in enumerate(each(status, "pools")):
        faults += _pool(pool, f"status.pools[{index}]")
    faults += conditions(status, "status.conditions")
    return faults + _not_negative(status, "status", "totalMatchingPools")


def _not_negative(obj: Object, path: str, key: str) -> list[FieldError]:
    value = obj.get(key) or 0
    return [invalid(f"{path}.{key}", value, _NEGATIVE)] if value < 0 else []


def _pool(pool: Object, path: str) -> list[FieldError]:
    driver, name, node = (pool.get(key) or "" for key in ("driver", "poolName", "nodeName"))
    faults = driver_name(driver, f"{path}.driver")
    faults += pool_name_faults(name, f"{path}.poolName")
    if node:
        faults += invalid_all(f"{path}.nodeName", node, names.is_dns1123_subdomain(node))
    for key in _COUNTS:
        faults += _not_negative(pool, path, key)
    slices = pool.get("sliceCount") or 0
    if slices < 1:
        faults.append(invalid(f"{path}.sliceCount", slices, "must be at least 1"))
    return faults + _not_negative(pool, path, "generation")
