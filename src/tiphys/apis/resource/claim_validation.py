"""Rules of ResourceClaims, their templates and DeviceClasses.

Paths are those of ``v1`` whatever version was sent, as the API has it.
Source: resource.k8s.io/v1 DeviceClaim and DeviceClass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, required, too_many
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.resource_validation import is_extended
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import immutable_inside
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.resource.device_values import (
    allocation_mode_faults,
    class_name_faults,
    configuration_faults,
    fully_qualified_faults,
    label_faults,
    toleration_faults,
)
from tiphys.apis.resource.selectors import selector_faults

_MOST = 32
"""Requests, constraints and configurations of a claim."""
_MOST_ALTERNATIVES = 8
_FLAT = ("deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations")
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_NO_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
_ONE_ATTRIBUTE = (
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
)
Names = Mapping[str, frozenset[str]]
Check = Callable[[Any, str], list[FieldError]]


def validate_claim(claim: Object) -> list[FieldError]:
    """Return every fault of a ResourceClaim."""
    return claim_spec_faults(peek(claim, "spec"), "spec")


def validate_claim_template(template: Object) -> list[FieldError]:
    """Return every fault of a ResourceClaimTemplate."""
    meta, at = peek(template, "spec", "metadata"), "spec.metadata"
    faults = validate_annotations(peek(meta, "annotations"), f"{at}.annotations")
    faults += validate_labels(peek(meta, "labels"), f"{at}.labels")
    return faults + claim_spec_faults(peek(template, "spec", "spec"), "spec.spec")


def same_spec(new: Object, old: Object) -> list[FieldError]:
    """What was asked for never changes."""
    type_ = "ResourceClaimTemplateSpec" if "spec" in peek(new, "spec") else "ResourceClaimSpec"
    return immutable_inside("spec", type_, _deep(new), _deep(old))


def _deep(claim: Object) -> Object:
    """Return a spec in the form of ``v1``, where what a request wants exactly is a level deeper."""
    spec: Object = copy_object(peek(claim, "spec"))
    for request in each(spec if "devices" in spec else peek(spec, "spec"), "devices", "requests"):
        flat = {key: request.pop(key) for key in (*_FLAT, "capacity") if key in request}
        if flat:
            request["exactly"] = flat
    return spec


def claim_spec_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of what a claim asks for."""
    devices, at = peek(spec, "devices"), f"{path}.devices"
    known = request_names(devices)
    faults = _set_of(list(each(devices, "requests")), f"{at}.requests", _MOST, _request, _own_name)
    faults += _list_of(
        list(each(devices, "constraints")),
        f"{at}.constraints",
        lambda one, where: _constraint(one, known, where),
    )
    return faults + _list_of(
        list(each(devices, "config")),
        f"{at}.config",
        lambda one, where: references_faults(one, known, where) + configuration_faults(one, where),
    )


def _own_name(request: Object) -> str:
    return str(request.get("name") or "")


def request_names(devices: Object) -> Names:
    """Return the names of a claim's requests, each with those of its alternatives."""
    return {
        _own_name(request): frozenset(map(_own_name, each(request, "firstAvailable")))
        for request in each(devices, "requests")
    }


def _list_of(items: Sequence[Any], path: str, check: Check, most: int = _MOST) -> list[FieldError]:
    """Too many items are not looked at one by one."""
    if len(items) > most:
        return [too_many(path, len(items), most)]
    return [fault for index, item in enumerate(items) for fault in check(item, f"{path}[{index}]")]


def _set_of(
    items: Sequence[Any], path: str, most: int, check: Check, key: Callable[[Any], str]
) -> list[FieldError]:
    faults = _list_of(items, path, check, most)
    if len(items) > most:
        return faults
    seen: set[str] = set()
    for index, item in enumerate(items):
        if key(item) in seen:
            faults.append(duplicate(f"{path}[{index}]", key(item)))
        seen.add(key(item))
    return faults


def _request(request: Object, path: str) -> list[FieldError]:
    faults = label_faults(_own_name(request), f"{path}.name")
    exact = request.get("exactly")
    if not isinstance(exact, dict) and any(request.get(key) for key in _FLAT):
        exact = request  # the flat form of v1beta1
    alternatives = list(each(request, "firstAvailable"))
    if isinstance(exact, dict) and alternatives:
        return [*faults, invalid(path, None, f"{_ONE_KIND}, but multiple fields are set")]
    if alternatives:
        at = f"{path}.firstAvailable"
        return faults + _set_of(alternatives, at, _MOST_ALTERNATIVES, _alternative, _own_name)
    if isinstance(exact, dict):
        return faults + _wanted(exact, f"{path}.exactly")
    return [*faults, required(path, _ONE_KIND)]


def _alternative(request: Object, path: str) -> list[FieldError]:
    return label_faults(_own_name(request), f"{path}.name") + _wanted(request, path)


def _wanted(request: Object, path: str) -> list[FieldError]:
    faults = class_name_faults(request.get("deviceClassName") or "", f"{path}.deviceClassName")
    faults += selector_faults(request, f"{path}.selectors")
    faults += allocation_mode_faults(request, path)
    for index, toleration in enumerate(each(request, "tolerations")):
        faults += toleration_faults(toleration, f"{path}.tolerations[{index}]")
    return faults


def _constraint(constraint: Object, known: Names, path: str) -> list[FieldError]:
    faults = references_faults(constraint, known, path)
    for key in ("matchAttribute", "distinctAttribute"):
        if constraint.get(key) is not None:
            return faults + fully_qualified_faults(constraint[key], f"{path}.{key}")
    return [*faults, required(path, _ONE_ATTRIBUTE)]


def references_faults(obj: Object, known: Names, path: str) -> list[FieldError]:
    """Return every fault of the requests that a part of a claim names."""
    names = list(obj.get("requests") or ())
    return _set_of(names, f"{path}.requests", _MOST, lambda name, at: _reference(name, known, at), str)


def _reference(name: str, known: Names, path: str) -> list[FieldError]:
    request, *rest = name.split("/")
    if len(rest) > 1:
        return [invalid(path, name, _NO_REQUEST)]
    faults = [fault for part in (request, *rest) for fault in label_faults(part, path)]
    if request not in known or (rest and rest[0] not in known[request]):
        faults.append(invalid(path, name, _NO_REQUEST))
    return faults


def validate_device_class(obj: Object) -> list[FieldError]:
    """Return every fault of a DeviceClass."""
    return _class_faults(peek(obj, "spec"), {})


def validate_device_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a DeviceClass; selectors that stay are not compiled again."""
    return _class_faults(peek(new, "spec"), peek(old, "spec"))


def _class_faults(spec: Object, old: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    if not old or spec.get("selectors") != old.get("selectors"):
        faults += selector_faults(spec, "spec.selectors")
    stored = bool(old) and spec.get("config") == old.get("config")
    faults += _list_of(
        list(each(spec, "config")),
        "spec.config",
        lambda one, where: configuration_faults(one, where, stored=stored),
    )
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        faults.append(invalid("spec.extendedResourceName", name, "must be a valid extended resource name"))
    return faults
