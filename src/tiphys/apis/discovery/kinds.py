"""Defaults, rules and strategies of the ``discovery.k8s.io`` group."""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    immutable,
    invalid,
    invalid_all,
    required,
    too_many,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill_optional
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import one_of

_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20000


def default_endpoint_slice(obj: Object) -> None:
    """Ports are unnamed TCP ports unless they say otherwise; both lists are always shown."""
    for port in each(obj, "ports"):
        fill_optional(port, "name", "")
        fill_optional(port, "protocol", "TCP")
    obj.setdefault("endpoints", None)
    obj.setdefault("ports", None)


def _address(value: str, kind: str, path: str) -> list[FieldError]:
    if kind == "FQDN":
        return invalid_all(path, value, names.is_dns1123_subdomain(value))
    version = 4 if kind == "IPv4" else 6
    try:
        fits = ipaddress.ip_address(value).version == version
    except ValueError:
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        return [invalid(path, value, text)]
    return [] if fits else [invalid(path, value, f"must be an {kind} address")]


def validate_endpoint_slice(obj: Object) -> list[FieldError]:
    """Return every fault of an EndpointSlice."""
    kind = obj.get("addressType") or ""
    faults = one_of(kind, "addressType", ("FQDN", "IPv4", "IPv6"))
    endpoints = list(each(obj, "endpoints"))
    if len(endpoints) > _MAX_ENDPOINTS:
        faults.append(too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
        return faults
    for index, endpoint in enumerate(endpoints):
        path = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            faults.append(required(path, "must contain at least 1 address"))
        elif len(addresses) > _MAX_ADDRESSES:
            faults.append(too_many(path, len(addresses), _MAX_ADDRESSES))
        for place, address in enumerate(addresses):
            faults += _address(str(address), kind, f"{path}[{place}]")
    return faults + _ports(obj)


def _ports(obj: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    ports = list(each(obj, "ports"))
    if len(ports) > _MAX_PORTS:
        return [too_many("ports", len(ports), _MAX_PORTS)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
        faults += one_of(port.get("protocol"), f"{path}.protocol", ("SCTP", "TCP", "UDP"))
    return faults


def validate_endpoint_slice_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an EndpointSlice; the kind of its addresses never changes."""
    faults = validate_endpoint_slice(new)
    return faults + immutable("addressType", new.get("addressType"), old.get("addressType"))


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("discovery.k8s.io", "v1", "EndpointSlice"),
        default=default_endpoint_slice,
        validate=validate_endpoint_slice,
        validate_update=validate_endpoint_slice_update,
        has_generation=True,
    ),
)
