"""Services and EndpointSlices to the nftables table of one node.

Pure: values in, ``Fragment`` and ``Table`` out; ``proxy`` watches and applies. Packets find their service by
one lookup in a verdict map, however many services there are::

    nat:     services ── @service-ips, @service-nodeports ──> external-X ──> local-X | cluster-X ── dnat
    filter:  @no-endpoint-services, @no-endpoint-nodeports ──> reject | drop;  @cluster-ips ──> reject
             @firewall-ips ──> firewall-X (loadBalancerSourceRanges)
    nat:     masquerading: marked packets, and an endpoint that reached itself (@hairpin-endpoints)

A fragment depends on its own service only, so a change costs what that service costs.

Source: Virtual IPs and Service Proxies (kubernetes.io reference); KEP-3866 for the shape of the tables.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, object_key
from tiphys.proxy.endpoints import Endpoint, NodeFacts, Selection, select, slice_endpoints
from tiphys.proxy.ruleset import Chain, Container, Fragment, Table, merge

TABLE_NAME = "kube-proxy"
"""Upstream's, with its base chains' names: whichever of the two starts takes over what the other left."""
MASQUERADE_MARK = "0x4000"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
_NAME_LIMIT = 110
_DEFAULT_AFFINITY_S = 10800
_NFT_FAMILY = {"IPv4": "ip", "IPv6": "ip6"}
_LOOPBACK = {"ip": "127.0.0.0/8", "ip6": "::1"}
_NFT_ADDRESS = {"IPv4": "ipv4_addr", "IPv6": "ipv6_addr"}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service with every address that it answers on, in one family."""

    key: str
    port_name: str
    protocol: str
    port: int
    node_port: int
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...]
    balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    affinity_s: int
    """Seconds a client sticks to its endpoint; 0 without session affinity."""
    internal_local: bool
    external_local: bool

    @property
    def has_external(self) -> bool:
        return bool(self.node_port or self.external_ips or self.balancer_ips)

    def chain(self, role: str, *extra: str) -> str:
        """Name a chain: role, a hash that makes it unique, and as much of the plain name as fits."""
        namespace, _, name = self.key.rpartition("/")
        plain = "/".join((namespace, name, self.protocol.lower(), self.port_name or str(self.port), *extra))
        digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
        return f"{role}-{digest}-{plain}"[:_NAME_LIMIT].replace(":", ".")


def is_proxied(service: Object) -> bool:
    """True for services that have virtual IPs and are ours to serve."""
    spec = service.get("spec") or {}
    labels = service["metadata"].get("labels") or {}
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in (None, "", "None")
        and PROXY_NAME_LABEL not in labels
    )


def service_ports(service: Object, family: str) -> list[ServicePort]:
    """Split a service into its ports, for one address family (``IPv4`` or ``IPv6``)."""
    if not is_proxied(service):
        return []
    spec: dict[str, Any] = service["spec"]
    cluster_ips = _of_family(spec.get("clusterIPs") or [spec["clusterIP"]], family)
    if not cluster_ips:
        return []
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    balancer = [item.get("ip", "") for item in ingress if item.get("ipMode") != "Proxy"]
    is_balancer = spec.get("type") == "LoadBalancer"
    affinity_s = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity_s = int(config.get("timeoutSeconds") or _DEFAULT_AFFINITY_S)
    whole = ServicePort(
        key=object_key(service),
        port_name="",
        protocol="TCP",
        port=0,
        node_port=0,
        cluster_ips=cluster_ips,
        external_ips=_of_family(spec.get("externalIPs") or (), family),
        balancer_ips=_of_family(balancer, family) if is_balancer else (),
        source_ranges=_of_family(spec.get("loadBalancerSourceRanges") or (), family),
        affinity_s=affinity_s,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local",
    )
    uses_node_ports = spec.get("type") in ("NodePort", "LoadBalancer")
    return [
        replace(
            whole,
            port_name=port.get("name") or "",
            protocol=port.get("protocol") or "TCP",
            port=int(port["port"]),
            node_port=int(port.get("nodePort") or 0) if uses_node_ports else 0,
        )
        for port in spec.get("ports") or ()
    ]


def _of_family(addresses: Iterable[str], family: str) -> tuple[str, ...]:
    """Keep the addresses or ranges of the family in normal form; what cannot be parsed is left out."""
    version = 4 if family == "IPv4" else 6
    kept = []
    for address in addresses:
        try:
            if "/" in address:
                network = ipaddress.ip_network(address.strip(), strict=False)
                if network.version == version:
                    kept.append(str(network))
            else:
                plain = ipaddress.ip_address(address.strip())
                if plain.version == version:
                    kept.append(str(plain))
        except ValueError:
            continue
    return tuple(dict.fromkeys(kept))


def plan_service(
    service: Object, slices: Sequence[Object], node: NodeFacts, family: str = "IPv4"
) -> Fragment:
    """Decide everything that one service needs in the table."""
    fragment = Fragment()
    usable = [item for item in slices if not _foreign(item)]
    for port in service_ports(service, family):
        endpoints = slice_endpoints(usable, port.port_name, port.protocol, family)
        _plan_port(fragment, port, select(endpoints, node), node, _NFT_FAMILY[family])
    return fragment


def _foreign(item: Object) -> bool:
    labels = item["metadata"].get("labels") or {}
    return PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels


def _plan_port(fragment: Fragment, port: ServicePort, chosen: Selection, node: NodeFacts, ip: str) -> None:
    proto = port.protocol.lower()
    internal = chosen.local if port.internal_local else chosen.cluster
    if chosen.exists and not chosen.local:
        fragment.no_local_internal += port.internal_local
        fragment.no_local_external += port.has_external and port.external_local
    needs_cluster = chosen.cluster and (
        not port.internal_local or (port.has_external and (not port.external_local or node.cluster_cidr))
    )
    if needs_cluster:
        _balance(fragment, port, "cluster", chosen.cluster, ip)
    if chosen.local and (port.internal_local or (port.has_external and port.external_local)):
        _balance(fragment, port, "local", chosen.local, ip)
    for address in port.cluster_ips:
        fragment.put("cluster-ips", address)
        key = f"{address} . {proto} . {port.port}"
        if internal:
            fragment.put("service-ips", key, f"goto {port.chain('service')}")
        else:
            fragment.put("no-endpoint-services", key, _refusal(chosen))
    if internal:
        target = port.chain("local" if port.internal_local else "cluster")
        rules = [*_masquerade_foreign(node, ip), f"goto {target}"]
        fragment.chains[port.chain("service")] = Chain(tuple(rules))
    if port.has_external:
        _plan_external(fragment, port, chosen, node, ip)
    if port.protocol == "UDP":
        inner = frozenset(item.address for item in internal)
        outer = (
            frozenset(item.address for item in (*chosen.cluster, *chosen.local))
            if port.has_external
            else inner
        )
        fragment.udp_flows.update({(address, port.port): inner for address in port.cluster_ips})
        fragment.udp_flows.update(
            {(address, port.port): outer for address in (*port.external_ips, *port.balancer_ips)}
        )
        if port.node_port:
            fragment.udp_flows["", port.node_port] = outer


def _refusal(chosen: Selection) -> str:
    """Nothing anywhere: refuse. Something, but not on this node: drop, as another node may serve."""
    return "drop" if chosen.exists else "goto reject-chain"


def _masquerade_foreign(node: NodeFacts, ip: str) -> list[str]:
    version = 4 if ip == "ip" else 6
    ranges = [cidr for cidr in node.cluster_cidr if ipaddress.ip_network(cidr).version == version]
    if not ranges:
        return []
    source = ranges[0] if len(ranges) == 1 else f"{{ {', '.join(ranges)} }}"
    return [f"{ip} saddr != {source} jump mark-for-masquerade"]


def _plan_external(
    fragment: Fragment, port: ServicePort, chosen: Selection, node: NodeFacts, ip: str
) -> None:
    served = chosen.local if port.external_local else chosen.cluster
    proto = port.protocol.lower()
    chain = port.chain("external")
    rules = _external_rules(port, chosen, node, ip)
    if rules:
        fragment.chains[chain] = Chain(tuple(rules))
    firewalled = bool(port.source_ranges and port.balancer_ips)
    for address in (*port.external_ips, *port.balancer_ips):
        key = f"{address} . {proto} . {port.port}"
        if rules:
            fragment.put("service-ips", key, f"goto {chain}")
        if not served:
            fragment.put("no-endpoint-services", key, _refusal(chosen))
        if firewalled and address in port.balancer_ips:
            fragment.put("firewall-ips", key, f"goto {port.chain('firewall')}")
    if firewalled:
        allowed = ", ".join(port.source_ranges)
        fragment.chains[port.chain("firewall")] = Chain((f"{ip} saddr {{ {allowed} }} return", "drop"))
    if port.node_port:
        key = f"{proto} . {port.node_port}"
        if rules:
            fragment.put("service-nodeports", key, f"goto {chain}")
        if not served:
            fragment.put("no-endpoint-nodeports", key, _refusal(chosen))


def _external_rules(port: ServicePort, chosen: Selection, node: NodeFacts, ip: str) -> list[str]:
    if not port.external_local:
        if not chosen.cluster:
            return []
        return ["jump mark-for-masquerade", f"goto {port.chain('cluster')}"]
    rules: list[str] = []
    if chosen.cluster and node.cluster_cidr:
        # Pods and the node itself are inside: a policy about outside clients must not cut them off.
        cluster = port.chain("cluster")
        version = 4 if ip == "ip" else 6
        inside = [cidr for cidr in node.cluster_cidr if ipaddress.ip_network(cidr).version == version]
        rules += [f"{ip} saddr {cidr} goto {cluster}" for cidr in inside]
        rules.append("fib saddr type local jump mark-for-masquerade")
        rules.append(f"fib saddr type local goto {cluster}")
    if chosen.local:
        rules.append(f"goto {port.chain('local')}")
    return rules


def _balance(
    fragment: Fragment, port: ServicePort, role: str, endpoints: Sequence[Endpoint], ip: str
) -> None:
    """Spread over endpoints at random; with affinity through one chain and one set of clients for each."""
    proto = port.protocol.lower()
    for item in endpoints:
        fragment.put("hairpin-endpoints", f"{item.address} . {item.address}")
    if not port.affinity_s:
        choices = ", ".join(f"{i} : {item.address} . {item.port}" for i, item in enumerate(endpoints))
        rule = f"meta l4proto {proto} dnat {ip} to numgen random mod {len(endpoints)} map {{ {choices} }}"
        fragment.chains[port.chain(role)] = Chain((rule,))
        return
    remembered, chains = [], []
    for item in endpoints:
        tail = f"{item.address}/{item.port}"
        chain, known = port.chain("endpoint", tail), port.chain("affinity", tail)
        fragment.containers[known] = Container(
            "set",
            f"type {_NFT_ADDRESS['IPv4' if ip == 'ip' else 'IPv6']}; flags dynamic,timeout; "
            f"timeout {port.affinity_s}s;",
            dynamic=True,
        )
        to = f"[{item.address}]" if ip == "ip6" else item.address
        fragment.chains[chain] = Chain(
            (f"update @{known} {{ {ip} saddr }}", f"meta l4proto {proto} dnat to {to}:{item.port}")
        )
        remembered.append(f"{ip} saddr @{known} goto {chain}")
        chains.append(chain)
    choices = ", ".join(f"{i} : goto {chain}" for i, chain in enumerate(chains))
    spread = f"numgen random mod {len(chains)} vmap {{ {choices} }}"
    fragment.chains[port.chain(role)] = Chain((*remembered, spread))


def base(node: NodeFacts, family: str = "IPv4") -> Fragment:
    """Return what every table has: hooks, lookups and the maps that services fill."""
    ip, address = _NFT_FAMILY[family], _NFT_ADDRESS[family]
    by_address = f"type {address} . inet_proto . inet_service : verdict;"
    by_port = "type inet_proto . inet_service : verdict;"
    own = node_port_addresses(node.addresses, family)
    ranges = any("/" in one for one in own)
    fragment = Fragment(
        containers={
            "cluster-ips": Container("set", f"type {address};"),
            "nodeport-ips": Container("set", f"type {address};{' flags interval;' if ranges else ''}"),
            "hairpin-endpoints": Container("set", f"type {address} . {address};"),
            "service-ips": Container("map", by_address),
            "service-nodeports": Container("map", by_port),
            "no-endpoint-services": Container("map", by_address),
            "no-endpoint-nodeports": Container("map", by_port),
            "firewall-ips": Container("map", by_address),
        },
        chains=_base_chains(ip, ranges=ranges),
    )
    for node_address in own:
        fragment.put("nodeport-ips", node_address)
    return fragment


def node_port_addresses(given: Sequence[str], family: str) -> tuple[str, ...]:
    """Return on what node ports are served, addresses and ranges; of ranges none overlaps another."""
    kept = _of_family(given, family)
    if not any("/" in one for one in kept):
        return kept
    if family == "IPv4":
        return tuple(map(str, ipaddress.collapse_addresses(map(ipaddress.IPv4Network, kept))))
    return tuple(map(str, ipaddress.collapse_addresses(map(ipaddress.IPv6Network, kept))))


def _base_chains(ip: str, *, ranges: bool) -> dict[str, Chain]:
    to = f"{ip} daddr . meta l4proto . th dport"
    to_node = f"{ip} daddr @nodeport-ips meta l4proto . th dport"
    if ranges:
        # Of a range only what this machine has itself; never what only it can reach.
        to_node = f"fib daddr type local {ip} daddr != {_LOOPBACK[ip]} {to_node}"
    checks = ("ct state new jump endpoints-check", "ct state new jump cluster-ips-check")
    services = Chain(("jump services",))

    def hooked(kind: str, hook: str, priority: int, rules: tuple[str, ...]) -> Chain:
        return Chain(rules, f"type {kind} hook {hook} priority {priority}; policy accept;")

    return {
        "reject-chain": Chain(("reject",)),
        "mark-for-masquerade": Chain((f"meta mark set meta mark or {MASQUERADE_MARK}",)),
        "services": Chain((f"{to} vmap @service-ips", f"{to_node} vmap @service-nodeports")),
        "endpoints-check": Chain(
            (f"{to} vmap @no-endpoint-services", f"{to_node} vmap @no-endpoint-nodeports")
        ),
        "cluster-ips-check": Chain((f"{ip} daddr @cluster-ips reject",)),
        "firewall-check": Chain((f"{to} vmap @firewall-ips",)),
        "masquerading": Chain(
            (
                f"ct status dnat {ip} saddr . {ip} daddr @hairpin-endpoints masquerade fully-random",
                f"meta mark and {MASQUERADE_MARK} == 0 return",
                f"meta mark set meta mark xor {MASQUERADE_MARK}",
                "masquerade fully-random",
            )
        ),
        "filter-prerouting-pre-dnat": hooked(
            "filter", "prerouting", -110, ("ct state new jump firewall-check",)
        ),
        "nat-prerouting": hooked("nat", "prerouting", -100, services.rules),
        "nat-output": hooked("nat", "output", -100, services.rules),
        # After DNAT: what a service took has a new destination by now, the rest is refused here.
        "filter-input": hooked("filter", "input", -110, checks),
        "filter-forward": hooked("filter", "forward", -110, checks),
        "filter-output-pre-dnat": hooked("filter", "output", -110, ("ct state new jump firewall-check",)),
        "filter-output": hooked("filter", "output", -90, checks),
        "nat-postrouting": hooked("nat", "postrouting", 100, ("jump masquerading",)),
    }


def build(fragments: Iterable[Fragment], node: NodeFacts, family: str = "IPv4") -> Table:
    """Join the services' fragments, in a settled order, with the base into the table to have."""
    return merge(_NFT_FAMILY[family], TABLE_NAME, [base(node, family), *fragments])


def ruleset(
    services: Iterable[Object], slices: Iterable[Object], node: NodeFacts, family: str = "IPv4"
) -> Table:
    """Plan every service at once: what a fresh start and tests use."""
    by_service: dict[str, list[Object]] = {}
    for item in slices:
        by_service.setdefault(service_of(item), []).append(item)
    ordered = sorted(services, key=object_key)
    fragments = [plan_service(item, by_service.get(object_key(item), ()), node, family) for item in ordered]
    return build(fragments, node, family)


def service_of(endpoint_slice: Object) -> str:
    """Return the key of the service that an EndpointSlice belongs to; empty when it names none."""
    meta = endpoint_slice["metadata"]
    name = (meta.get("labels") or {}).get("kubernetes.io/service-name")
    return f"{meta.get('namespace', '')}/{name}" if name else ""
