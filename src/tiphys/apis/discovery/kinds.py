"""Defaults, rules and strategies of the ``discovery.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_many,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.core.address_warnings import ip_warnings
from tiphys.apis.core.addresses import IP_TEXT, is_plain_address, read_address, special_ip_faults
from tiphys.apis.defaulting import each, fill_optional, peek, section
from tiphys.apis.meta_validation import validate_labels
from tiphys.apis.ratchet import kept_addresses
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import one_of

_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20000
_MAX_TOPOLOGY = 16
_HINTS = {"forZones": 8, "forNodes": 8}
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TOPOLOGY, _HOST = "deprecatedTopology", "kubernetes.io/hostname"
_OURS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
"""Controllers that put addresses right by themselves."""


def default_endpoint_slice(obj: Object) -> None:
    """Ports are unnamed TCP ports unless they say otherwise; conditions and both lists are always shown."""
    for port in each(obj, "ports"):
        fill_optional(port, "name", "")
        fill_optional(port, "protocol", "TCP")
    for endpoint in each(obj, "endpoints"):
        section(endpoint, "conditions")
    obj.setdefault("endpoints", None)
    obj.setdefault("ports", None)


def prepare_endpoint_slice(obj: Object) -> None:
    """Where endpoints are is no longer told in free form."""
    for endpoint in each(obj, "endpoints"):
        endpoint.pop(_TOPOLOGY, None)


def prepare_endpoint_slice_update(new: Object, old: Object) -> None:
    """A free form goes when endpoints change; the name of a node that stood in it stays. Labels count too."""
    meta, before = peek(new, "metadata"), peek(old, "metadata")
    if (meta.get("labels") or {}) != (before.get("labels") or {}):
        section(new, "metadata")["generation"] = int(before.get("generation") or 0) + 1
    if new.get("endpoints") == old.get("endpoints"):
        return
    known = {peek(endpoint, _TOPOLOGY).get(_HOST) for endpoint in each(old, "endpoints")}
    for endpoint in each(new, "endpoints"):
        node = str(peek(endpoint, _TOPOLOGY).get(_HOST) or "")
        nameless = endpoint.get("nodeName") is None
        if nameless and node and node in known and not names.is_dns1123_subdomain(node):
            endpoint["nodeName"] = node
        endpoint.pop(_TOPOLOGY, None)


def _address(value: str, kind: str, path: str) -> list[FieldError]:
    if kind == "FQDN":
        return _domain(value, path)
    if kind not in ("IPv4", "IPv6"):
        return []
    if kind == "IPv4" and is_plain_address(value):
        return special_ip_faults(value, path)
    parsed, ambiguous = read_address(value)
    if parsed is None:
        return [invalid(path, value, IP_TEXT)]
    wrong = [invalid(path, value, ambiguous)] if ambiguous else []
    if kind != f"IPv{parsed.version}":
        wrong.append(invalid(path, value, f"must be an {kind} address"))
    return wrong + special_ip_faults(value, path)


def _domain(value: str, path: str) -> list[FieldError]:
    """A domain of at least two labels; it may end in a dot."""
    if not value:
        return [required(path)]
    name = value.removesuffix(".")
    texts = names.is_dns1123_subdomain(name)
    if texts:
        return [invalid(path, name, ",".join(texts))]
    if "." not in name:
        text = "should be a domain with at least two segments separated by dots"
        return [invalid(path, name, text)]
    for label in name.split("."):
        texts = names.is_dns1123_label(label)
        if texts:
            return [invalid(path, label, ",".join(texts))]
    return []


def validate_endpoint_slice(obj: Object) -> list[FieldError]:
    """Return every fault of an EndpointSlice."""
    kind = obj.get("addressType") or ""
    faults = one_of(kind, "addressType", ("FQDN", "IPv4", "IPv6"))
    endpoints = list(each(obj, "endpoints"))
    if len(endpoints) > _MAX_ENDPOINTS:
        faults.append(too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
        return faults + _ports(obj)
    for index, endpoint in enumerate(endpoints):
        faults += _endpoint(endpoint, kind, f"endpoints[{index}]")
    return faults + _ports(obj)


def _endpoint(endpoint: Object, kind: str, path: str) -> list[FieldError]:
    addresses, at = endpoint.get("addresses") or [], f"{path}.addresses"
    faults: list[FieldError] = []
    if not addresses:
        faults.append(required(at, "must contain at least 1 address"))
    elif len(addresses) > _MAX_ADDRESSES:
        faults.append(too_many(at, len(addresses), _MAX_ADDRESSES))
    for place, address in enumerate(addresses):
        faults += _address(str(address), kind, f"{at}[{place}]")
    node, host, topology = (
        endpoint.get("nodeName"),
        endpoint.get("hostname"),
        peek(endpoint, "deprecatedTopology"),
    )
    if node is not None:
        faults += invalid_all(f"{path}.nodeName", node, names.is_dns1123_subdomain(node))
    if len(topology) > _MAX_TOPOLOGY:
        faults.append(too_many(f"{path}.deprecatedTopology", len(topology), _MAX_TOPOLOGY))
    faults += validate_labels(topology, f"{path}.deprecatedTopology")
    if host is not None:
        faults += invalid_all(f"{path}.hostname", host, names.is_dns1123_label(host))
    for key, most in _HINTS.items():
        faults += _hints(list(each(endpoint, "hints", key)), most, f"{path}.hints.{key}")
    return faults


def _hints(hints: list[Object], most: int, path: str) -> list[FieldError]:
    if len(hints) > most:
        return [too_many(path, len(hints), most)]
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        at, name = f"{path}[{index}].name", str(hint.get("name") or "")
        if name in seen:
            faults.append(duplicate(at, name))
        seen.add(name)
        check = names.is_label_value if path.endswith("forZones") else names.is_dns1123_subdomain
        faults += invalid_all(at, name, check(name))
    return faults


def _ports(obj: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    ports = list(each(obj, "ports"))
    if len(ports) > _MAX_PORTS:
        return [too_many("ports", len(ports), _MAX_PORTS)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name, protocol = f"ports[{index}]", port.get("name") or "", port.get("protocol")
        if name:
            faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
        if protocol is None:
            faults.append(required(f"{path}.protocol"))
        elif protocol not in _PROTOCOLS:
            faults.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
        app = port.get("appProtocol")
        if app is not None:
            faults += invalid_all(f"{path}.appProtocol", app, names.is_qualified_name(app))
    return faults


def endpoint_slice_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about an EndpointSlice. The first path is spelled as the API spells it."""
    if obj.get("addressType") == "FQDN":
        return [] if old else ["spec.addressType: FQDN endpoints are deprecated"]
    if peek(obj, "metadata", "labels").get("endpointslice.kubernetes.io/managed-by") in _OURS:
        return []
    return [
        text
        for index, endpoint in enumerate(each(obj, "endpoints"))
        for place, address in enumerate(endpoint.get("addresses") or ())
        for text in ip_warnings(f"endpoints[{index}].addresses[{place}]", str(address))
    ]


_kept_addresses = kept_addresses(validate_endpoint_slice, "endpoints")


def validate_endpoint_slice_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an EndpointSlice; the kind of its addresses never changes."""
    faults = _kept_addresses(new, old)
    return faults + immutable("addressType", new.get("addressType"), old.get("addressType"))


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("discovery.k8s.io", "v1", "EndpointSlice"),
        default=default_endpoint_slice,
        prepare_create=prepare_endpoint_slice,
        prepare_update=prepare_endpoint_slice_update,
        validate=validate_endpoint_slice,
        validate_update=validate_endpoint_slice_update,
        warnings=endpoint_slice_warnings,
        has_generation=True,
        counts_dropped=True,
    ),
)
