"""Addresses and ranges have one meaning; what was stored before may stay."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.core.addresses import cidr_faults, ip_faults
from tiphys.apis.strategies import strategy_for

NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
ADDRESSES = {
    "10.9.8.7": "",
    "2001:DB8:0::ffff": "",
    "": NOT_IP,
    "10.9.8": NOT_IP,
    "fe80::1%eth0": NOT_IP,
    "10.256.0.1": NOT_IP,
    "010.9.8.7": "must not have leading 0s",
    "::ffff:10.9.8.7": "must not be an IPv4-mapped IPv6 address",
}
RANGES = {
    "10.9.8.0/24": "",
    "2001:DB8::/64": "",
    "10.9.8.7": NOT_CIDR,
    "10.9.8.0/33": NOT_CIDR,
    "10.9.8.0/" + "9" * 5000: NOT_CIDR,
    "10.9.8.0/255.255.255.0": NOT_CIDR,
    "fe80::%eth0/64": NOT_CIDR,
    "010.9.8.0/24": "must not have leading 0s in IP or prefix length",
    "10.0.0.0/08": "must not have leading 0s in IP or prefix length",
    "::ffff:10.9.8.0/120": "must not have an IPv4-mapped IPv6 address",
    "::ffff:10.9.8.0/64": "must not have an IPv4-mapped IPv6 address",
    "10.9.8.7/24": "must not have bits set beyond the prefix length",
}


@pytest.mark.parametrize(("value", "text"), ADDRESSES.items())
def test_addresses(value: str, text: str) -> None:
    expected = [f'p: Invalid value: "{value}": {text}'] if text else []
    assert [str(fault) for fault in ip_faults(value, "p")] == expected


@pytest.mark.parametrize(("value", "text"), RANGES.items())
def test_ranges(value: str, text: str) -> None:
    expected = [f'p: Invalid value: "{value}": {text}'] if text else []
    assert [str(fault) for fault in cidr_faults(value, "p")] == expected


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    whole = {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Cluster",
    }
    return {"spec": {**whole, "ports": ports, **spec}}


def policy(cidr: str) -> dict[str, Any]:
    return {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}}


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


OLD = "010.9.8.7"
CASES: dict[str, tuple[GVK, dict[str, Any]]] = {
    "outer addresses": (GVK("", "v1", "Service"), service(externalIPs=[OLD])),
    "peers": (GVK("networking.k8s.io", "v1", "NetworkPolicy"), policy("10.9.8.7/24")),
    "names of hosts": (GVK("", "v1", "Pod"), pod(hostAliases=[{"ip": OLD, "hostnames": ["a"]}])),
    "ranges of nodes": (
        GVK("", "v1", "Node"),
        {"spec": {"podCIDR": "10.9.8.7/24", "podCIDRs": ["10.9.8.7/24"]}},
    ),
    "endpoints": (GVK("", "v1", "Endpoints"), {"subsets": [{"addresses": [{"ip": OLD}]}]}),
    "slices": (
        GVK("discovery.k8s.io", "v1", "EndpointSlice"),
        {"addressType": "IPv4", "endpoints": [{"addresses": [OLD]}], "ports": []},
    ),
}


@pytest.mark.parametrize(("gvk", "obj"), CASES.values(), ids=CASES)
def test_what_was_there_may_stay(gvk: GVK, obj: dict[str, Any]) -> None:
    strategy = strategy_for(gvk)
    old: dict[str, Any] = copy_object(obj)
    old["metadata"] = {"name": "x", "namespace": "n", "uid": "u"}
    strategy.default(old)
    strategy.prepare_create(old)
    assert strategy.validate(old) != []
    new = copy_object(old)
    new["metadata"]["labels"] = {"touched": "yes"}
    assert strategy.validate_update(new, old) == []


def test_another_ambiguous_address_may_not_come() -> None:
    strategy = strategy_for(GVK("", "v1", "Service"))
    old, new = service(externalIPs=[OLD]), service(externalIPs=["010.9.8.6", OLD])
    assert [str(fault) for fault in strategy.validate_update(new, old)] == [
        'spec.externalIPs[0]: Invalid value: "010.9.8.6": must not have leading 0s'
    ]


def test_changed_endpoints_are_held_to_the_rules() -> None:
    strategy = strategy_for(GVK("", "v1", "Endpoints"))
    old = {"subsets": [{"addresses": [{"ip": OLD}]}]}
    new = {"subsets": [{"addresses": [{"ip": OLD}, {"ip": "10.9.8.8"}]}]}
    assert [str(fault) for fault in strategy.validate_update(new, old)] == [
        f'subsets[0].addresses[0].ip: Invalid value: "{OLD}": must not have leading 0s'
    ]


def test_addresses_in_a_status_may_stay() -> None:
    strategy = strategy_for(GVK("networking.k8s.io", "v1", "Ingress"))
    old = {"status": {"loadBalancer": {"ingress": [{"ip": OLD}]}}}
    assert strategy.validate_status_update(old, {"status": {}}) != []
    assert strategy.validate_status_update(copy_object(old), old) == []


def test_services_are_named_like_other_objects() -> None:
    strategy = strategy_for(GVK("", "v1", "Service"))
    assert strategy.validate_name("1-a") == []
    assert strategy.validate_name("a.b") != []
