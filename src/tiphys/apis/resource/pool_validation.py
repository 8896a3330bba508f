"""Rules of DeviceTaintRules and ResourcePoolStatusRequests: what they are about, and what is reported of it.

Rules of the second kind are those that upstream generates; what is written by hand is of its status alone.
Source: resource.k8s.io/v1beta2 DeviceTaintRule, v1alpha3 ResourcePoolStatusRequest.
"""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    Struct,
    invalid,
    invalid_all,
    required,
    too_long,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.defaulting import each, fill_optional, peek, section
from tiphys.apis.inside import immutable_inside
from tiphys.apis.resource.device_values import label_faults, pool_name_faults, taint_faults
from tiphys.apis.value_validation import conditions

_MOST_CONDITIONS = 8
_MOST_POOLS = 1000
_COUNTS = ("totalDevices", "allocatedDevices", "availableDevices", "unavailableDevices")
_MOST_ANSWERS = 10
_POOLS_UNLESS_TOLD = 100
_POOL_NAME_MAX = 253
_ERROR_MAX = 256


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


def default_pool_request(request: Object) -> None:
    """Some pools are reported unless more, or fewer, are asked for."""
    fill_optional(section(request, "spec"), "limit", _POOLS_UNLESS_TOLD)


def validate_pool_request(request: Object) -> list[FieldError]:
    """Return every fault of a ResourcePoolStatusRequest."""
    spec = peek(request, "spec")
    faults = _driver(spec, "spec.driver")
    if spec.get("poolName") is not None:
        faults += _pool_name(spec["poolName"], "spec.poolName")
    limit, at = spec.get("limit"), "spec.limit"
    if limit is None:
        return [*faults, required(at)]
    if limit > _MOST_POOLS:
        faults.append(invalid(at, limit, f"must be less than or equal to {_MOST_POOLS}"))
    return faults + _at_least(spec, "spec", "limit", 1)


def _driver(obj: Object, path: str) -> list[FieldError]:
    name = obj.get("driver") or ""
    if not name:
        return [required(path)]
    return invalid_all(path, name, names.is_dns1123_subdomain_caseless(name))


def _pool_name(name: str, path: str) -> list[FieldError]:
    """Subdomains with slashes between; what is wrong is told of which."""
    faults = [too_long(path, _POOL_NAME_MAX)] if len(name) > _POOL_NAME_MAX else []
    for index, part in enumerate(name.split("/")):
        texts = names.is_dns1123_subdomain(part) if part else ["must not be empty"]
        shown = part or name
        faults += invalid_all(path, shown, [f"segment {index}: {text}" for text in texts])
    return faults


def validate_pool_request_update(new: Object, old: Object) -> list[FieldError]:
    """What was asked for never changes. The rule is a generated one: it shows what was sent."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    given = {key: spec[key] for key in ("poolName", "limit") if spec.get(key) is not None}
    shown = Struct(driver=spec.get("driver") or "", **given)
    return [] if spec == before else [invalid("spec", shown, IMMUTABLE)]


def validate_pool_request_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of answering a request, which is done once."""
    status, before = peek(new, "status"), peek(old, "status")
    if before:
        return immutable_inside("status", "ResourcePoolStatusRequestStatus", status or None, before)
    if not status:
        return []
    faults = conditions(status, "status.conditions")
    if status.get("poolCount") is None:
        faults.append(required("status.poolCount"))
    faults += _at_least(status, "status", "poolCount", 0)
    faults += _counted(status, "pools", _MOST_POOLS)
    if len(status.get("pools") or ()) <= _MOST_POOLS:
        for index, pool in enumerate(each(status, "pools")):
            faults += _pool(pool, f"status.pools[{index}]")
    return faults + _counted(status, "conditions", _MOST_ANSWERS)


def _counted(status: Object, key: str, most: int) -> list[FieldError]:
    count = len(status.get(key) or ())
    return [too_many(f"status.{key}", count, most)] if count > most else []


def _at_least(obj: Object, path: str, key: str, least: int) -> list[FieldError]:
    value = obj.get(key)
    if value is None or value >= least:
        return []
    return [invalid(f"{path}.{key}", value, f"must be greater than or equal to {least}")]


def _pool(pool: Object, path: str) -> list[FieldError]:
    faults, name = _driver(pool, f"{path}.driver"), pool.get("poolName") or ""
    faults += _pool_name(name, f"{path}.poolName") if name else [required(f"{path}.poolName")]
    if pool.get("generation") is None:
        faults.append(required(f"{path}.generation"))
    faults += _at_least(pool, path, "generation", 0)
    faults += _at_least(pool, path, "resourceSliceCount", 1)
    for key in _COUNTS:
        faults += _at_least(pool, path, key, 0)
    node, error = pool.get("nodeName"), pool.get("validationError") or ""
    if node is not None:
        faults += invalid_all(f"{path}.nodeName", node, names.is_dns1123_subdomain(node))
    if len(error.encode()) > _ERROR_MAX:
        faults.append(too_long(f"{path}.validationError", _ERROR_MAX))
    return faults
