# ruff: noqa: E501 (tables of cases read better with one line each)
"""Rules by what they do to packets, and one golden table by how it reads."""

from __future__ import annotations

from typing import Any

import pytest
from tracer import Packet, Tracer

from tiphys.proxy.endpoints import NodeFacts
from tiphys.proxy.rules import is_proxied, node_port_addresses, ruleset, service_of, service_ports
from tiphys.proxy.ruleset import render

NODE = NodeFacts("n1", ("172.29.0.2",), "", ("10.128.0.0/16",))
POD, OUTSIDE, SELF = "10.128.1.9", "172.29.0.1", "172.29.0.2"
VIP, LB, EXT = "10.64.0.20", "192.0.2.10", "198.51.100.7"
REMOTE, LOCAL = "10.128.2.5@n2", "10.128.1.5@n1"
LOCAL_ONLY = {"externalTrafficPolicy": "Local"}
NODE_PORT = {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}
BALANCER = {**NODE_PORT, "type": "LoadBalancer", "ingress": [{"ip": LB}]}


def draining(address: str, node: str) -> dict[str, Any]:
    conditions = {"ready": False, "serving": True, "terminating": True}
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


CASES: list[tuple[str, dict[str, Any], list[Any], str, tuple[str, int], str]] = [
    # name, service spec, endpoints, source, destination, outcome ("masq " before the target when masqueraded)
    ("pod to cluster IP", {}, [REMOTE], POD, (VIP, 80), "10.128.2.5:8080"),
    ("outside to cluster IP", {}, [REMOTE], OUTSIDE, (VIP, 80), "masq 10.128.2.5:8080"),
    ("node to cluster IP", {}, [REMOTE], SELF, (VIP, 80), "masq 10.128.2.5:8080"),
    ("pod reaches itself", {}, ["10.128.1.9@n1"], POD, (VIP, 80), "masq 10.128.1.9:8080"),
    ("node reaches itself", {}, [f"{SELF}@n1"], SELF, (VIP, 80), f"masq {SELF}:8080"),
    ("node reaches itself without a service", {}, [f"{SELF}@n1"], SELF, (SELF, 8080), f"{SELF}:8080"),
    ("no endpoints", {}, [], POD, (VIP, 80), "reject"),
    ("no endpoints, node", {}, [], SELF, (VIP, 80), "reject"),
    ("port that the service lacks", {}, [REMOTE], POD, (VIP, 81), "reject"),
    ("address of nobody", {}, [REMOTE], POD, ("10.64.0.99", 80), "10.64.0.99:80"),
    ("not ready", {}, [{"addresses": ["10.128.2.5"], "conditions": {"ready": False}}], POD, (VIP, 80), "reject"),
    ("draining when nothing is ready", {}, [draining("10.128.2.5", "n2")], POD, (VIP, 80), "10.128.2.5:8080"),
    ("ready before draining", {}, [draining("10.128.2.5", "n2"), LOCAL], POD, (VIP, 80), "10.128.1.5:8080"),
    ("internal Local", {"internalTrafficPolicy": "Local"}, [REMOTE, LOCAL], POD, (VIP, 80), "10.128.1.5:8080"),
    ("internal Local, none here", {"internalTrafficPolicy": "Local"}, [REMOTE], POD, (VIP, 80), "drop"),
    ("internal Local, none at all", {"internalTrafficPolicy": "Local"}, [], POD, (VIP, 80), "reject"),
    ("node port", NODE_PORT, [REMOTE], OUTSIDE, (SELF, 30080), "masq 10.128.2.5:8080"),
    ("node port from a pod", NODE_PORT, [REMOTE], POD, (SELF, 30080), "masq 10.128.2.5:8080"),
    ("node port from the node", NODE_PORT, [REMOTE], SELF, (SELF, 30080), "masq 10.128.2.5:8080"),
    ("node port without endpoints", NODE_PORT, [], OUTSIDE, (SELF, 30080), "reject"),
    ("node port of another node", NODE_PORT, [REMOTE], POD, ("172.29.0.3", 30080), "172.29.0.3:30080"),
    ("Local node port", NODE_PORT | LOCAL_ONLY, [REMOTE, LOCAL], OUTSIDE, (SELF, 30080), "10.128.1.5:8080"),
    ("Local node port, none here", NODE_PORT | LOCAL_ONLY, [REMOTE], OUTSIDE, (SELF, 30080), "drop"),
    ("Local node port, pod client", NODE_PORT | LOCAL_ONLY, [REMOTE], POD, (SELF, 30080), "10.128.2.5:8080"),
    ("Local node port, node client", NODE_PORT | LOCAL_ONLY, [REMOTE], SELF, (SELF, 30080), "masq 10.128.2.5:8080"),
    ("external IP", {"externalIPs": [EXT]}, [REMOTE], OUTSIDE, (EXT, 80), "masq 10.128.2.5:8080"),
    ("external IP, no endpoints", {"externalIPs": [EXT]}, [], OUTSIDE, (EXT, 80), "reject"),
    ("balancer", BALANCER, [REMOTE], OUTSIDE, (LB, 80), "masq 10.128.2.5:8080"),
    ("balancer of mode Proxy", {**BALANCER, "ingress": [{"ip": LB, "ipMode": "Proxy"}]}, [REMOTE], OUTSIDE,
     (LB, 80), f"{LB}:80"),
    ("balancer, allowed source", {**BALANCER, "loadBalancerSourceRanges": ["172.29.0.0/24"]}, [REMOTE], OUTSIDE,
     (LB, 80), "masq 10.128.2.5:8080"),
    ("balancer, refused source", {**BALANCER, "loadBalancerSourceRanges": ["192.0.2.0/24"]}, [REMOTE], OUTSIDE,
     (LB, 80), "drop"),
    ("source ranges leave node ports alone", {**BALANCER, "loadBalancerSourceRanges": ["192.0.2.0/24"]}, [REMOTE],
     OUTSIDE, (SELF, 30080), "masq 10.128.2.5:8080"),
]  # fmt: skip


def outcome(tracer: Tracer, source: str, to: tuple[str, int], proto: str = "tcp") -> str:
    send = tracer.from_node if source == SELF else tracer.from_outside
    trace = send(Packet(source, to[0], to[1], proto))
    if trace.verdict != "accept":
        return trace.verdict
    return ("masq " if trace.masqueraded else "") + trace.target


@pytest.mark.parametrize(
    ("spec", "endpoints", "source", "to", "want"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_packets(
    service: Any, endpoint_slice: Any, spec: Any, endpoints: Any, source: str, to: tuple[str, int], want: str
) -> None:
    table = ruleset([service(**spec)], [endpoint_slice(*endpoints)], NODE)
    assert outcome(Tracer(table, SELF), source, to) == want


def test_every_endpoint_gets_its_share(service: Any, endpoint_slice: Any) -> None:
    table = ruleset(
        [service()],
        [endpoint_slice("10.128.1.5", "10.128.2.6"), endpoint_slice("10.128.2.7", name="b")],
        NODE,
    )
    seen = {outcome(Tracer(table, SELF, pick), POD, (VIP, 80)) for pick in range(3)}
    assert seen == {"10.128.1.5:8080", "10.128.2.6:8080", "10.128.2.7:8080"}


def test_affinity_keeps_a_client_where_it_was(service: Any, endpoint_slice: Any) -> None:
    web = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    tracer = Tracer(ruleset([web], [endpoint_slice("10.128.1.5", "10.128.2.6")], NODE), SELF, pick=1)
    assert outcome(tracer, POD, (VIP, 80)) == "10.128.2.6:8080"
    tracer.pick = 0
    assert outcome(tracer, POD, (VIP, 80)) == "10.128.2.6:8080"
    assert outcome(tracer, "10.128.1.77", (VIP, 80)) == "10.128.1.5:8080"


@pytest.mark.parametrize(
    ("hints", "want"),
    [
        ({"forNodes": [{"name": "n1"}]}, {"10.128.1.5:8080"}),
        ({"forZones": [{"name": "east"}]}, {"10.128.1.5:8080"}),
        ({}, {"10.128.1.5:8080", "10.128.2.6:8080"}),
    ],
)
def test_hints(service: Any, endpoint_slice: Any, hints: Any, want: set[str]) -> None:
    other = {key: [{"name": "elsewhere"}] for key in hints}
    ready = {"ready": True}
    table = ruleset(
        [service()],
        [
            endpoint_slice(
                {"addresses": ["10.128.1.5"], "hints": hints, "conditions": ready},
                {"addresses": ["10.128.2.6"], "hints": other, "conditions": ready},
            )
        ],
        NodeFacts("n1", (SELF,), "east", ("10.128.0.0/16",)),
    )
    assert {outcome(Tracer(table, SELF, pick), POD, (VIP, 80)) for pick in range(2)} == want


def test_udp_and_tcp_of_one_port_are_two_services(service: Any, endpoint_slice: Any) -> None:
    dns = service(ports=[{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 53}])
    slices = [endpoint_slice("10.128.1.5", name="dns", protocol="UDP", port=1053)]
    table = ruleset([dns], [{**slices[0], "ports": [{"name": "dns", "port": 1053, "protocol": "UDP"}]}], NODE)
    assert outcome(Tracer(table, SELF), POD, (VIP, 53), "udp") == "10.128.1.5:1053"
    assert outcome(Tracer(table, SELF), POD, (VIP, 53), "tcp") == "reject"


def test_ipv6(service: Any, endpoint_slice: Any) -> None:
    web = service(clusterIPs=["10.64.0.20", "fd00:1::20"], sessionAffinity="ClientIP")
    table = ruleset([web], [endpoint_slice("fd00:2::5", family="IPv6")], NODE, "IPv6")
    assert table.family == "ip6"
    assert outcome(Tracer(table, SELF), "fd00:2::9", ("fd00:1::20", 80)) == "fd00:2::5:8080"


@pytest.mark.parametrize(
    ("name", "spec", "want"),
    [
        ("plain", {}, True),
        ("headless", {"clusterIP": "None"}, False),
        ("external name", {"type": "ExternalName"}, False),
        ("not allocated", {"clusterIP": ""}, False),
        ("another proxy's", {"labels": {"service.kubernetes.io/service-proxy-name": "x"}}, False),
    ],
)
def test_is_proxied(service: Any, name: str, spec: Any, want: bool) -> None:
    assert is_proxied(service(**spec)) is want
    assert bool(service_ports(service(**spec), "IPv4")) is want


def test_names_stay_within_the_kernel_limit(service: Any) -> None:
    [port] = service_ports(service(name="n" * 63), "IPv4")
    assert len(port.chain("endpoint", "10.128.111.111/65535")) <= 127


def test_node_ports_on_ranges() -> None:
    """None overlaps another, as no set of ranges takes that; a service of a range is one of this machine."""
    given = ("10.0.0.7/8", "10.1.0.0/16", "192.168.1.2", "fd00::/8", "primary")
    assert node_port_addresses(given, "IPv4") == ("10.0.0.0/8", "192.168.1.2/32")
    assert node_port_addresses(given, "IPv6") == ("fd00::/8",)
    assert node_port_addresses(("10.0.0.7", "::1"), "IPv4") == ("10.0.0.7",)
    table = ruleset([], [], NodeFacts("n1", ("10.0.0.0/8",)))
    assert table.containers["nodeport-ips"].spec == "type ipv4_addr; flags interval;"
    only_own = "fib daddr type local ip daddr != 127.0.0.0/8 ip daddr @nodeport-ips "
    assert table.chains["services"].rules[1].startswith(only_own)


def test_service_of(endpoint_slice: Any) -> None:
    assert service_of(endpoint_slice()) == "default/web"
    assert service_of({"metadata": {"name": "x"}}) == ""


def test_the_table(service: Any, endpoint_slice: Any, golden: Any) -> None:
    """The whole table by how it reads."""
    services = [
        service(),
        service("gone", clusterIP="10.64.0.21"),
        service("edge", clusterIP="10.64.0.22", externalTrafficPolicy="Local", **BALANCER,
                loadBalancerSourceRanges=["192.0.2.0/24"]),
        service("sticky", clusterIP="10.64.0.23", sessionAffinity="ClientIP"),
    ]  # fmt: skip
    slices = [endpoint_slice(LOCAL, REMOTE, service=name) for name in ("web", "edge", "sticky")]
    golden("table.nft", render(ruleset(services, slices, NODE)))
