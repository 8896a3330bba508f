"""Rules of ingresses and ingress classes, and what is said of ingresses that are let through."""

from __future__ import annotations

import ipaddress

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults
from tiphys.apis.core.service_validation import service_name
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import domain_prefixed_path, port_number

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_WRONG_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_WRONG_AT_END = ("/..", "/.")
_CONTROLLER_MAX = 250
_SCOPES = ("Cluster", "Namespace")
_NOT_A_NAME = "must be a DNS name, not an IP address"


def validate_ingress(obj: Object) -> list[FieldError]:
    """Return every fault of a new Ingress."""
    faults = _spec(peek(obj, "spec"))
    named = peek(obj, "metadata", "annotations").get(_CLASS_ANNOTATION)
    chosen = peek(obj, "spec").get("ingressClassName")
    if named is not None and chosen is not None and named != chosen:
        text = "must match `ingressClassName` when both are specified"
        faults.append(invalid(f"annotations.{_CLASS_ANNOTATION}", named, text))
    return faults


def validate_ingress_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an Ingress; old mistakes in secrets' names and wildcards may stay."""
    before = list(each(old, "spec", "tls"))
    tolerated = any(
        names.is_dns1123_subdomain(str(tls["secretName"])) for tls in before if tls.get("secretName")
    )
    wildcards = any("*" in str(rule.get("host")) and _paths(rule, "") for rule in each(old, "spec", "rules"))
    return _spec(peek(new, "spec"), any_secret=tolerated, any_wildcard=wildcards)


def _spec(spec: Object, *, any_secret: bool = False, any_wildcard: bool = False) -> list[FieldError]:
    faults: list[FieldError] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        text = "either `defaultBackend` or `rules` must be specified"
        faults.append(invalid("spec", spec.get("rules"), text))
    if isinstance(spec.get("defaultBackend"), dict):
        faults += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(each(spec, "rules")):
        at, host = f"spec.rules[{index}]", str(rule.get("host") or "")
        faults += _rule_host(host, f"{at}.host")
        if "*" not in host or not any_wildcard:
            faults += _paths(rule, at)
    for index, tls in enumerate(each(spec, "tls")):
        for place, host in enumerate(tls.get("hosts") or ()):
            faults += _host(host, f"spec.tls[{index}].hosts[{place}]")
        secret = tls.get("secretName")
        if secret and not any_secret:
            at = f"spec.tls[{index}].secretName"
            faults += invalid_all(at, secret, names.is_dns1123_subdomain(secret))
    name = spec.get("ingressClassName")
    if name is not None:
        faults += invalid_all("spec.ingressClassName", name, names.is_dns1123_subdomain(name))
    return faults


def _host(host: str, path: str) -> list[FieldError]:
    check = names.is_wildcard_dns1123_subdomain if "*" in host else names.is_dns1123_subdomain
    return invalid_all(path, host, check(host))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _rule_host(host: str, path: str) -> list[FieldError]:
    if not host:
        return []
    faults = [invalid(path, host, _NOT_A_NAME)] if _is_address(host) else []
    return faults + _host(host, path)


def _paths(rule: Object, path: str) -> list[FieldError]:
    if not isinstance(rule.get("http"), dict):
        return []
    paths = list(each(rule, "http", "paths"))
    faults = [] if paths else [required(f"{path}.http.paths")]
    for index, item in enumerate(paths):
        faults += _path(item, f"{path}.http.paths[{index}]")
    return faults


def _path(item: Object, path: str) -> list[FieldError]:
    kind, target, at = item.get("pathType"), item.get("path") or "", f"{path}.path"
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    faults: list[FieldError] = []
    if kind not in _PATH_TYPES:
        faults.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif not target.startswith("/") and (target or kind != "ImplementationSpecific"):
        faults.append(invalid(at, target, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        wrong = [f"must not contain '{part}'" for part in _WRONG_IN_PATH if part in target]
        wrong += [f"cannot end with '{part}'" for part in _WRONG_AT_END if target.endswith(part)]
        faults += invalid_all(at, target, wrong)
    return faults + _backend(peek(item, "backend"), f"{path}.backend")


def _backend(backend: Object, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if isinstance(resource, dict):
        return _reference(resource, f"{path}.resource")
    if not isinstance(service, dict):
        return [invalid(path, "", "resource or service backend is required")]
    faults: list[FieldError] = []
    name = service.get("name") or ""
    if not name:
        faults.append(required(f"{path}.service.name"))
    else:
        faults += invalid_all(f"{path}.service.name", name, service_name(name))
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


def _reference(reference: Object, path: str) -> list[FieldError]:
    group = reference.get("apiGroup")
    faults: list[FieldError] = []
    if group is not None:
        faults += invalid_all(f"{path}.apiGroup", group, names.is_dns1123_subdomain(group))
    for key in ("kind", "name"):
        value = reference.get(key) or ""
        if not value:
            faults.append(required(f"{path}.{key}"))
        else:
            faults += invalid_all(f"{path}.{key}", value, names.is_path_segment_name(value))
    return faults


def validate_ingress_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of where an Ingress is reached."""
    faults: list[FieldError] = []
    for index, entry in enumerate(each(new, "status", "loadBalancer", "ingress")):
        at, address, host = f"status.loadBalancer.ingress[{index}]", entry.get("ip"), entry.get("hostname")
        if address:
            faults += ip_faults(address, f"{at}.ip")
        if host:
            faults += invalid_all(f"{at}.hostname", host, names.is_dns1123_subdomain(host))
            faults += [invalid(f"{at}.hostname", host, _NOT_A_NAME)] if _is_address(host) else []
    return faults


def ingress_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a new Ingress."""
    annotated = _CLASS_ANNOTATION in peek(obj, "metadata", "annotations")
    if old is not None or not annotated or peek(obj, "spec").get("ingressClassName") is not None:
        return []
    return [f"annotation \"{_CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]


def validate_ingress_class(obj: Object) -> list[FieldError]:
    """Return every fault of an IngressClass."""
    spec = peek(obj, "spec")
    controller = spec.get("controller") or ""
    faults = [too_long("spec.controller", _CONTROLLER_MAX)] if len(controller) > _CONTROLLER_MAX else []
    faults += domain_prefixed_path(controller, "spec.controller")
    parameters = spec.get("parameters")
    return faults + (_parameters(parameters, "spec.parameters") if isinstance(parameters, dict) else [])


def _parameters(parameters: Object, path: str) -> list[FieldError]:
    faults = _reference(parameters, path)
    scope, namespace, at = parameters.get("scope"), parameters.get("namespace"), f"{path}.namespace"
    if scope is None:
        faults.append(required(f"{path}.scope"))
    elif scope not in _SCOPES:
        faults.append(not_supported(f"{path}.scope", scope, _SCOPES))
    elif scope == "Cluster" and namespace is not None:
        faults.append(forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    elif scope == "Namespace" and namespace is None:
        faults.append(required(at, "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        faults += invalid_all(at, namespace, names.is_dns1123_label(str(namespace)))
    return faults


def validate_ingress_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing an IngressClass; its controller never changes."""
    now, before = (peek(part, "spec").get("controller") or "" for part in (new, old))
    return immutable("spec.controller", now, before) + validate_ingress_class(new)
