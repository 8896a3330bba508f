"""Rules of ingresses, ingress classes and network policies."""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, immutable, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import cidr_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import label_selector, one_of, port_number, port_number_or_name

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_WRONG_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")


def validate_ingress(obj: Object) -> list[FieldError]:
    """Return every fault of an Ingress."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        text = "either `defaultBackend` or `rules` must be specified"
        faults.append(invalid("spec", spec.get("rules") or [], text))
    for index, rule in enumerate(each(spec, "rules")):
        faults += _rule(rule, f"spec.rules[{index}]")
    if isinstance(spec.get("defaultBackend"), dict):
        faults += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, tls in enumerate(each(spec, "tls")):
        for place, host in enumerate(tls.get("hosts") or ()):
            faults += _host(host, f"spec.tls[{index}].hosts[{place}]")
    name = spec.get("ingressClassName")
    if name is not None:
        faults += invalid_all("spec.ingressClassName", name, names.is_dns1123_subdomain(name))
    return faults


def _host(host: str, path: str) -> list[FieldError]:
    check = names.is_wildcard_dns1123_subdomain if "*" in host else names.is_dns1123_subdomain
    return invalid_all(path, host, check(host))


def _rule(rule: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    host = rule.get("host") or ""
    if host:
        faults += _host(host, f"{path}.host")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            faults.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
    if not isinstance(rule.get("http"), dict):
        return faults
    paths = list(each(rule, "http", "paths"))
    if not paths:
        faults.append(required(f"{path}.http.paths"))
    for index, item in enumerate(paths):
        faults += _path(item, f"{path}.http.paths[{index}]")
    return faults


def _path(item: Object, path: str) -> list[FieldError]:
    kind, target = item.get("pathType"), item.get("path") or ""
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    faults: list[FieldError] = []
    if kind in ("Exact", "Prefix"):
        if not target.startswith("/"):
            faults.append(invalid(f"{path}.path", target, "must be an absolute path"))
        if target:
            faults += [
                invalid(f"{path}.path", target, f"must not contain '{part}'")
                for part in _WRONG_IN_PATH
                if part in target
            ]
    elif kind == "ImplementationSpecific":
        if target and not target.startswith("/"):
            faults.append(invalid(f"{path}.path", target, "must be an absolute path"))
    else:
        faults += one_of(kind, f"{path}.pathType", _PATH_TYPES)
    return faults + _backend(peek(item, "backend"), f"{path}.backend")


def _backend(backend: Object, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [required(f"{path}.resource.{key}") for key in ("kind", "name") if not resource.get(key)]
    if not isinstance(service, dict):
        return [
            required(f"{path}.service.name"),
            required(f"{path}.service.port", "port name or number is required"),
        ]
    faults: list[FieldError] = []
    name = service.get("name") or ""
    if not name:
        faults.append(required(f"{path}.service.name"))
    else:
        faults += invalid_all(f"{path}.service.name", name, names.is_dns1035_label(name))
    port = peek(service, "port")
    if port.get("name") and port.get("number"):
        faults.append(invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        faults += invalid_all(f"{path}.service.port.name", port["name"], names.is_port_name(port["name"]))
    elif port.get("number"):
        faults += port_number(port["number"], f"{path}.service.port.number")
    else:
        faults.append(required(path, "port name or number is required"))
    return faults


def validate_ingress_class(obj: Object) -> list[FieldError]:
    """Return every fault of an IngressClass."""
    controller = peek(obj, "spec").get("controller") or ""
    if not controller:
        return [required("spec.controller")]
    return invalid_all("spec.controller", controller, names.is_domain_prefixed_path(controller))


def validate_ingress_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an IngressClass; its controller never changes."""
    now, before = (peek(part, "spec").get("controller") for part in (new, old))
    return validate_ingress_class(new) + immutable("spec.controller", now, before)


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
    for index, kind in enumerate(types):
        faults += one_of(kind, f"spec.policyTypes[{index}]", ("Egress", "Ingress"))
    return faults


def _policy_port(port: Object, path: str) -> list[FieldError]:
    faults = one_of(port.get("protocol"), f"{path}.protocol", ("SCTP", "TCP", "UDP"), optional=True)
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        faults += port_number_or_name(number, f"{path}.port")
        if isinstance(number, str) and end is not None:
            text = "may not be specified when `port` is non-numeric"
            faults.append(invalid(f"{path}.endPort", end, text))
        elif end is not None and end < number:
            text = f"must be greater than or equal to `port`: {number}"
            faults.append(invalid(f"{path}.endPort", end, text))
    elif end is not None:
        faults.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
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
    if faults:
        return faults
    whole = ipaddress.ip_network(cidr, strict=False)
    for index, text in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        wrong = cidr_faults(text, at)
        faults += wrong
        if wrong:
            continue
        part = ipaddress.ip_network(text, strict=False)
        inside = part.version == whole.version and part.subnet_of(whole) and part != whole  # type: ignore[arg-type]
        if not inside:
            faults.append(invalid(at, text, f'must be a strict subset of `cidr`: "{cidr}"'))
    return faults
