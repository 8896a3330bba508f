"""Checks that several kinds of ``resource.k8s.io`` share: names, tolerations, taints, opaque parameters.

Source: resource.k8s.io/v1.
"""

from __future__ import annotations

import json

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.value_validation import one_of

_POOL_MAX = 253
_ID_MAX = 32
_PARAMETERS_MAX = 10 * 1024
_OPERATORS = ("Equal", "Exists")
_EFFECTS = ("NoExecute", "NoSchedule", "None")


def label_faults(name: str, path: str) -> list[FieldError]:
    """The name of a request, a device or a counter."""
    return invalid_all(path, name, names.is_dns1123_label(name))


def pool_name_faults(name: str, path: str) -> list[FieldError]:
    """The name of a pool: subdomains with slashes between."""
    if not name:
        return [required(path)]
    faults = [too_long(path, _POOL_MAX)] if len(name) > _POOL_MAX else []
    for part in name.split("/"):
        faults += invalid_all(path, part, names.is_dns1123_subdomain(part))
    return faults


def class_name_faults(name: str, path: str) -> list[FieldError]:
    """The device class that a request names."""
    return invalid_all(path, name, names.is_dns1123_subdomain(name)) if name else [required(path)]


def _identifier(name: str, path: str) -> list[FieldError]:
    faults = [too_long(path, _ID_MAX)] if len(name) > _ID_MAX else []
    return faults + invalid_all(path, name, names.is_c_identifier(name))


def qualified_faults(name: str, path: str) -> list[FieldError]:
    """The name of an attribute or a capacity, with a domain or without."""
    domain, slash, own = name.partition("/")
    if not slash:
        return _identifier(name, path)
    if "/" in own:
        return [invalid(path, name, "must not contain more than one slash")]
    faults = driver_name(domain, path) if domain else [invalid(path, "", "the domain must not be empty")]
    return faults + (_identifier(own, path) if own else [invalid(path, "", "the name must not be empty")])


def fully_qualified_faults(name: str, path: str) -> list[FieldError]:
    """The name of an attribute, with its domain."""
    faults = qualified_faults(name, path)
    if "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        faults.append(invalid(path, name, text))
    return faults


def toleration_faults(toleration: Object, path: str) -> list[FieldError]:
    """Return every fault of a toleration of tainted devices."""
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    operator, effect = toleration.get("operator") or "", toleration.get("effect") or ""
    faults = invalid_all(f"{path}.key", key, names.is_qualified_name(key)) if key else []
    if operator == "Exists" and value:
        faults.append(invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        faults += invalid_all(f"{path}.value", value, names.is_label_value(value))
    faults += one_of(operator, f"{path}.operator", _OPERATORS)
    return faults + one_of(effect, f"{path}.effect", _EFFECTS, optional=True)


def taint_faults(taint: Object, path: str, old: Object | None = None) -> list[FieldError]:
    """Return every fault of a device's taint; an effect that stays is not looked at again."""
    key, value = taint.get("key") or "", taint.get("value") or ""
    faults = invalid_all(f"{path}.key", key, names.is_qualified_name(key))
    if value:
        faults += invalid_all(f"{path}.value", value, names.is_label_value(value))
    if old is not None and taint.get("effect") == old.get("effect"):
        return faults
    return faults + one_of(taint.get("effect"), f"{path}.effect", _EFFECTS)


def allocation_mode_faults(request: Object, path: str) -> list[FieldError]:
    """How many devices a request wants."""
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    at = f"{path}.count"
    if mode == "All":
        text = "must not be specified when allocationMode is 'All'"
        return [invalid(at, count, text)] if count else []
    if mode == "ExactCount":
        return [] if count > 0 else [invalid(at, count, "must be greater than zero")]
    return [not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount"))]


def configuration_faults(config: Object, path: str, *, stored: bool = False) -> list[FieldError]:
    """What a driver is to be told, which is the driver's own affair but for its form.

    What was ``stored`` before there was a limit to its length may stay.
    """
    opaque, at = config.get("opaque"), f"{path}.opaque"
    if not isinstance(opaque, dict):
        return [required(at)]
    faults = driver_name(opaque.get("driver") or "", f"{at}.driver")
    parameters, at = opaque.get("parameters"), f"{at}.parameters"
    if parameters is None:
        return [*faults, required(at)]
    size = len(json.dumps(parameters, ensure_ascii=False, separators=(",", ":")).encode())
    if not stored and size > _PARAMETERS_MAX:
        return [*faults, too_long(at, _PARAMETERS_MAX)]
    if not isinstance(parameters, dict):
        faults.append(invalid(at, "<value omitted>", "must be a valid JSON object"))
    return faults
