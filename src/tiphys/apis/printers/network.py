"""Rows of services, their endpoints, ingresses and network policies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    NAME,
    NONE,
    SELECTOR,
    UNSET,
    Cells,
    Printer,
    Rows,
    age_of,
    column,
    format_labels,
    format_selector,
    limited,
    load_balancer,
    name_of,
)

_SHOWN = 3


def _external_address(service: Object) -> str:
    spec = peek(service, "spec")
    external = ",".join(spec.get("externalIPs") or ())
    kind = spec.get("type")
    if kind == "LoadBalancer":
        given = load_balancer(service)
        addresses = ",".join(text for text in (given, external) if text)
        return addresses or "<pending>"
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    return external or NONE


def _service_ports(service: Object) -> str:
    texts: list[str] = []
    for port in each(service, "spec", "ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node}/{port.get('protocol') or 'TCP'}")
    return ",".join(texts) or NONE


def service_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        name_of(obj),
        spec.get("type") or "",
        addresses[0] or NONE,
        _external_address(obj),
        _service_ports(obj),
        age_of(obj, now),
        format_labels(spec.get("selector")),
    ]


def _join_host_port(host: str, port: object) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _endpoint_texts(obj: Object) -> Iterator[str]:
    for subset in each(obj, "subsets"):
        addresses = [str(address.get("ip")) for address in each(subset, "addresses")]
        ports = list(each(subset, "ports"))
        if not ports:
            yield from addresses
        for port in ports:
            for address in addresses:
                yield _join_host_port(address, port.get("port"))


def endpoints_row(obj: Object, now: datetime) -> Cells:
    """Subsets without an address that is ready show as nothing, no subsets as none."""
    empty = "" if obj.get("subsets") else NONE
    return [name_of(obj), limited(_endpoint_texts(obj), _SHOWN, empty=empty), age_of(obj, now)]


def _slice_port(port: Object) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])


def endpoint_slice_row(obj: Object, now: datetime) -> Cells:
    ports = [_slice_port(port) for port in each(obj, "ports")]
    addresses = [
        str(address) for endpoint in each(obj, "endpoints") for address in endpoint.get("addresses") or ()
    ]
    return [
        name_of(obj),
        obj.get("addressType") or "",
        limited(ports, _SHOWN) if any(ports) else UNSET,
        limited(addresses, _SHOWN, empty=UNSET),
        age_of(obj, now),
    ]


def _hosts(spec: Object) -> str:
    """Once three hosts are shown, what is left is told in rules, with or without a host."""
    shown: list[str] = []
    rules = list(each(spec, "rules"))
    more = False
    for rule in rules:
        more = more or len(shown) == _SHOWN
        if not more and rule.get("host"):
            shown.append(rule["host"])
    text = ",".join(shown) or "*"
    return f"{text} + {len(rules) - _SHOWN} more..." if more else text


def ingress_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    chosen = spec.get("ingressClassName")
    return [
        name_of(obj),
        NONE if chosen is None else chosen,
        _hosts(spec),
        load_balancer(obj),
        "80, 443" if spec.get("tls") else "80",
        age_of(obj, now),
    ]


_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def ingress_class_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    parameters = peek(spec, "parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
        shown = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    default = peek(obj, "metadata", "annotations").get(_DEFAULT_CLASS) == "true"
    name = f"{name_of(obj)} (default)" if default else name_of(obj)
    return [name, spec.get("controller") or "", shown, age_of(obj, now)]


def network_policy_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), format_selector(peek(obj, "spec").get("podSelector")), age_of(obj, now)]


def ip_address_row(obj: Object, now: datetime) -> Cells:
    """Upstream's rows end in an age that no column is named for, which clients leave out."""
    parent = peek(obj, "spec", "parentRef")
    group = f".{parent['group']}" if parent.get("group") else ""
    place = f"{parent['namespace']}/" if parent.get("namespace") else ""
    of = f"{parent.get('resource')}{group}".lower()
    shown = f"{of}/{place}{parent.get('name')}" if parent else NONE
    return [name_of(obj), shown, age_of(obj, now)]


def service_cidr_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), ",".join(peek(obj, "spec").get("cidrs") or ()), age_of(obj, now)]


PRINTERS: Rows = {
    ("", "Service"): Printer(
        (
            NAME,
            column("Type", "How the service is reached."),
            column("Cluster-IP", "Its address inside the cluster."),
            column("External-IP", "Its addresses outside the cluster."),
            column("Port(s)", "Its ports, with node ports and protocols."),
            AGE,
            SELECTOR,
        ),
        service_row,
    ),
    ("", "Endpoints"): Printer(
        (NAME, column("Endpoints", "Addresses and ports behind the service."), AGE), endpoints_row
    ),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        (
            NAME,
            column("AddressType", "The kind of the addresses."),
            column("Ports", "Ports of every endpoint."),
            column("Endpoints", "Addresses of the endpoints."),
            AGE,
        ),
        endpoint_slice_row,
    ),
    ("networking.k8s.io", "Ingress"): Printer(
        (
            NAME,
            column("Class", "The class of controller that serves it."),
            column("Hosts", "Host names it is for."),
            column("Address", "Where it is reached."),
            column("Ports", "Ports it is reached at."),
            AGE,
        ),
        ingress_row,
    ),
    ("networking.k8s.io", "IngressClass"): Printer(
        (
            NAME,
            column("Controller", "The controller that serves the class."),
            column("Parameters", "Where its settings are."),
            AGE,
        ),
        ingress_class_row,
    ),
    ("networking.k8s.io", "NetworkPolicy"): Printer(
        (NAME, column("Pod-Selector", "The pods it is for."), AGE), network_policy_row
    ),
    ("networking.k8s.io", "IPAddress"): Printer(
        (NAME, column("ParentRef", "The object that has the address.")), ip_address_row
    ),
    ("networking.k8s.io", "ServiceCIDR"): Printer(
        (NAME, column("CIDRs", "Ranges that service addresses come from."), AGE), service_cidr_row
    ),
}
