"""Defaults and strategies of the ``resource.k8s.io`` group, in the shape of ``v1`` and of ``v1beta1``."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill, fill_optional, peek, section, show
from tiphys.apis.resource import pool_validation
from tiphys.apis.resource.claim_validation import (
    same_spec,
    validate_claim,
    validate_claim_template,
    validate_device_class,
    validate_device_class_update,
)
from tiphys.apis.resource.slice_validation import slice_warnings, validate_slice, validate_slice_update
from tiphys.apis.resource.status_validation import drop_deallocated, validate_claim_status
from tiphys.apis.strategy import Strategy

_GROUP = "resource.k8s.io"


def _exact_requests(spec: Object) -> Iterator[Object]:
    for request in each(spec, "devices", "requests"):
        exactly = request.get("exactly")
        if isinstance(exactly, dict):
            yield exactly
        elif request.get("deviceClassName"):
            yield request
        yield from each(request, "firstAvailable")


def default_claim_spec(spec: Object) -> None:
    """One device is asked for unless a request says otherwise."""
    show(section(spec, "devices"), "requests")
    for request in _exact_requests(spec):
        fill(request, "allocationMode", "ExactCount")
        if request["allocationMode"] == "ExactCount":
            fill(request, "count", 1)
        _default_tolerations(request)


def _default_tolerations(holder: Object) -> None:
    for toleration in each(holder, "tolerations"):
        fill(toleration, "operator", "Equal")


def default_claim(obj: Object) -> None:
    """Complete a ResourceClaim, and what its status says of the devices that it got."""
    default_claim_spec(section(obj, "spec"))
    for result in each(obj, "status", "allocation", "devices", "results"):
        _default_tolerations(result)
    for device in each(obj, "status", "devices"):
        show(device, "conditions")


def default_claim_template(obj: Object) -> None:
    """Complete a ResourceClaimTemplate."""
    spec = section(obj, "spec")
    section(spec, "metadata")
    default_claim_spec(section(spec, "spec"))


def without_status(obj: Object) -> None:
    """Nothing is known of a new object: a claim is not allocated, a rule not in force."""
    obj["status"] = {}


def unanswered(obj: Object) -> None:
    """A new request has no status at all."""
    obj.pop("status", None)


def default_slice(obj: Object) -> None:
    """Pools begin with generation 0, and what a device takes of its node counts once."""
    spec = section(obj, "spec")
    section(spec, "pool").setdefault("generation", 0)
    for device in _bodies(spec):
        for mapping in peek(device, "nodeAllocatableResourceMappings").values():
            fill_optional(mapping, "allocationMultiplier", "1")
        for capacity in peek(device, "capacity").values():
            if isinstance(capacity, dict) and isinstance(capacity.get("requestPolicy"), dict):
                show(capacity["requestPolicy"], "default")


def _bodies(spec: Object) -> Iterator[Object]:
    """What devices say of themselves, which v1beta1 has a level deeper."""
    for device in each(spec, "devices"):
        yield device["basic"] if isinstance(device.get("basic"), dict) else device


def default_device_class(obj: Object) -> None:
    """A class always shows its spec."""
    section(obj, "spec")


def _of_version(version: str) -> Iterator[Strategy]:
    yield Strategy(
        GVK(_GROUP, version, "ResourceClaim"),
        default=default_claim,
        prepare_create=without_status,
        validate=validate_claim,
        validate_update=same_spec,
        prepare_status_update=drop_deallocated,
        validate_status_update=validate_claim_status,
    )
    yield Strategy(
        GVK(_GROUP, version, "ResourceClaimTemplate"),
        default=default_claim_template,
        validate=validate_claim_template,
        validate_update=same_spec,
    )
    yield Strategy(
        GVK(_GROUP, version, "ResourceSlice"),
        default=default_slice,
        validate=validate_slice,
        validate_update=validate_slice_update,
        warnings=slice_warnings,
        has_generation=True,
        counts_dropped=True,
    )
    yield Strategy(
        GVK(_GROUP, version, "DeviceClass"),
        default=default_device_class,
        validate=validate_device_class,
        validate_update=validate_device_class_update,
        has_generation=True,
    )


STRATEGIES: tuple[Strategy, ...] = (
    *_of_version("v1"),
    *_of_version("v1beta2"),
    *_of_version("v1beta1"),
    Strategy(
        GVK(_GROUP, "v1beta2", "DeviceTaintRule"),
        prepare_create=without_status,
        validate=pool_validation.validate_taint_rule,
        validate_update=pool_validation.validate_taint_rule_update,
        validate_status_update=pool_validation.validate_taint_rule_status,
        has_generation=True,
    ),
    Strategy(
        GVK(_GROUP, "v1alpha3", "ResourcePoolStatusRequest"),
        default=pool_validation.default_pool_request,
        prepare_create=unanswered,
        validate=pool_validation.validate_pool_request,
        validate_update=pool_validation.validate_pool_request_update,
        validate_status_update=pool_validation.validate_pool_request_status,
        unconditional_update=False,
    ),
)
