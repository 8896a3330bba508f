"""Rules of network policies, and what is said of those that are let through."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.address_warnings import cidr_warnings
from tiphys.apis.core.addresses import Network, cidr_faults, read_cidr
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import label_selector, port_number, port_number_or_name

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")


def validate_network_policy(obj: Object) -> list[FieldError]:
    """Return every fault of a NetworkPolicy."""
    spec = peek(obj, "spec")
    faults = label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(each(spec, direction)):
            path = f"spec.{direction}[{index}]"
            for place, port in enumerate(each(rule, "ports")):
                faults += _policy_port(port, f"{path}.ports[{place}]")
            for place, peer in enumerate(each(rule, peers)):
                faults += _peer(peer, f"{path}.{peers}[{place}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        faults.append(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return faults
    return faults + [
        not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)
        for index, kind in enumerate(types)
        if kind not in _TYPES
    ]


def validate_network_policy_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a NetworkPolicy: as upstream does, each is told twice."""
    return validate_network_policy(new) * 2


def _policy_port(port: Object, path: str) -> list[FieldError]:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    faults: list[FieldError] = []
    if protocol is not None and protocol not in _PROTOCOLS:
        faults.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    at = f"{path}.endPort"
    if number is None:
        text = "may not be specified when `port` is not specified"
        return faults if end is None else [*faults, invalid(at, end, text)]
    if isinstance(number, str):
        if end is not None:
            faults.append(invalid(at, end, "may not be specified when `port` is non-numeric"))
        return faults + port_number_or_name(number, f"{path}.port")
    faults += port_number(number, f"{path}.port")
    if end is not None:
        if end < number:
            faults.append(invalid(at, number, "must be greater than or equal to `port`"))
        faults += port_number(end, at)
    return faults


def _peer(peer: Object, path: str) -> list[FieldError]:
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    faults: list[FieldError] = []
    for key in selectors:
        faults += label_selector(peer[key], f"{path}.{key}")
    block = peer.get("ipBlock")
    if isinstance(block, dict):
        faults += _ip_block(block, f"{path}.ipBlock")
        if selectors:
            text = "may not specify both ipBlock and another peer"
            faults.append(forbidden(path, text))
    elif not selectors:
        faults.append(required(path, "must specify a peer"))
    return faults


def _ip_block(block: Object, path: str) -> list[FieldError]:
    cidr = block.get("cidr") or ""
    if not cidr:
        return [required(f"{path}.cidr")]
    faults = cidr_faults(cidr, f"{path}.cidr")
    excepted = block.get("except") or ()
    whole = read_cidr(str(cidr))[0] if excepted else None
    if whole is None:
        return faults
    for index, text in enumerate(excepted):
        at = f"{path}.except[{index}]"
        faults += cidr_faults(text, at)
        part, _ = read_cidr(str(text))
        if part is not None and not _strictly_inside(part, whole):
            faults.append(invalid(at, text, "must be a strict subset of `cidr`"))
    return faults


def _strictly_inside(part: Network, whole: Network) -> bool:
    inside = part.version == whole.version and part.network_address in whole
    return inside and part.prefixlen > whole.prefixlen


def network_policy_warnings(policy: Object, _old: Object | None) -> list[str]:
    """Return the warnings about ranges that are not written as they should be."""
    found: list[str] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(each(policy, "spec", direction)):
            for place, peer in enumerate(each(rule, peers)):
                at, block = f"spec.{direction}[{index}].{peers}[{place}].ipBlock", peek(peer, "ipBlock")
                if block.get("cidr"):
                    found += cidr_warnings(f"{at}.cidr", block["cidr"])
                for number, text in enumerate(block.get("except") or ()):
                    found += cidr_warnings(f"{at}.except[{number}]", text)
    return found
