"""The names of cluster.local: an index kept current service by service.

Pure: ``plan_service`` turns one Service and its EndpointSlices into records, ``Records`` holds the union and
finds by name. ``server`` feeds it from informers, ``answer`` reads it.

Source: Kubernetes DNS-Based Service Discovery specification, version 1.1.0.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, object_key

TTL_S = 5
SPEC_VERSION = "1.1.0"
_POD_NAME = re.compile(r"^\d{1,3}(-\d{1,3}){3}$")


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; ``value`` is the address, the target name (no final dot) or the text."""

    type: str
    value: str
    port: int = 0
    """Of an SRV record."""


Plan = Mapping[str, tuple[Record, ...]]
"""Lower-case names without the final dot, to their records; an empty tuple is a name that has none (yet)."""


def plan_service(service: Object, slices: Iterable[Object], zone: str) -> Plan:
    """Return every record that one service makes."""
    meta, spec = service["metadata"], service.get("spec") or {}
    name = f"{meta['name']}.{meta['namespace']}.svc.{zone}".lower()
    if spec.get("type") == "ExternalName":
        target = str(spec.get("externalName") or "").rstrip(".").lower()
        return {name: (Record("CNAME", target),)} if target else {}
    if spec.get("clusterIP") == "None":
        return _headless(name, slices)
    addresses = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip]
    if not addresses:
        return {}
    return _cluster_ip(name, addresses, spec.get("ports") or ())


def _cluster_ip(name: str, addresses: list[str], ports: Iterable[dict[str, Any]]) -> Plan:
    plan: dict[str, list[Record]] = {name: [_address(ip) for ip in addresses]}
    for port in ports:
        record = Record("SRV", name, int(port["port"]))
        plan[name].append(record)
        if port.get("name"):
            protocol = str(port.get("protocol") or "TCP").lower()
            plan.setdefault(f"_{port['name']}._{protocol}.{name}", []).append(record)
    for ip in addresses:
        plan.setdefault(reverse_name(ip), []).append(Record("PTR", name))
    return {key: tuple(dict.fromkeys(records)) for key, records in plan.items()}


def _headless(name: str, slices: Iterable[Object]) -> Plan:
    """Every ready endpoint has an address at the service's name and a name of its own."""
    plan: dict[str, list[Record]] = {name: []}
    for item in slices:
        for endpoint in item.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for address in endpoint.get("addresses") or ():
                record = _address(address)
                label = (endpoint.get("hostname") or re.sub("[.:]", "-", address)).lower()
                own = f"{label}.{name}"
                plan[name].append(record)
                plan.setdefault(own, []).append(record)
                plan.setdefault(reverse_name(address), []).append(Record("PTR", own))
                for port in item.get("ports") or ():
                    _endpoint_port(plan, name, own, port)
    return {key: tuple(dict.fromkeys(records)) for key, records in plan.items()}


def _endpoint_port(plan: dict[str, list[Record]], name: str, own: str, port: dict[str, Any]) -> None:
    if not port.get("port"):
        return
    record = Record("SRV", own, int(port["port"]))
    plan[name].append(record)
    plan[own].append(record)
    if port.get("name"):
        protocol = str(port.get("protocol") or "TCP").lower()
        plan.setdefault(f"_{port['name']}._{protocol}.{name}", []).append(record)


def _address(ip: str) -> Record:
    return Record("AAAA" if ":" in ip else "A", ip)


def reverse_name(ip: str) -> str:
    """Return the name under in-addr.arpa or ip6.arpa."""
    return ipaddress.ip_address(ip).reverse_pointer


def _parents(name: str) -> Iterator[str]:
    """Every name above this one."""
    while "." in name:
        name = name.partition(".")[2]
        yield name


class Records:
    """The union of all services' records, found by name."""

    def __init__(self, zone: str = "cluster.local", dns_ip: str = "") -> None:
        self.zone = zone.rstrip(".").lower()
        self.serial = 1
        self._plans: dict[str, Plan] = {}
        self._names: dict[str, dict[str, tuple[Record, ...]]] = {}
        self._below: dict[str, int] = {}
        self._fixed = self._own_names(dns_ip)

    def _own_names(self, dns_ip: str) -> dict[str, tuple[Record, ...]]:
        names: dict[str, tuple[Record, ...]] = {
            self.zone: (Record("NS", f"ns.dns.{self.zone}"),),
            f"dns-version.{self.zone}": (Record("TXT", SPEC_VERSION),),
            f"dns.{self.zone}": (),
            f"svc.{self.zone}": (),
            f"pod.{self.zone}": (),
            f"ns.dns.{self.zone}": (_address(dns_ip),) if dns_ip else (),
        }
        return names

    def update(self, service: Object, slices: Iterable[Object]) -> None:
        """Replace what one service makes."""
        self._replace(object_key(service), plan_service(service, slices, self.zone))

    def remove(self, key: str) -> None:
        """Forget a service (``namespace/name``)."""
        self._replace(key, {})

    def _replace(self, key: str, plan: Plan) -> None:
        old = self._plans.pop(key, {})
        if old == plan:
            if plan:
                self._plans[key] = plan
            return
        self.serial += 1
        for name in old:
            owners = self._names[name]
            del owners[key]
            if not owners:
                del self._names[name]
                for parent in _parents(name):
                    self._below[parent] -= 1
                    if not self._below[parent]:
                        del self._below[parent]
        for name, records in plan.items():
            if name not in self._names:
                for parent in _parents(name):
                    self._below[parent] = self._below.get(parent, 0) + 1
            self._names.setdefault(name, {})[key] = records
        if plan:
            self._plans[key] = plan

    def covers(self, name: str) -> bool:
        """True for names that are ours to answer, whether they exist or not."""
        return name == self.zone or name.endswith(f".{self.zone}") or name in self._names

    def find(self, name: str) -> tuple[Record, ...] | None:
        """Return the records of a lower-case name; None when it does not exist, empty when it has none."""
        owners = self._names.get(name)
        if owners is not None:
            return tuple(dict.fromkeys(record for records in owners.values() for record in records))
        fixed = self._fixed.get(name)
        if fixed is not None:
            return fixed
        if name in self._below:
            return ()
        return self._pod(name)

    def _pod(self, name: str) -> tuple[Record, ...] | None:
        """``10-128-1-5.<namespace>.pod.<zone>`` is that address, whoever has it."""
        suffix = f".pod.{self.zone}"
        if not name.endswith(suffix):
            return None
        label, _, namespace = name[: -len(suffix)].partition(".")
        if not namespace or "." in namespace:
            return () if label and not namespace else None
        try:
            text = label.replace("-", "." if _POD_NAME.match(label) else ":")
            return (_address(str(ipaddress.ip_address(text))),)
        except ValueError:
            return None
