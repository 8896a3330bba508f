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
