"""What an update of a Service keeps, mirrors and lets go of."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.services import fields

Spec = dict[str, Any]
HELD: Spec = {"type": "ClusterIP", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]}
NODE: Spec = {**HELD, "type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30001}]}
LOCAL: Spec = {**HELD, "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009}

KEEP: dict[str, tuple[Spec, Spec, Spec]] = {
    "addresses left out": ({"type": "ClusterIP"}, HELD, HELD),
    "addresses of another type": ({"type": "LoadBalancer"}, HELD, {**HELD, "type": "LoadBalancer"}),
    "another address is not completed": (
        {"type": "ClusterIP", "clusterIP": "10.0.0.8"},
        HELD,
        {"type": "ClusterIP", "clusterIP": "10.0.0.8"},
    ),
    "no address for external names": ({"type": "ExternalName"}, HELD, {"type": "ExternalName"}),
    "node port by the entry's name": (
        {"type": "NodePort", "ports": [{"name": "a", "port": 81}]},
        NODE,
        {**NODE, "ports": [{"name": "a", "port": 81, "nodePort": 30001}]},
    ),
    "node port that moved to another entry": (
        {
            "type": "NodePort",
            "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30001}],
        },
        NODE,
        {
            **NODE,
            "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30001}],
        },
    ),
    "no node port for a load balancer that is to have none": (
        {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"name": "a", "port": 80}],
        },
        {**NODE, "type": "LoadBalancer"},
        {
            **HELD,
            "type": "LoadBalancer",
            "ports": [{"name": "a", "port": 80}],
        },
    ),
    "health check": (
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
        LOCAL,
        LOCAL,
    ),
}


@pytest.mark.parametrize(("new", "old", "expected"), KEEP.values(), ids=KEEP)
def test_keep_allocated(new: Spec, old: Spec, expected: Spec) -> None:
    spec = {**new, "ports": [dict(port) for port in new.get("ports") or ()]}
    fields.keep_allocated(spec, old)
    assert {key: value for key, value in spec.items() if value} == expected


MIRROR: dict[str, tuple[Spec, Spec | None, list[str] | None]] = {
    "new with the singular": ({"clusterIP": "None"}, None, ["None"]),
    "new with both": ({"clusterIP": "a", "clusterIPs": ["b"]}, None, ["b"]),
    "new with neither": ({}, None, None),
    "singular cleared": ({"clusterIPs": ["10.0.0.9"]}, HELD, None),
    "singular changed": ({"clusterIP": "10.0.0.8", "clusterIPs": ["10.0.0.9"]}, HELD, ["10.0.0.8"]),
    "singular changed, plural cleared": ({"clusterIP": "10.0.0.8"}, HELD, None),
    "plural changed": (
        {"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9", "::1"]},
        HELD,
        ["10.0.0.9", "::1"],
    ),
    "singular of what was external": ({"clusterIP": "None"}, {"type": "ExternalName"}, ["None"]),
}


@pytest.mark.parametrize(("new", "old", "expected"), MIRROR.values(), ids=MIRROR)
def test_mirror(new: Spec, old: Spec | None, expected: list[str] | None) -> None:
    spec = dict(new)
    fields.mirror_cluster_ips(spec, old)
    assert spec.get("clusterIPs") == expected


A, B, V6, OTHER_V6 = "10.0.0.10", "10.0.0.11", "2000::1", "3000::1"
NORMALIZED: dict[str, tuple[tuple[str, list[str]] | None, tuple[str, list[str]], list[str]]] = {
    # the singular and the plural before, those written, the plural that comes of it
    "new, the singular": (None, (A, []), [A]),
    "new, the plural": (None, ("", [A]), [A]),
    "new, both": (None, (A, [A]), [A]),
    "no change": ((A, [A]), (A, [A]), [A]),
    "both changed": ((A, [A]), (B, [B]), [B]),
    "all changed": ((A, [A, V6]), (B, [B, OTHER_V6]), [B, OTHER_V6]),
    "a second one comes": ((A, [A]), (A, [A, V6]), [A, V6]),
    "a second one goes": ((A, [A, V6]), (A, [A]), [A]),
    "the singular cleared": ((A, [A]), ("", [A]), []),
    "the plural cleared, by clients that know none": ((A, [A]), (A, []), [A]),
    "both cleared": ((A, [A]), ("", []), []),
    "the singular cleared, the plural changed": ((A, [A]), ("", [B]), [B]),
    "the plural cleared, the singular changed": ((A, [A, V6]), (B, []), []),
    "an address instead of none": (("None", ["None"]), (A, ["None"]), [A]),
    "none instead of an address": ((A, [A]), ("None", [A]), ["None"]),
    "none instead of an address, another in the plural": ((A, [A, V6]), ("None", [B, V6]), [B, V6]),
}


@pytest.mark.parametrize(("old", "new", "expected"), NORMALIZED.values(), ids=NORMALIZED)
def test_which_of_the_two_is_followed(
    old: tuple[str, list[str]] | None, new: tuple[str, list[str]], expected: list[str]
) -> None:
    """The singular stays as it was written, whatever is wrong with it."""
    spec: Spec = {"clusterIP": new[0], "clusterIPs": list(new[1])}
    before = None if old is None else {"clusterIP": old[0], "clusterIPs": old[1]}
    fields.mirror_cluster_ips(spec, before)
    assert (spec["clusterIP"], spec.get("clusterIPs") or []) == (new[0], expected)


def balanced(kind: str, *nodes: int, **more: Any) -> Spec:
    ports: list[Spec] = [{"port": 93 + at, "nodePort": number} for at, number in enumerate(nodes)]
    return {"type": kind, "ports": ports, **more}


LOAD, ALL = "LoadBalancer", {"clusterIP": A, "clusterIPs": [A, V6], "healthCheckNodePort": 31234}
ONLY_IPS, TO_LOCAL = {"clusterIP": A, "clusterIPs": [A, V6]}, {"externalTrafficPolicy": "Local"}
NONE, SOME = {"allocateLoadBalancerNodePorts": False}, {"allocateLoadBalancerNodePorts": True}
PATCHED: dict[str, tuple[Spec, Spec, bool, list[int], bool]] = {
    # before, an update, whether it gets the addresses, its node ports, whether it gets the check's
    "all": (balanced(LOAD, 3, **ALL, **TO_LOCAL), balanced(LOAD, 0, **TO_LOCAL), True, [3], True),
    "addresses": (balanced("ClusterIP", 3, **ALL), balanced("ClusterIP", 0), True, [0], False),
    "node ports": (balanced("NodePort", 3, **ALL), balanced("NodePort", 0, **ONLY_IPS), True, [3], False),
    "the port of the check": (
        balanced(LOAD, 3, **ALL, **TO_LOCAL), balanced(LOAD, 3, **ONLY_IPS, **TO_LOCAL), True, [3], True
    ),
    "nothing": (
        balanced("ExternalName", 3, **ALL, **TO_LOCAL), balanced("ExternalName", 0, **TO_LOCAL),
        False, [0], False,
    ),
    "no node ports": (
        balanced(LOAD, 3, **ALL, **NONE), balanced(LOAD, 0, **ONLY_IPS, **NONE), True, [0], False
    ),
    "one node port less": (
        balanced(LOAD, 3, 4, **ALL, **NONE), balanced(LOAD, 3, 0, **ONLY_IPS, **NONE), True, [3, 0], False
    ),
    "node ports of a balancer": (
        balanced(LOAD, 3, **ALL, **SOME), balanced(LOAD, 0, **ONLY_IPS, **SOME), True, [3], False
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "addresses", "nodes", "check"), PATCHED.values(), ids=PATCHED)
def test_what_an_update_is_given(
    old: Spec, new: Spec, nodes: list[int], *, addresses: bool, check: bool
) -> None:
    spec = {**new, "ports": [dict(port) for port in new["ports"]]}
    fields.keep_allocated(spec, old)
    assert spec.get("clusterIPs", []) == ([A, V6] if addresses else [])
    assert spec.get("clusterIP", "") == (A if addresses else "")
    assert [port["nodePort"] for port in spec["ports"]] == nodes
    assert ("healthCheckNodePort" in spec) is check


FAMILIES: Spec = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
DROP: dict[str, tuple[Spec, Spec, Spec]] = {
    "external name": (
        {**HELD, **FAMILIES, "type": "ExternalName"},
        {**HELD, **FAMILIES},
        {"type": "ExternalName"},
    ),
    "external name with a new address": (
        {**HELD, "type": "ExternalName", "clusterIP": "10.0.0.8"},
        HELD,
        {**HELD, "type": "ExternalName", "clusterIP": "10.0.0.8"},
    ),
    "node ports": (
        {**NODE, "type": "ClusterIP"},
        NODE,
        {**NODE, "type": "ClusterIP", "ports": [{"name": "a", "port": 80}]},
    ),
    "node ports of which one goes": (
        {**NODE, "type": "ClusterIP"},
        {**NODE, "ports": [*NODE["ports"], {"name": "b", "port": 81, "nodePort": 30002}]},
        {**NODE, "type": "ClusterIP", "ports": [{"name": "a", "port": 80}]},
    ),
    "node ports that were just changed": (
        {**NODE, "type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30002}]},
        NODE,
        {**NODE, "type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30002}]},
    ),
    "health check and policy": (
        {**LOCAL, "type": "ClusterIP", "allocateLoadBalancerNodePorts": True, "loadBalancerClass": "x/y"},
        {**LOCAL, "allocateLoadBalancerNodePorts": True, "loadBalancerClass": "x/y"},
        HELD,
    ),
    "a policy that external addresses need": (
        {
            **NODE,
            "type": "ClusterIP",
            "externalIPs": ["1.2.3.4"],
            "externalTrafficPolicy": "Cluster",
            "ports": [],
        },
        {**NODE, "externalTrafficPolicy": "Cluster"},
        {**HELD, "externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Cluster", "ports": []},
    ),
}


@pytest.mark.parametrize(("new", "old", "expected"), DROP.values(), ids=DROP)
def test_drop_inapplicable(new: Spec, old: Spec, expected: Spec) -> None:
    spec = {**new}
    if "ports" in new:
        spec["ports"] = [dict(port) for port in new["ports"]]
    fields.drop_inapplicable(spec, old)
    assert spec == expected


def test_what_is_held() -> None:
    assert fields.node_ports({"ports": [{"nodePort": 1}, {"nodePort": 1}, {}], "healthCheckNodePort": 2}) == [
        1,
        2,
    ]
    assert fields.cluster_ips({"clusterIP": "None"}) == []
    assert fields.cluster_ips({"clusterIP": "10.0.0.1"}) == ["10.0.0.1"]
