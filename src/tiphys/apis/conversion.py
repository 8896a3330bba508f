"""Between the versions of a built-in kind: one object in, the same object as another version says it.

Most versions share their shape and differ in ``apiVersion`` alone. The exceptions stand in ``_CONVERTERS``,
a function for each direction. Objects given are never changed; parts that stay the same are shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.meta import GVK, Object, gvk_of
from tiphys.apis.apiextensions.legacy_form import definition_from_v1beta1
from tiphys.apis.hpa_conversion import hpa_from_v1, hpa_to_v1

Converter = Callable[[Object], Object]


def convert(obj: Object, to: GVK) -> Object:
    """Return the object at another version of its kind; the object itself where it is there already."""
    have = gvk_of(obj)
    if have == to:
        return obj
    result = dict(obj)
    for steps in (_TO_HUB.get(have), _FROM_HUB.get(to)):
        if steps is not None:
            result = steps(result)
    return {**result, "kind": to.kind, "apiVersion": to.api_version}


_EVENT_NAMES = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def _renamer(names: dict[str, str]) -> Converter:
    def rename(obj: Object) -> Object:
        return {names.get(key, key): value for key, value in obj.items()}

    return rename


_event_to_core = _renamer({new: core for core, new in _EVENT_NAMES})
_event_from_core = _renamer(dict(_EVENT_NAMES))

_EXACT_FIELDS = (
    "deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity",
)  # fmt: skip


def _request_to_hub(request: dict[str, Any]) -> dict[str, Any]:
    """v1beta1 has the fields of an exact request inline, later versions under ``exactly``."""
    exact = {key: request[key] for key in _EXACT_FIELDS if key in request}
    rest = {key: value for key, value in request.items() if key not in exact}
    return {**rest, "exactly": exact} if exact else rest


def _request_from_hub(request: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in request.items() if key != "exactly"}
    return {**rest, **request.get("exactly", {})}


def _device_to_hub(device: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in device.items() if key != "basic"}
    return {**rest, **(device.get("basic") or {})}


def _device_from_hub(device: dict[str, Any]) -> dict[str, Any]:
    basic = {key: value for key, value in device.items() if key != "name"}
    return {"name": device.get("name", ""), "basic": basic}


def _at(path: tuple[str, ...], change: Callable[[dict[str, Any]], dict[str, Any]]) -> Converter:
    """Return a converter that changes every item of the list at a path and shares the rest."""

    def apply(value: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        key = path[depth]
        child = value.get(key)
        if not child:
            return value
        if depth == len(path) - 1:
            return {**value, key: [change(item) for item in child]}
        return {**value, key: apply(child, depth + 1)}

    return apply


_CLAIM = ("spec", "devices", "requests")
_TEMPLATE = ("spec", "spec", "devices", "requests")
_SLICE = ("spec", "devices")

_DRA = "resource.k8s.io"
_TO_HUB: dict[GVK, Converter] = {
    GVK("autoscaling", "v1", "HorizontalPodAutoscaler"): hpa_from_v1,
    GVK("events.k8s.io", "v1", "Event"): _event_to_core,
    GVK("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition"): definition_from_v1beta1,
    GVK(_DRA, "v1beta1", "ResourceClaim"): _at(_CLAIM, _request_to_hub),
    GVK(_DRA, "v1beta1", "ResourceClaimTemplate"): _at(_TEMPLATE, _request_to_hub),
    GVK(_DRA, "v1beta1", "ResourceSlice"): _at(_SLICE, _device_to_hub),
}
"""From the version that differs to the shape that all others share."""

_FROM_HUB: dict[GVK, Converter] = {
    GVK("autoscaling", "v1", "HorizontalPodAutoscaler"): hpa_to_v1,
    GVK("events.k8s.io", "v1", "Event"): _event_from_core,
    GVK(_DRA, "v1beta1", "ResourceClaim"): _at(_CLAIM, _request_from_hub),
    GVK(_DRA, "v1beta1", "ResourceClaimTemplate"): _at(_TEMPLATE, _request_from_hub),
    GVK(_DRA, "v1beta1", "ResourceSlice"): _at(_SLICE, _device_from_hub),
}
