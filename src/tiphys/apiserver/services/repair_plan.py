"""What is wrong between Services and what they hold, and what mends it. Pure.

A Service's address and the IPAddress of that name must point at each other; every node port that is taken
must be some Service's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.services.addresses import ALLOCATOR, FAMILY, MANAGED_BY
from tiphys.apiserver.services.ranges import AddressRange, PortSet

GRACE_S = 60
"""An address is taken before its Service is written: one without a Service is left alone for so long."""
UPDATE_GRACE_S = 5
"""And one that is younger than its Service, which may be getting it by an update, for so long."""
_PORTS = "PortAllocation"
LEAK_ROUNDS = 3
"""A port without a Service is given back when it has been found so often, for the same reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault. ``mend``: ``create`` the IPAddress, ``recreate`` it, ``delete`` it, or empty: people must."""

    reason: str
    message: str
    mend: str = ""
    action: str = "ClusterIPAllocation"
    again_s: float = 0.0
    """Too early to tell what is wrong: look again in so long."""


def judge_address(
    service: Object, address: str, held: Object | None, parent: Object | None, ranges: Sequence[AddressRange]
) -> Finding | None:
    """Look at one cluster IP of a Service.

    ``held`` is the IPAddress of that name, ``parent`` the Service that it names.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        text = f"Cluster IP {address} is not a valid IP; please recreate Service"
        return Finding("ClusterIPNotValid", text, action="ClusterIPValidation")
    family = f"IPv{parsed.version}"
    shown = f"Cluster IP [{family}]: {address}"
    if not any(parsed in one for one in ranges):
        text = f"{shown} is not within any configured Service CIDR; please recreate service"
        return Finding("ClusterIPOutOfRange", text)
    if held is None:
        return Finding("ClusterIPNotAllocated", f"{shown} is not allocated; repairing", "create")
    wrong = _judge_reference(service, held, parent, family)
    if wrong is not None:
        return wrong
    labels = held["metadata"].get("labels") or {}
    if (labels.get(MANAGED_BY), labels.get(FAMILY)) != (ALLOCATOR, family):
        return Finding("", "", "recreate")
    return None


def _judge_reference(service: Object, held: Object, parent: Object | None, family: str) -> Finding | None:
    meta, address = service["metadata"], held["metadata"]["name"]
    reference = (held.get("spec") or {}).get("parentRef") or {}
    to_service = (reference.get("group") or "", reference.get("resource")) == ("", "services")
    whose = (reference.get("namespace"), reference.get("name"))
    if to_service and whose == (meta["namespace"], meta["name"]):
        return None
    if to_service and parent is not None and address in (parent["spec"].get("clusterIPs") or ()):
        text = f"Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
        return Finding("ClusterIPAlreadyAllocated", text)
    text = f"the ClusterIP [{family}]: {address} for Service {meta['namespace']}/{meta['name']}"
    return Finding("ClusterIPNotAllocated", f"{text} has a wrong reference; repairing", "recreate")


def judge_held(held: Object, service: Object | None, now: datetime) -> Finding | None:
    """Look at one IPAddress of the allocator's; ``service`` is the one it names."""
    meta = held["metadata"]
    if (meta.get("labels") or {}).get(MANAGED_BY) != ALLOCATOR:
        return None
    name, reference = meta["name"], (held.get("spec") or {}).get("parentRef") or {}
    if (reference.get("group") or "", reference.get("resource")) != ("", "services"):
        text = f"not referencing a Service {_shown(reference)}: cleaning up"
        return _unheld("IPAddressNotAllocated", f"IPAddress {name} appears to have been modified, {text}")
    shown = f"IPAddress: {name} for Service {reference.get('namespace')}/{reference.get('name')}"
    made = parse_time(meta["creationTimestamp"])
    age_s = (now - made).total_seconds()
    if service is None:
        if age_s <= GRACE_S:
            return Finding("", "", again_s=GRACE_S - age_s)
        return _unheld("IPAddressNotAllocated", f"{shown} appears to have leaked: cleaning up")
    if name in (service["spec"].get("clusterIPs") or ()):
        return None
    if age_s <= UPDATE_GRACE_S and made >= parse_time(service["metadata"]["creationTimestamp"]):
        return Finding("", "", again_s=UPDATE_GRACE_S - age_s)
    return _unheld("IPAddressWrongReference", f"{shown} has a wrong reference; cleaning up")


def _unheld(reason: str, text: str) -> Finding:
    return Finding(reason, text, "delete", "IPAddressAllocation")


def _shown(reference: Object) -> str:
    """Show a reference as Go's printing does."""
    names = ("group", "resource", "namespace", "name")
    inside = "".join(f"{name.capitalize()}:{reference.get(name) or ''}," for name in names)
    return f"&ParentReference{{{inside}}}"


@dataclass(frozen=True, slots=True)
class PortReport:
    """The ports as they should be, and what is to be said of which Service."""

    ports: PortSet
    findings: tuple[tuple[Object, Finding], ...]
    leaks: dict[int, int]
    """Ports without a Service: in how many more rounds they are given back."""


def rebuild_ports(stored: PortSet, services: Iterable[Object], leaks: dict[int, int]) -> PortReport:
    """Work out the taken ports anew from the Services."""
    ports, left, remaining = PortSet(stored.low, stored.high), stored.copy(), dict(leaks)
    findings: list[tuple[Object, Finding]] = []
    for service in services:
        for port in claimed_ports(service.get("spec") or {}):
            finding = _judge_port(port, ports, stored)
            if finding is not None:
                findings.append((service, finding))
            left.release([port])
            remaining.pop(port, None)
    for port in left:
        rounds = remaining.get(port, LEAK_ROUNDS - 1)
        if rounds > 0:
            remaining[port] = rounds - 1
            ports.take(port)
        else:
            remaining.pop(port, None)
    return PortReport(ports, tuple(findings), remaining)


def claimed_ports(spec: Object) -> list[int]:
    """Return the node ports of a Service, those again that it has twice for one protocol."""
    found: list[int] = []
    seen: dict[int, set[str]] = {}
    health = spec.get("healthCheckNodePort")
    entries = [(one.get("nodePort"), one.get("protocol") or "TCP") for one in spec.get("ports") or ()]
    for port, protocol in [*entries, *([(health, "TCP")] if health else ())]:
        if not port:
            continue
        protocols = seen.setdefault(port, set())
        if not protocols or protocol in protocols:
            found.append(port)
        protocols.add(protocol)
    return found


def _judge_port(port: int, ports: PortSet, stored: PortSet) -> Finding | None:
    if not ports.low <= port <= ports.high:
        text = f"Port {port} is not within the port range {ports}; please recreate service"
        return Finding("PortOutOfRange", text, action=_PORTS)
    if ports.take(port):
        text = f"Port {port} was assigned to multiple services; please recreate service"
        return Finding("PortAlreadyAllocated", text, action=_PORTS)
    if port not in stored:
        return Finding("PortNotAllocated", f"Port {port} is not allocated; repairing", action=_PORTS)
    return None
