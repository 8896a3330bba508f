"""Cluster IPs and node ports of Services: who has which, and giving out more.

Owns: the addresses in use, rebuilt from the Services that exist and kept current by their changes. An
allocation lasts as long as its write succeeds (``allocate`` is a context manager).

Source: the "Service ClusterIP allocation" page (the lower band of a range is left for addresses asked for).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apimachinery.meta import Object

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_PROBES = 128


def _family(network: Network) -> str:
    return f"IPv{network.version}"


def _band(network: Network) -> int:
    """Return how many addresses at the start are given out last."""
    return min(max(16, network.num_addresses // 16), 256)


class AddressPool:
    """The addresses of one range."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.family = _family(network)
        self.used: set[str] = set()

    def take(self, address: str) -> str:
        """Take one address; returns what is wrong with that, empty when it worked."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return "not a valid IP address"
        if parsed not in self.network or parsed == self.network.network_address:
            return (
                f"the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {self.network}"
            )
        if address in self.used:
            return "provided IP is already allocated"
        self.used.add(address)
        return ""

    def take_any(self) -> str:
        """Take a free address, from the upper band while there is one; empty when all are taken."""
        size = self.network.num_addresses
        last = size - 1 if self.network.version == 4 else size
        band = _band(self.network)
        first = band if band < last else 1
        for _ in range(_MAX_PROBES):
            address = str(self.network[random.randrange(first, last)]) if first < last else ""
            if address and address not in self.used:
                self.used.add(address)
                return address
        for offset in [*range(first, min(last, 1 << 16)), *range(1, first)]:
            address = str(self.network[offset])
            if address not in self.used:
                self.used.add(address)
                return address
        return ""


def addresses_of(service: Object | None) -> list[str]:
    """Return the cluster IPs that a Service holds."""
    spec = (service or {}).get("spec") or {}
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address and address != "None"]


def ports_of(service: Object | None) -> set[int]:
    """Return the node ports that a Service holds."""
    spec = (service or {}).get("spec") or {}
    found = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        found.add(spec["healthCheckNodePort"])
    return found


class ServiceAllocator:
    """Addresses and node ports of all Services of one cluster."""

    def __init__(self, ranges: Sequence[str], node_ports: tuple[int, int]) -> None:
        self.pools = [AddressPool(ipaddress.ip_network(text)) for text in ranges]
        self.node_ports = node_ports
        self._ports: set[int] = set()

    @property
    def first_address(self) -> str:
        """The address of the Service ``kubernetes``."""
        return str(self.pools[0].network[1])

    def observe(self, old: Object | None, new: Object | None) -> None:
        """Take in a change of a Service made by anybody."""
        kept, kept_ports = set(addresses_of(new)), ports_of(new)
        for address in addresses_of(old):
            if address not in kept:
                self._release(address)
        self._ports -= ports_of(old) - kept_ports
        for address in kept:
            for pool in self.pools:
                if ipaddress.ip_address(address) in pool.network:
                    pool.used.add(address)
        self._ports |= kept_ports

    def _release(self, address: str) -> None:
        for pool in self.pools:
            pool.used.discard(address)

    @contextmanager
    def reserve(self, service: Object, old: Object | None) -> Iterator[None]:
        """Give a Service what it asks for, for as long as the block succeeds.

        Changes ``service``. Raises Invalid when something asked for cannot be had.
        """
        taken: list[str] = []
        ports: set[int] = set()
        try:
            faults = self._addresses(service, old, taken) + self._node_ports(service, old, ports)
            if faults:
                raise Invalid.of("", "Service", service["metadata"]["name"], faults)
            yield
        except BaseException:
            for address in taken:
                self._release(address)
            self._ports -= ports
            raise
        self.observe(old, service)

    def _addresses(self, service: Object, old: Object | None, taken: list[str]) -> list[FieldError]:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(key, None)
            return []
        faults = self._families(spec)
        if faults:
            return faults
        if spec.get("clusterIP") == "None":
            spec["clusterIPs"] = ["None"]
            return []
        held = set(addresses_of(old))
        asked = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP") or ""] if a]
        result: list[str] = []
        for index, family in enumerate(spec["ipFamilies"]):
            pool = next(pool for pool in self.pools if pool.family == family)
            wanted = asked[index] if index < len(asked) else ""
            if wanted in held:
                result.append(wanted)
                continue
            fault = pool.take(wanted) if wanted else ""
            if fault:
                text = f"failed to allocate IP {wanted}: {fault}"
                return [field_errors.invalid("spec.clusterIPs", asked, text)]
            address = wanted or pool.take_any()
            if not address:
                text = "failed to allocate a serviceIP: range is full"
                return [field_errors.invalid("spec.clusterIPs", asked, text)]
            taken.append(address)
            result.append(address)
        spec["clusterIP"], spec["clusterIPs"] = result[0], result
        return []

    def _families(self, spec: Object) -> list[FieldError]:
        """Settle ipFamilies and ipFamilyPolicy."""
        served = [pool.family for pool in self.pools]
        asked: list[str] = list(spec.get("ipFamilies") or ())
        addresses = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP") or ""] if a and a != "None"]
        headless_free = spec.get("clusterIP") == "None" and not spec.get("selector")
        policy = spec.get("ipFamilyPolicy")
        for index, address in enumerate(addresses):
            if index >= len(asked):
                try:
                    asked.append(f"IPv{ipaddress.ip_address(address).version}")
                except ValueError:
                    return []
        if not policy:
            dual = headless_free or len(asked) == 2
            policy = "RequireDualStack" if dual else "SingleStack"
        spec["ipFamilyPolicy"] = policy
        if headless_free:
            other = {"IPv4": "IPv6", "IPv6": "IPv4"}
            first = asked[0] if asked else served[0]
            spec["ipFamilies"] = [first] if policy == "SingleStack" else [first, other[first]]
            return []
        for index, family in enumerate(asked):
            if family not in served:
                text = "not configured on this cluster"
                return [field_errors.invalid(f"spec.ipFamilies[{index}]", family, text)]
        if policy == "RequireDualStack" and len(served) < 2:
            text = "this cluster is not configured for dual-stack services"
            return [field_errors.invalid("spec.ipFamilyPolicy", policy, text)]
        wanted = asked or served[:1]
        if policy != "SingleStack":
            wanted += [family for family in served if family not in wanted]
        spec["ipFamilies"] = wanted[:1] if policy == "SingleStack" else wanted
        return []

    def _node_ports(self, service: Object, old: Object | None, taken: set[int]) -> list[FieldError]:
        spec = service["spec"]
        kind = spec.get("type")
        if kind not in ("NodePort", "LoadBalancer"):
            return []
        held = ports_of(old)
        automatic = kind == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
        by_number: dict[int, int] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort")
            if wanted:
                if wanted in held or wanted in taken:
                    continue
                fault = self._take_port(wanted)
                if fault:
                    return [field_errors.invalid(f"spec.ports[{index}].nodePort", wanted, fault)]
                taken.add(wanted)
                by_number.setdefault(port["port"], wanted)
        for port in spec.get("ports") or ():
            if port.get("nodePort") or not automatic:
                continue
            same = by_number.get(port["port"])
            if same is None:
                same = self._any_port()
                if not same:
                    text = "failed to allocate a nodePort: range is full"
                    return [field_errors.internal("spec.ports[0].nodePort", text)]
                taken.add(same)
                by_number[port["port"]] = same
            port["nodePort"] = same
        self._health_port(spec, taken)
        return []

    def _health_port(self, spec: Object, taken: set[int]) -> None:
        if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
            return
        if not spec.get("healthCheckNodePort"):
            port = self._any_port()
            taken.add(port)
            spec["healthCheckNodePort"] = port

    def _take_port(self, port: int) -> str:
        low, high = self.node_ports
        if not low <= port <= high:
            return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
        if port in self._ports:
            return "provided port is already allocated"
        self._ports.add(port)
        return ""

    def _any_port(self) -> int:
        """Take a free node port; 0 when all are taken."""
        low, high = self.node_ports
        band = min(max(16, (high - low + 1) // 32), 128)
        start = low + band if low + band <= high else low
        for _ in range(_MAX_PROBES):
            port: int = random.randint(start, high)
            if port not in self._ports:
                self._ports.add(port)
                return port
        for number in chain(range(start, high + 1), range(low, start)):
            if number not in self._ports:
                self._ports.add(number)
                return number
        return 0
