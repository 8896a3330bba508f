"""Rules of Services and Endpoints. Which addresses and node ports are free is the allocator's."""

from __future__ import annotations

import ipaddress
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.container_validation import PROTOCOLS
from tiphys.apis.core.pod_validation import IP_TEXT
from tiphys.apis.defaulting import each, peek
from tiphys.apis.meta_validation import validate_labels
from tiphys.apis.value_validation import one_of, port_number, port_number_or_name

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DAY_S = 86400


def ip_faults(value: Any, path: str) -> list[FieldError]:
    """A valid IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return [invalid(path, value, IP_TEXT)]
    return []


def cidr_faults(value: Any, path: str) -> list[FieldError]:
    """A valid address range."""
    try:
        ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [invalid(path, value, text)]
    if "/" not in str(value):
        text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [invalid(path, value, text)]
    return []


def validate_service(service: Object) -> list[FieldError]:
    """Return every fault of a Service."""
    spec = peek(service, "spec")
    kind = spec.get("type") or ""
    faults = _ports_given(spec, kind) + _by_type(spec, kind)
    faults += _ports(spec, kind)
    faults += validate_labels(peek(spec, "selector"), "spec.selector")
    faults += one_of(spec.get("sessionAffinity"), "spec.sessionAffinity", ("ClientIP", "None"))
    faults += _affinity_timeout(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{index}]"
        faults += ip_faults(address, path) or _external_ip(address, path)
    faults += one_of(spec.get("type"), "spec.type", _TYPES)
    faults += _unique_ports(spec)
    faults += _load_balancer(spec, kind)
    return faults + _traffic_policies(spec, kind)


def _ports_given(spec: Object, kind: str) -> list[FieldError]:
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        return [required("spec.ports")]
    return []


def _by_type(spec: Object, kind: str) -> list[FieldError]:
    cluster_ip = spec.get("clusterIP")
    faults: list[FieldError] = []
    if kind == "LoadBalancer":
        for index, port in enumerate(each(spec, "ports")):
            faults += port_number(port.get("port"), f"spec.ports[{index}].port")
    if kind in ("NodePort", "LoadBalancer") and cluster_ip == "None":
        text = f"may not be set to 'None' for {kind} services"
        faults.append(invalid("spec.clusterIPs[0]", cluster_ip, text))
    if kind == "ExternalName":
        if cluster_ip:
            text = "may not be set for ExternalName services"
            faults.append(forbidden("spec.clusterIPs", text))
        name = (spec.get("externalName") or "").removesuffix(".")
        if name:
            faults += invalid_all("spec.externalName", name, names.is_dns1123_subdomain(name))
        else:
            faults.append(required("spec.externalName"))
    elif cluster_ip and cluster_ip != "None":
        faults += ip_faults(cluster_ip, "spec.clusterIPs[0]")
    return faults


def _ports(spec: Object, kind: str) -> list[FieldError]:
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
        if kind == "ClusterIP" and port.get("nodePort"):
            text = "may not be used when `type` is 'ClusterIP'"
            faults.append(forbidden(f"{path}.nodePort", text))
    return faults


def _unique_ports(spec: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    node_ports: set[tuple[Any, Any]] = set()
    ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(each(spec, "ports")):
        path = f"spec.ports[{index}]"
        node = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort"):
            if node in node_ports:
                faults.append(duplicate(f"{path}.nodePort", port["nodePort"]))
            node_ports.add(node)
        key = (port.get("protocol"), port.get("port"))
        if key in ports:
            faults.append(duplicate(path, {"protocol": key[0], "port": key[1]}))
        ports.add(key)
    return faults


def _affinity_timeout(spec: Object) -> list[FieldError]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    if affinity == "None" and config is not None:
        text = "must not be set when session affinity is None"
        return [forbidden("spec.sessionAffinityConfig", text)]
    if affinity != "ClientIP":
        return []
    path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    timeout = peek(spec, "sessionAffinityConfig", "clientIP").get("timeoutSeconds")
    if timeout is None:
        return [required(path)]
    if not 0 < timeout <= _DAY_S:
        return [invalid(path, timeout, f"must be greater than 0 and less than {_DAY_S}")]
    return []


def _external_ip(address: str, path: str) -> list[FieldError]:
    parsed = ipaddress.ip_address(address)
    for wrong, text in (
        (parsed.is_unspecified, f"may not be unspecified ({parsed})"),
        (parsed.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (parsed.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (parsed.is_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ):
        if wrong:
            return [invalid(path, address, text)]
    return []


def _load_balancer(spec: Object, kind: str) -> list[FieldError]:
    faults: list[FieldError] = []
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and kind != "LoadBalancer":
        text = "may only be used when `type` is 'LoadBalancer'"
        faults.append(forbidden("spec.loadBalancerSourceRanges", text))
    for index, value in enumerate(ranges):
        faults += cidr_faults(value, f"spec.loadBalancerSourceRanges[{index}]")
    for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(key) is not None and kind != "LoadBalancer":
            text = "may only be used when `type` is 'LoadBalancer'"
            faults.append(forbidden(f"spec.{key}", text))
    return faults


def _traffic_policies(spec: Object, kind: str) -> list[FieldError]:
    faults: list[FieldError] = []
    external = spec.get("externalTrafficPolicy")
    exposed = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if external:
        if not exposed:
            text = "may only be set for externally-accessible services"
            faults.append(invalid("spec.externalTrafficPolicy", external, text))
        faults += one_of(external, "spec.externalTrafficPolicy", _POLICIES)
    elif kind in ("NodePort", "LoadBalancer"):
        faults.append(required("spec.externalTrafficPolicy"))
    check = spec.get("healthCheckNodePort")
    if check and not (kind == "LoadBalancer" and external == "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        faults.append(invalid("spec.healthCheckNodePort", check, text))
    internal = spec.get("internalTrafficPolicy")
    if kind != "ExternalName":
        faults += one_of(internal, "spec.internalTrafficPolicy", _POLICIES)
    return faults


def validate_service_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Service: what was allocated stays while it is needed."""
    faults = validate_service(new)
    spec, before = peek(new, "spec"), peek(old, "spec")
    if "ExternalName" not in (spec.get("type"), before.get("type")):
        now = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        earlier = before.get("clusterIPs") or ([before["clusterIP"]] if before.get("clusterIP") else [])
        if now and earlier and now[0] != earlier[0]:
            faults.append(invalid("spec.clusterIPs[0]", now, "may not change once set"))
    node = before.get("healthCheckNodePort")
    if node and spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local":
        same_type = spec.get("type") == before.get("type") == "LoadBalancer"
        if same_type and spec.get("healthCheckNodePort") not in (None, 0, node):
            faults.append(
                invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], "field is immutable")
            )
    if spec.get("type") == before.get("type") == "LoadBalancer" and spec.get(
        "loadBalancerClass"
    ) != before.get("loadBalancerClass"):
        text = "may not change once set"
        faults.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), text))
    return faults


def prepare_service_update(new: Object, old: Object) -> None:
    """Addresses and ports that a client left out of an update are kept."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        for key in ("clusterIP", "clusterIPs"):
            if before.get(key):
                spec[key] = before[key]
    for key in ("ipFamilies", "ipFamilyPolicy"):
        if not spec.get(key) and before.get(key):
            spec[key] = before[key]
    keeps_ports = {"NodePort", "LoadBalancer"}
    if spec.get("type") not in keeps_ports or before.get("type") not in keeps_ports:
        return
    allocated = {
        (port.get("protocol"), port.get("port")): port.get("nodePort") for port in each(before, "ports")
    }
    for port in each(spec, "ports"):
        kept = allocated.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and kept:
            port["nodePort"] = kept
    if spec.get("externalTrafficPolicy") == "Local" and before.get("healthCheckNodePort"):
        spec.setdefault("healthCheckNodePort", before["healthCheckNodePort"])


def validate_endpoints(endpoints: Object) -> list[FieldError]:
    """Return every fault of an Endpoints object."""
    faults: list[FieldError] = []
    for index, subset in enumerate(each(endpoints, "subsets")):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            text = "must specify `addresses` or `notReadyAddresses`"
            faults.append(required(path, text))
        for key in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(each(subset, key)):
                faults += ip_faults(address.get("ip") or "", f"{path}.{key}[{place}].ip")
        ports = list(each(subset, "ports"))
        for place, port in enumerate(ports):
            at = f"{path}.ports[{place}]"
            if len(ports) > 1 and not port.get("name"):
                faults.append(required(f"{at}.name"))
            elif port.get("name"):
                faults += invalid_all(f"{at}.name", port["name"], names.is_dns1123_label(port["name"]))
            faults += port_number(port.get("port"), f"{at}.port")
            faults += one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS)
    return faults
