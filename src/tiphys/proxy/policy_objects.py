"""NetworkPolicies and pods as the enforcer sees them: plain values. Pure.

Source: API reference, NetworkPolicySpec; "Network Policies".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object, object_key

INGRESS, EGRESS = "Ingress", "Egress"


@dataclass(frozen=True, slots=True)
class Pod:
    """What policies look at. Without ``ips`` it is nobody's peer: ended, or in its node's network."""

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str]
    ips: tuple[str, ...] = ()
    ports: tuple[tuple[str, str, int], ...] = ()
    """Named ports: name, protocol, number."""

    def ip(self, family: str) -> str:
        """Return the address in a family, or ""."""
        version = 4 if family == "IPv4" else 6
        return next((ip for ip in self.ips if ipaddress.ip_address(ip).version == version), "")


@dataclass(frozen=True, slots=True)
class PodPeer:
    """Pods by labels, in one namespace or in all whose labels match."""

    key: str
    """The same for peers that mean the same."""
    pods: Selector
    namespaces: Selector | None = None
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class BlockPeer:
    """Addresses of a range without some of them."""

    cidr: str
    excepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortMatch:
    """One port, a range of them, a named one, or (neither) all of a protocol."""

    protocol: str = "TCP"
    first: int = 0
    last: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may (``peers``, None: anybody) on which ``ports`` (None: all)."""

    peers: tuple[PodPeer | BlockPeer, ...] | None = None
    ports: tuple[PortMatch, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One NetworkPolicy. ``ingress`` or ``egress`` None: it says nothing of that direction."""

    namespace: str
    name: str
    pods: Selector
    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def rules(self, direction: str) -> tuple[Rule, ...] | None:
        """Return what it says of a direction."""
        return self.ingress if direction == INGRESS else self.egress


def pod_of(pod: Object) -> Pod:
    """Return what policies look at of a pod."""
    spec, status, meta = pod["spec"], pod.get("status") or {}, pod["metadata"]
    ended = status.get("phase") in ("Succeeded", "Failed")
    outside = ended or spec.get("hostNetwork")
    ips = () if outside else tuple(item["ip"] for item in status.get("podIPs") or () if item.get("ip"))
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    ports = tuple(
        (port["name"], port.get("protocol") or "TCP", int(port["containerPort"]))
        for container in (*sidecars, *spec.get("containers", ()))
        for port in container.get("ports") or ()
        if port.get("name")
    )
    labels = dict(meta.get("labels") or {})
    return Pod(meta["namespace"], meta["name"], spec.get("nodeName") or "", labels, ips, ports)


def policy_of(policy: Object) -> Policy:
    """Return a policy. Raises BadRequest for selectors that the API would not have stored."""
    namespace, _, name = object_key(policy).rpartition("/")
    spec = policy.get("spec") or {}
    kinds = spec.get("policyTypes") or [INGRESS, *([EGRESS] if spec.get("egress") else [])]
    return Policy(
        namespace=namespace,
        name=name,
        pods=from_label_selector(spec.get("podSelector") or {}),
        ingress=_rules(spec.get("ingress"), "from", namespace) if INGRESS in kinds else None,
        egress=_rules(spec.get("egress"), "to", namespace) if EGRESS in kinds else None,
    )


def _rules(rules: Iterable[Mapping[str, Any]] | None, field: str, namespace: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(_peer(item, namespace) for item in rule[field]) if rule.get(field) else None,
            tuple(_port(item) for item in rule["ports"]) if rule.get("ports") else None,
        )
        for rule in rules or ()
    )


def _peer(peer: Mapping[str, Any], namespace: str) -> PodPeer | BlockPeer:
    if block := peer.get("ipBlock"):
        return BlockPeer(_range(block["cidr"]), tuple(_range(item) for item in block.get("except") or ()))
    by_namespace = peer.get("namespaceSelector")
    pods = from_label_selector(peer.get("podSelector") or {})
    if by_namespace is None:
        return PodPeer(f"{namespace}|{_text(peer.get('podSelector'))}", pods, None, namespace)
    key = f"*{_text(by_namespace)}|{_text(peer.get('podSelector'))}"
    return PodPeer(key, pods, from_label_selector(by_namespace))


def _text(selector: Mapping[str, Any] | None) -> str:
    """Write a selector so that those that mean the same are the same."""
    found = selector or {}
    labels = sorted((found.get("matchLabels") or {}).items())
    expressions: Sequence[Mapping[str, Any]] = found.get("matchExpressions") or ()
    wanted = sorted((item["key"], item["operator"], sorted(item.get("values") or ())) for item in expressions)
    return repr((labels, wanted))


def _range(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _port(port: Mapping[str, Any]) -> PortMatch:
    protocol = port.get("protocol") or "TCP"
    value = port.get("port")
    if value is None:
        return PortMatch(protocol)
    if isinstance(value, str):
        return PortMatch(protocol, name=value)
    return PortMatch(protocol, int(value), int(port.get("endPort") or value))
