"""Rules of ResourceSlices: whose devices they are, where, and what each device says of itself.

Source: resource.k8s.io/v1 ResourceSlice.
"""

from __future__ import annotations

import re

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    immutable,
    invalid,
    invalid_all,
    required,
    too_long,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.affinity_validation import node_selector
from tiphys.apis.core.volume_sources import driver_name
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside, inside_all
from tiphys.apis.resource.capacity_validation import (
    binding_faults,
    capacity_faults,
    consumption_faults,
    counter_set_faults,
    mapping_faults,
)
from tiphys.apis.resource.device_values import (
    label_faults,
    pool_name_faults,
    qualified_faults,
    taint_faults,
)

_MOST_DEVICES, _MOST_RICH_DEVICES = 128, 64
_MOST_ATTRIBUTES = 32
_MOST_ATTRIBUTE_VALUES = 48
_MOST_TAINTS = 16
_MAX_VALUE = 64
_MAX_SHOWN = 63 + len("/") + 32
_WHERE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_WHERE_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is "
    "set to true in the ResourceSlice spec"
)
_NOT_PER_DEVICE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in "
    "the ResourceSlice spec"
)
_LISTS = ("bools", "ints", "strings", "versions")
_VALUES = ("bool", "int", "string", "version", *_LISTS)
_NUMBER, _WORD = r"(0|[1-9]\d*)", r"[0-9a-zA-Z-]+"
_BEFORE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_BEFORE}(\.{_BEFORE})*)?(\+{_WORD}(\.{_WORD})*)?", re.ASCII
)


def validate_slice(obj: Object) -> list[FieldError]:
    """Return every fault of a ResourceSlice."""
    return _spec_faults(peek(obj, "spec"), None)


def validate_slice_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ResourceSlice, which stays with its driver, pool and node."""
    return _spec_faults(peek(new, "spec"), peek(old, "spec"))


def slice_warnings(obj: Object, _old: Object | None) -> list[str]:
    """Return what to tell of a ResourceSlice: names of drivers are compared as they are written."""
    driver = peek(obj, "spec").get("driver") or ""
    if driver == driver.lower():
        return []
    return [f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters']


def _spec_faults(spec: Object, old: Object | None) -> list[FieldError]:
    pool = peek(spec, "pool")
    faults = driver_name(spec.get("driver") or "", "spec.driver") + _pool(pool, "spec.pool")
    if old is not None:
        faults += immutable("spec.pool.name", pool.get("name"), peek(old, "pool").get("name"))
        faults += immutable("spec.driver", spec.get("driver"), old.get("driver"))
        faults += immutable("spec.nodeName", spec.get("nodeName"), old.get("nodeName"))
    faults += _placement(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        faults.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    return faults + _devices(spec, old or {}) + counter_set_faults(spec, "spec.sharedCounters")


def _pool(pool: Object, path: str) -> list[FieldError]:
    faults = pool_name_faults(pool.get("name") or "", f"{path}.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        faults.append(invalid(f"{path}.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        faults.append(invalid(f"{path}.generation", generation, "must be greater than or equal to zero"))
    return faults


def _node_name(name: str | None, path: str, empty: str) -> list[FieldError]:
    if name is None:
        return []
    return invalid_all(path, name, names.is_dns1123_subdomain(name)) if name else [invalid(path, name, empty)]


def _only_true(obj: Object, key: str, path: str) -> list[FieldError]:
    unset_or_true = obj.get(key) is not False
    return [] if unset_or_true else [invalid(f"{path}.{key}", False, "must be either unset or set to true")]


def _set_fields(obj: Object, *keys: str) -> list[str]:
    return [f"`{key}`" for key in keys if obj.get(key) or isinstance(obj.get(key), dict)]


def _placement(spec: Object) -> list[FieldError]:
    text = "must be either unset or set to a non-empty string"
    faults = _node_name(spec.get("nodeName"), "spec.nodeName", text)
    selector = spec.get("nodeSelector")
    if isinstance(selector, dict):
        terms = selector.get("nodeSelectorTerms")
        faults += node_selector(selector, "spec.nodeSelector")
        if len(terms or ()) != 1:
            text = "must have exactly one node selector term"
            at = "spec.nodeSelector.nodeSelectorTerms"
            faults.append(invalid(at, inside_all("NodeSelectorTerm", terms), text))
    faults += _only_true(spec, "allNodes", "spec") + _only_true(spec, "perDeviceNodeSelection", "spec")
    given = _set_fields(spec, "nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
    if not given:
        faults.append(required("spec", _WHERE))
    elif len(given) > 1:
        shown = f"{{{', '.join(given)}}}"
        faults.append(invalid("spec", shown, f"{_WHERE}, but multiple fields are set"))
    return faults


def _body(device: Object) -> Object:
    """What a device says of itself, which v1beta1 has a level deeper."""
    return peek(device, "basic") if isinstance(device.get("basic"), dict) else device


def _is_rich(device: Object) -> bool:
    if device.get("taints") or device.get("consumesCounters"):
        return True
    return any(value.get(key) is not None for value in peek(device, "attributes").values() for key in _LISTS)


def _devices(spec: Object, old: Object) -> list[FieldError]:
    devices, path = list(each(spec, "devices")), "spec.devices"
    most = _MOST_RICH_DEVICES if any(_is_rich(_body(one)) for one in devices) else _MOST_DEVICES
    if len(devices) > most:
        return [too_many(path, len(devices), most)]
    before = {one.get("name"): _body(one) for one in each(old, "devices")}
    faults: list[FieldError] = []
    for index, device in enumerate(devices):
        name, at, own = device.get("name") or "", f"{path}[{index}]", _body(device)
        faults += label_faults(name, f"{at}.name")
        faults += _device(own, before.get(name) or {}, at)
        faults += _device_placement(own, at, chosen=bool(spec.get("perDeviceNodeSelection")))
        faults += binding_faults(own, at)
        faults += mapping_faults(own, f"{at}.nodeAllocatableResourceMappings")
    seen: set[str] = set()
    for index, device in enumerate(devices):
        name = device.get("name") or ""
        if name in seen:
            faults.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
    return faults


def _device(device: Object, old: Object, path: str) -> list[FieldError]:
    attributes, capacity = peek(device, "attributes"), peek(device, "capacity")
    faults: list[FieldError] = []
    if len(attributes) + len(capacity) > _MOST_ATTRIBUTES:
        text = f"the total number of attributes and capacities must not exceed {_MOST_ATTRIBUTES}"
        faults.append(invalid(path, len(attributes) + len(capacity), text))
    values = sum(map(_value_count, attributes.values()))
    if values > _MOST_ATTRIBUTE_VALUES:
        text = f"the total number of attribute values must not exceed {_MOST_ATTRIBUTE_VALUES}"
        faults.append(invalid(path, values, text))
    for name, value in attributes.items():
        faults += qualified_faults(name, f"{path}.attributes")
        faults += _attribute(value, f"{path}.attributes[{_shortened(name)}]")
    for name, value in capacity.items() if capacity != peek(old, "capacity") else ():
        faults += qualified_faults(name, f"{path}.capacity")
        shared = bool(device.get("allowMultipleAllocations"))
        faults += capacity_faults(value, f"{path}.capacity[{_shortened(name)}]", shared=shared)
    if device.get("taints") != old.get("taints"):
        faults += _taints(list(each(device, "taints")), f"{path}.taints")
    return faults + consumption_faults(device, f"{path}.consumesCounters")


def _value_count(attribute: Object) -> int:
    return sum(len(attribute.get(key) or ()) for key in _LISTS) or 1


def _shortened(name: str) -> str:
    """The name of an attribute or a capacity as paths show it: one that is too long loses its middle."""
    if len(name) <= _MAX_SHOWN:
        return name
    rest = _MAX_SHOWN - len("...")
    return f"{name[: (rest + 1) // 2]}...{name[-(rest // 2) :]}"


def _taints(taints: list[Object], path: str) -> list[FieldError]:
    if len(taints) > _MOST_TAINTS:
        return [too_many(path, len(taints), _MOST_TAINTS)]
    return [fault for index, taint in enumerate(taints) for fault in taint_faults(taint, f"{path}[{index}]")]


def _attribute(value: Object, path: str) -> list[FieldError]:
    given = [key for key in _VALUES if value.get(key) is not None]
    faults: list[FieldError] = []
    for key in given:
        at = f"{path}.{key}"
        if key in _LISTS and not value[key]:
            faults.append(invalid(at, value[key], "must not be empty if specified"))
        items = [(at, value[key])]
        if key in _LISTS:
            items = [(f"{at}[{index}]", item) for index, item in enumerate(value[key])]
        for where, item in items:
            faults += (
                _text(item, where, is_version=key.startswith("version")) if isinstance(item, str) else []
            )
    if len(given) != 1:
        shown = inside("DeviceAttribute", value) if given else ""
        faults.append(invalid(path, shown, "exactly one value must be specified"))
    return faults


def _text(value: str, path: str, *, is_version: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    if is_version and not _SEMVER.fullmatch(value):
        faults.append(invalid(path, value, "must be a string compatible with semver.org spec 2.0.0"))
    return faults + ([too_long(path, _MAX_VALUE)] if len(value.encode()) > _MAX_VALUE else [])


def _device_placement(device: Object, path: str, *, chosen: bool) -> list[FieldError]:
    keys = ("nodeName", "nodeSelector", "allNodes")
    if not chosen:
        misplaced = any(device.get(key) is not None for key in keys)
        return [invalid(path, None, _NOT_PER_DEVICE)] if misplaced else []
    faults = _node_name(device.get("nodeName"), f"{path}.nodeName", "must not be empty")
    if isinstance(device.get("nodeSelector"), dict):
        faults += node_selector(device["nodeSelector"], f"{path}.nodeSelector")
    faults += _only_true(device, "allNodes", path)
    given = _set_fields(device, *keys)
    if not given:
        faults.append(required(path, _WHERE_DEVICE))
    elif len(given) > 1:
        faults.append(invalid(path, f"{{{', '.join(given)}}}", _WHERE_DEVICE))
    return faults
