"""Rules of Services, but for their addresses (``service_addresses``). What is free is the allocator's."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import cidr_faults, ip_faults, read_address, special_ip_faults
from tiphys.apis.core.container_validation import PROTOCOLS
from tiphys.apis.core.service_addresses import is_headless, validate_changed_addresses, validate_cluster_ips
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.meta_validation import validate_labels
from tiphys.apis.value_validation import one_of, port_number, port_number_or_name

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_IP_MODES = ("Proxy", "VIP")
_DAY_S = 86400
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def service_name(name: str) -> list[str]:
    """Return what is wrong with a Service's name."""
    relaxed = on("RelaxedServiceNameValidation")
    return names.is_dns1123_label(name) if relaxed else names.is_dns1035_label(name)


def validate_service(service: Object) -> list[FieldError]:
    """Return every fault of a Service."""
    spec = peek(service, "spec")
    kind = spec.get("type") or ""
    annotations = peek(service, "metadata", "annotations")
    faults = _topology_annotations(annotations)
    if not spec.get("ports") and not is_headless(spec) and kind != "ExternalName":
        faults.append(required("spec.ports"))
    faults += _by_type(spec, kind) + _ports(spec)
    faults += validate_labels(peek(spec, "selector"), "spec.selector")
    faults += one_of(spec.get("sessionAffinity"), "spec.sessionAffinity", ("ClientIP", "None"))
    faults += _affinity_timeout(spec)
    faults += validate_cluster_ips(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{index}]"
        faults += ip_faults(address, path) or special_ip_faults(address, path)
    faults += one_of(spec.get("type"), "spec.type", _TYPES)
    faults += _unique_ports(spec, kind)
    faults += _load_balancer(spec, kind, annotations)
    return faults + _traffic_policies(spec, kind)


def _topology_annotations(annotations: Object) -> list[FieldError]:
    hints, mode = annotations.get(_HINTS), annotations.get(_MODE)
    if hints is None or mode is None or hints == mode:
        return []
    text = f"must match annotations[{_HINTS}] when both are specified"
    return [invalid(f"metadata.annotations[{_MODE}]", mode, text)]


def _by_type(spec: Object, kind: str) -> list[FieldError]:
    if kind in ("NodePort", "LoadBalancer") and is_headless(spec):
        return [invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")]
    if kind != "ExternalName":
        return []
    faults = [
        forbidden(f"spec.{key}", "may not be set for ExternalName services")
        for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(key)
    ]
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*faults, required("spec.externalName")]
    return faults + invalid_all("spec.externalName", name, names.is_dns1123_subdomain(name))


def _ports(spec: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    ports = list(each(spec, "ports"))
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if len(ports) > 1 and not name:
            faults.append(required(f"{path}.name"))
        elif name:
            faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
            if name in seen:
                faults.append(duplicate(f"{path}.name", name))
            seen.add(name)
        faults += port_number(port.get("port"), f"{path}.port")
        faults += one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
        faults += port_number_or_name(port.get("targetPort"), f"{path}.targetPort")
        protocol = port.get("appProtocol")
        if protocol is not None:
            faults += invalid_all(f"{path}.appProtocol", protocol, names.is_qualified_name(protocol))
    return faults


def _unique_ports(spec: Object, kind: str) -> list[FieldError]:
    ports = list(enumerate(each(spec, "ports")))
    text = "may not be used when `type` is 'ClusterIP'"
    faults = [
        forbidden(f"spec.ports[{index}].nodePort", text)
        for index, port in ports
        if kind == "ClusterIP" and port.get("nodePort")
    ]
    seen: set[tuple[Any, Any]] = set()
    for index, port in ports:
        if port.get("nodePort"):
            key = (port.get("protocol"), port["nodePort"])
            if key in seen:
                faults.append(duplicate(f"spec.ports[{index}].nodePort", port["nodePort"]))
            seen.add(key)
    seen = set()
    for index, port in ports:
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {"protocol": key[0], "port": key[1], "targetPort": 0}
            faults.append(duplicate(f"spec.ports[{index}]", inside("ServicePort", shown)))
        seen.add(key)
    return faults


def _affinity_timeout(spec: Object) -> list[FieldError]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        return [forbidden(path, "must not be set when session affinity is None")]
    if affinity != "ClientIP":
        return []
    if config is None:
        return [required(path, "when session affinity type is ClientIP")]
    if config.get("clientIP") is None:
        return [required(f"{path}.clientIP", "when session affinity type is ClientIP")]
    timeout = config["clientIP"].get("timeoutSeconds")
    if timeout is None:
        return [required(f"{path}.clientIP.timeoutSeconds", "when session affinity type is ClientIP")]
    if not 0 < timeout <= _DAY_S:
        text = f"must be greater than 0 and less than {_DAY_S}"
        return [invalid(f"{path}.clientIP.timeoutSeconds", timeout, text)]
    return []


def _load_balancer(spec: Object, kind: str, annotations: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges:
        path = "spec.LoadBalancerSourceRanges"
        if kind != "LoadBalancer":
            faults.append(forbidden(path, _ONLY_BALANCED))
        for index, value in enumerate(ranges):
            faults += cidr_faults(str(value).strip(), f"{path}[{index}]")
    elif _SOURCE_RANGES in annotations:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        if kind != "LoadBalancer":
            faults.append(forbidden(path, _ONLY_BALANCED))
        listed = str(annotations[_SOURCE_RANGES]).strip()
        for value in listed.split(",") if listed else ():
            faults += cidr_faults(value.strip(), path)
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        faults.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED))
    if spec.get("allocateLoadBalancerNodePorts") is None and kind == "LoadBalancer":
        faults.append(required("allocateLoadBalancerNodePorts"))
    return faults + _balancer_class(spec, kind)


def _balancer_class(spec: Object, kind: str) -> list[FieldError]:
    name, path = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if name is None:
        return []
    if kind != "LoadBalancer":
        return [forbidden(path, _ONLY_BALANCED)]
    return invalid_all(path, name, names.is_qualified_name(name))


def has_health_port(spec: Object) -> bool:
    """Load balancers that keep to local endpoints ask nodes whether they have any."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _traffic_policies(spec: Object, kind: str) -> list[FieldError]:
    faults: list[FieldError] = []
    external, path = spec.get("externalTrafficPolicy"), "spec.externalTrafficPolicy"
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        faults += one_of(external, path, _POLICIES)
    elif external:
        faults.append(invalid(path, external, "may only be set for externally-accessible services"))
    check, path = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if not has_health_port(spec):
        if check:
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            faults.append(invalid(path, check, text))
    elif not check:
        faults.append(required(path))
    else:
        faults += port_number(check, path)
    internal, path = spec.get("internalTrafficPolicy"), "spec.internalTrafficPolicy"
    if internal is None and kind in ("ClusterIP", "LoadBalancer", "NodePort"):
        faults.append(required(path))
    elif internal is not None and internal not in _POLICIES:
        faults.append(not_supported(path, internal, _POLICIES))
    wanted = spec.get("trafficDistribution")
    if wanted is not None and wanted not in _DISTRIBUTIONS:
        faults.append(not_supported("spec.trafficDistribution", wanted, _DISTRIBUTIONS))
    return faults


def validate_service_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Service: what was allocated stays while it is needed."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_changed_addresses(spec, before)
    if spec.get("type") == before.get("type") == "LoadBalancer" and spec.get(
        "loadBalancerClass"
    ) != before.get("loadBalancerClass"):
        text = "may not change once set"
        faults.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), text))
    # As upstream does, the rules of the class are told here and among all others.
    faults += _balancer_class(spec, spec.get("type") or "")
    checked = has_health_port(spec) and has_health_port(before)
    if checked and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        faults.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return faults + validate_service(new)


def validate_service_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of writing a Service's status."""
    balanced = peek(new, "spec").get("type") == "LoadBalancer"
    path = "status.loadBalancer.ingress"
    listed = list(each(new, "status", "loadBalancer", "ingress"))
    if listed and not balanced:
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    faults: list[FieldError] = []
    for index, ingress in enumerate(listed):
        faults += _ingress(ingress, f"{path}[{index}]")
    return faults


def _ingress(ingress: Object, path: str) -> list[FieldError]:
    address, mode, host = ingress.get("ip") or "", ingress.get("ipMode"), ingress.get("hostname") or ""
    faults = ip_faults(address, f"{path}.ip") if address else []
    at = f"{path}.ipMode"
    if mode is None:
        if address:
            faults.append(required(at, "must be specified when `ip` is set"))
    elif not address:
        faults.append(forbidden(at, "may not be specified when `ip` is not set"))
    elif mode not in _IP_MODES:
        faults.append(not_supported(at, mode, _IP_MODES))
    if not host:
        return faults
    faults += invalid_all(f"{path}.hostname", host, names.is_dns1123_subdomain(host))
    if read_address(host)[0] is None:
        return faults
    return [*faults, invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")]
