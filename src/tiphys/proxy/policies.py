"""NetworkPolicies to the nftables table of one node.

Pure: values in, a ``Table`` out; ``enforcer`` watches and applies. Only packets that are forwarded are looked
at: what the node itself sends to its pods (probes) and gets from them is always allowed. Each direction has a
base chain of its own, so that what the sender may do is settled before the receiver is asked::

    forward, -1: egress   ── @egress-pods ──> all policies of the pod, then drop
    forward,  0: ingress  ── @ingress-pods ──> all policies of the pod, then drop

Pods that the same policies select share a chain. Peers are sets of pod addresses, one for each selector
however many policies name it: a pod that comes or goes changes elements, no rules.
Source: "Network Policies"; the well-known behaviours of NetworkPolicy implementations.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tiphys.apimachinery.dataclass import dataclass
from tiphys.proxy.policy_objects import (
    EGRESS,
    INGRESS,
    BlockPeer,
    Pod,
    PodPeer,
    Policy,
    PortMatch,
    Rule,
)
from tiphys.proxy.ruleset import Chain, Container, Fragment, Table, merge

TABLE_NAME = "tiphys-policies"
_FAMILY = {"IPv4": "ip", "IPv6": "ip6"}
_ADDRESS = {"IPv4": "ipv4_addr", "IPv6": "ipv6_addr"}
_NAME_LIMIT = 110
_FOUND = "ct state established,related accept"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that policies refer to."""

    pods: Mapping[str, Pod]
    """By key."""
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by name."""


def plan(policies: Iterable[Policy], cluster: Cluster, node: str, family: str = "IPv4") -> Table:
    """Return the table that a node has to have; pods of other nodes are their nodes' business."""
    planner = _Planner(cluster, node, family)
    by_namespace: dict[str, list[Policy]] = {}
    for policy in sorted(policies, key=lambda item: item.key):
        by_namespace.setdefault(policy.namespace, []).append(policy)
    for _, pod in sorted(cluster.pods.items()):
        if pod.node == node and pod.namespace in by_namespace and (address := pod.ip(family)):
            planner.guard(pod, address, by_namespace[pod.namespace])
    return merge(_FAMILY[family], TABLE_NAME, [planner.fragment])


class _Planner:
    """Collects the table: what several pods or rules share is made once."""

    def __init__(self, cluster: Cluster, node: str, family: str) -> None:
        self._node = node
        self._family = family
        self._ip = _FAMILY[family]
        self._namespaces = cluster.namespaces
        self._pods: dict[str, list[tuple[Pod, str]]] = {}
        for _, pod in sorted(cluster.pods.items()):
            if address := pod.ip(family):
                self._pods.setdefault(pod.namespace, []).append((pod, address))
        self._peers: dict[str, list[tuple[Pod, str]]] = {}
        self.fragment = self._base()

    def _base(self) -> Fragment:
        address = f"type {_ADDRESS[self._family]}"
        own = f"{self._ip} saddr . {self._ip} daddr @own-traffic accept"

        def hooked(priority: int, lookup: str) -> Chain:
            hook = f"type filter hook forward priority {priority}; policy accept;"
            return Chain((_FOUND, own, lookup), hook)

        return Fragment(
            containers={
                "own-traffic": Container("set", f"{address} . {_ADDRESS[self._family]};"),
                "egress-pods": Container("map", f"{address} : verdict;"),
                "ingress-pods": Container("map", f"{address} : verdict;"),
            },
            chains={
                "egress": hooked(-1, f"{self._ip} saddr vmap @egress-pods"),
                "ingress": hooked(0, f"{self._ip} daddr vmap @ingress-pods"),
            },
        )

    def guard(self, pod: Pod, address: str, policies: Sequence[Policy]) -> None:
        """Isolate a pod of the node in the directions that policies which select it speak of."""
        selecting = [item for item in policies if item.pods.matches(pod.labels)]
        for direction in (INGRESS, EGRESS):
            own = [item for item in selecting if item.rules(direction) is not None]
            if not own:
                continue
            self.fragment.put("own-traffic", f"{address} . {address}")
            self.fragment.put(f"{direction.lower()}-pods", address, f"goto {self._group(direction, own)}")

    def _group(self, direction: str, policies: Sequence[Policy]) -> str:
        """Return the chain of pods with just these policies."""
        name = _name(f"{direction.lower()}-of", *(item.key for item in policies))
        if name not in self.fragment.chains:
            jumps = [f"jump {self._policy(direction, item)}" for item in policies]
            # In the chain that refers to others, they come first: nft reads in order.
            self.fragment.chains[name] = Chain((*jumps, "drop"))
        return name

    def _policy(self, direction: str, policy: Policy) -> str:
        name = _name(direction.lower(), policy.key)
        if name not in self.fragment.chains:
            rules: list[str] = []
            for index, rule in enumerate(policy.rules(direction) or ()):
                rules += self._rule(direction, policy, rule, index)
            self.fragment.chains[name] = Chain(tuple(dict.fromkeys(rules)))
        return name

    def _rule(self, direction: str, policy: Policy, rule: Rule, index: int) -> Iterator[str]:
        ports = list(self._port_matches(direction, policy, rule, index))
        for peer in self._peer_matches(direction, rule):
            for port in ports:
                yield " ".join(part for part in (peer, port, "accept") if part)

    def _peer_matches(self, direction: str, rule: Rule) -> Iterator[str]:
        if rule.peers is None:
            yield ""
            return
        side = "saddr" if direction == INGRESS else "daddr"
        version = 4 if self._family == "IPv4" else 6
        for peer in rule.peers:
            if isinstance(peer, PodPeer):
                yield f"{self._ip} {side} @{self._peer_set(peer)}"
            elif ipaddress.ip_network(peer.cidr).version == version:
                yield self._block(peer, side)

    def _block(self, peer: BlockPeer, side: str) -> str:
        within = f"{self._ip} {side} {peer.cidr}"
        if not peer.excepts:
            return within
        return f"{within} {self._ip} {side} != {{ {', '.join(_distinct(peer.excepts))} }}"

    def _peer_set(self, peer: PodPeer) -> str:
        name = _name("pods", peer.key)[:17]
        if name not in self.fragment.containers:
            self.fragment.containers[name] = Container("set", f"type {_ADDRESS[self._family]};")
            for _, address in self._members(peer):
                self.fragment.put(name, address)
        return name

    def _members(self, peer: PodPeer) -> list[tuple[Pod, str]]:
        if peer.key not in self._peers:
            if peer.namespaces is None:
                within = [peer.namespace]
            else:
                within = [
                    name for name, labels in self._namespaces.items() if peer.namespaces.matches(labels)
                ]
            self._peers[peer.key] = [
                found
                for name in sorted(within)
                for found in self._pods.get(name, ())
                if peer.pods.matches(found[0].labels)
            ]
        return self._peers[peer.key]

    def _port_matches(self, direction: str, policy: Policy, rule: Rule, index: int) -> Iterator[str]:
        if rule.ports is None:
            yield ""
            return
        numbers: dict[str, list[PortMatch]] = {}
        for port in rule.ports:
            if port.name:
                yield self._named(direction, policy, rule, (port, index))
            else:
                numbers.setdefault(port.protocol, []).append(port)
        for protocol, ports in numbers.items():
            known = f"meta l4proto {protocol.lower()}"
            if all(port.first for port in ports):
                known = f"{known} th dport {{ {', '.join(_ranges(ports))} }}"
            yield known

    def _named(self, direction: str, policy: Policy, rule: Rule, which: tuple[PortMatch, int]) -> str:
        """A named port is another number on each pod: pods and their numbers are a set."""
        port, index = which
        name = _name("ports", direction, policy.key, str(index), port.protocol, port.name)[:18]
        if name not in self.fragment.containers:
            kind = f"type {_ADDRESS[self._family]} . inet_proto . inet_service;"
            self.fragment.containers[name] = Container("set", kind)
            for pod, address in self._receivers(direction, policy, rule):
                for known, protocol, number in pod.ports:
                    if (known, protocol) == (port.name, port.protocol):
                        self.fragment.put(name, f"{address} . {protocol.lower()} . {number}")
        return f"{self._ip} daddr . meta l4proto . th dport @{name}"

    def _receivers(self, direction: str, policy: Policy, rule: Rule) -> Iterator[tuple[Pod, str]]:
        """Yield the pods whose ports a rule means: those the policy selects, or those they may speak to."""
        if direction == INGRESS:
            for pod, address in self._pods.get(policy.namespace, ()):
                if pod.node == self._node and policy.pods.matches(pod.labels):
                    yield pod, address
            return
        peers = rule.peers or ()
        if rule.peers is None or any(isinstance(peer, BlockPeer) for peer in peers):
            for pods in self._pods.values():
                yield from pods
        for peer in peers:
            if isinstance(peer, PodPeer):
                yield from self._members(peer)


def _name(role: str, *parts: str) -> str:
    """Name a chain or a set: role, a hash that makes it unique, and as much of the plain name as fits."""
    plain = "_".join(parts)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    readable = "".join(letter if letter.isalnum() or letter in "-._/" else "." for letter in plain)
    return f"{role}-{digest}-{readable}"[:_NAME_LIMIT]


def _ranges(ports: Iterable[PortMatch]) -> list[str]:
    """Write ports as nft takes them: in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted((port.first, port.last) for port in ports):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return [str(first) if first == last else f"{first}-{last}" for first, last in joined]


def _distinct(ranges: Iterable[str]) -> list[str]:
    """Ranges without those that lie in others: nft refuses overlaps."""
    found = [ipaddress.ip_network(item) for item in ranges]
    by_version = (
        [item for item in found if isinstance(item, ipaddress.IPv4Network)],
        [item for item in found if isinstance(item, ipaddress.IPv6Network)],
    )
    joined = [*ipaddress.collapse_addresses(by_version[0]), *ipaddress.collapse_addresses(by_version[1])]
    return [str(item) for item in joined]
