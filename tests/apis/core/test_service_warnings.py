"""What clients are warned about in Services."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.core.service_warnings import cidr_warnings, ip_warnings, service_warnings

HINTS = "service.kubernetes.io/topology-aware-hints"
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"type": "ClusterIP", "clusterIP": "10.0.0.1"}, []),
    "headless": (
        {
            "clusterIP": "None",
            "sessionAffinity": "ClientIP",
            "externalIPs": ["1.2.3.4"],
            "loadBalancerIP": "1.2.3.4",
        },
        [
            "spec.loadBalancerIP is ignored for headless services",
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ],
    ),
    "external addresses": (
        {"type": "ClusterIP", "externalIPs": ["1.2.3.4"]},
        ["spec.externalIPs is deprecated"],
    ),
    "external addresses of another name": (
        {"type": "ExternalName", "externalIPs": ["1.2.3.4"]},
        ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
    ),
    "name of what has none": (
        {"type": "ClusterIP", "externalName": "a.b"},
        ['spec.externalName is ignored when spec.type is not "ExternalName"'],
    ),
    "old distribution": (
        {"type": "ClusterIP", "trafficDistribution": "PreferClose"},
        ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
    ),
}


@pytest.mark.parametrize(("spec", "expected"), CASES.values(), ids=CASES)
def test_warnings(spec: dict[str, Any], expected: list[str]) -> None:
    assert service_warnings({"spec": spec}, None) == expected


def test_annotation() -> None:
    found = service_warnings({"metadata": {"annotations": {HINTS: "Auto"}}, "spec": {}}, None)
    assert found == [
        f"annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    ]


def test_spellings() -> None:
    assert ip_warnings("p", "10.0.0.1") == []
    assert ip_warnings("p", "::1") == []
    assert ip_warnings("p", "0:0::1") == [
        'p: IPv6 address "0:0::1" should be in RFC 5952 canonical format ("::1")'
    ]
    assert cidr_warnings("p", "10.0.0.0/8") == []
    assert cidr_warnings("p", "10.0.0.1/8") == [
        'p: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)'
    ]
    assert cidr_warnings("p", "0::/64") == [
        'p: IPv6 CIDR value "0::/64" should be in RFC 5952 canonical format ("::/64")'
    ]
