"""Rules of Services, new, changed and in their status."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apis.core.service_addresses import validate_cluster_ips
from tiphys.apis.core.service_defaults import default_service
from tiphys.apis.core.service_validation import (
    validate_service,
    validate_service_status,
    validate_service_update,
)

Service = dict[str, Any]
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
ONLY_LB = "may only be used when `type` is 'LoadBalancer'"
HINTS, MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def service(annotations: dict[str, str] | None = None, **spec: Any) -> Service:
    spec.setdefault("ports", [{"port": 80}])
    made = {"metadata": {"name": "s", "annotations": annotations or {}}, "spec": spec}
    default_service(made)
    return made


def addressed(*ips: str, **spec: Any) -> Service:
    return service(clusterIP=ips[0] if ips else "", clusterIPs=list(ips), **spec)


CREATE: dict[str, tuple[Service, list[str]]] = {
    "plain": (service(), []),
    "load balancer": (service(type="LoadBalancer", loadBalancerClass="x.y/z"), []),
    "traffic distribution": (service(trafficDistribution="PreferSameNode"), []),
    "topology annotations differ": (
        service({HINTS: "Auto", MODE: "auto"}),
        [
            f'metadata.annotations[{MODE}]: Invalid value: "auto": must match annotations[{HINTS}] when both '
            "are specified"
        ],
    ),
    "headless node port": (
        addressed("None", type="NodePort"),
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
    "external name with all it may not have": (
        addressed("10.0.0.1", type="ExternalName", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack"),
        [
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
            "spec.externalName: Required value",
        ],
    ),
    "fully qualified external name": (service(type="ExternalName", externalName="example.com."), []),
    "singular and plural differ": (
        service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.2"]),
        ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`'],
    ),
    "plural alone": (
        service(clusterIPs=["10.0.0.2"]),
        ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: must be empty when `clusterIP` is not specified'],
    ),
    "None and more": (
        addressed("None", "10.0.0.1"),
        ['spec.clusterIPs: Invalid value: ["None","10.0.0.1"]: \'None\' must be the first and only value'],
    ),
    "two of a family": (
        addressed("10.0.0.1", "10.0.0.2"),
        [
            'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for '
            "each IP family"
        ],
    ),
    "three": (
        addressed("10.0.0.1", "::1", "::2"),
        ['spec.clusterIPs: Invalid value: ["10.0.0.1","::1","::2"]: may only hold up to 2 values'],
    ),
    "address of the other family": (
        addressed("10.0.0.1", ipFamilies=["IPv6"]),
        [
            'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by '
            "`ipFamilies[0]`"
        ],
    ),
    "families": (
        service(ipFamilies=["IPv5", "IPv5"], ipFamilyPolicy="Both"),
        [
            'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
            'spec.ipFamilies[1]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
            'spec.ipFamilies[1]: Duplicate value: "IPv5"',
            'spec.ipFamilyPolicy: Unsupported value: "Both": supported values: "PreferDualStack", '
            '"RequireDualStack", "SingleStack"',
        ],
    ),
    "affinity without its settings": (
        {"metadata": {}, "spec": {**service()["spec"], "sessionAffinity": "ClientIP"}},
        ["spec.sessionAffinityConfig: Required value: when session affinity type is ClientIP"],
    ),
    "affinity": (
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}}),
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than "
            "0 and less than 86400"
        ],
    ),
    "external addresses": (
        service(externalIPs=["x", "0.0.0.0", "127.0.0.1", "169.254.0.1", "224.0.0.1", "239.0.0.1"]),
        [
            f'spec.externalIPs[0]: Invalid value: "x": {IP}',
            'spec.externalIPs[1]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
            'spec.externalIPs[2]: Invalid value: "127.0.0.1": may not be in the loopback range '
            "(127.0.0.0/8, ::1/128)",
            'spec.externalIPs[3]: Invalid value: "169.254.0.1": may not be in the link-local range '
            "(169.254.0.0/16, fe80::/10)",
            'spec.externalIPs[4]: Invalid value: "224.0.0.1": may not be in the link-local multicast range '
            "(224.0.0.0/24, ff02::/10)",
        ],
    ),
    "node port twice": (
        service(
            type="NodePort",
            ports=[
                {"name": "a", "port": 80, "nodePort": 30000},
                {"name": "b", "port": 81, "nodePort": 30000},
                {"name": "c", "port": 81, "nodePort": 30000, "protocol": "UDP"},
            ],
        ),
        ["spec.ports[1].nodePort: Duplicate value: 30000"],
    ),
    "source ranges": (
        service(type="LoadBalancer", loadBalancerSourceRanges=[" 10.0.0.0/8 ", "10.0.0.1"]),
        [f'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1": {CIDR}'],
    ),
    "source ranges in an annotation": (
        service({RANGES: "10.0.0.0/8, x"}),
        [
            f"metadata.annotations[{RANGES}]: Forbidden: {ONLY_LB}",
            f'metadata.annotations[{RANGES}]: Invalid value: "x": {CIDR}',
        ],
    ),
    "settings of load balancers": (
        service(allocateLoadBalancerNodePorts=True, loadBalancerClass="x.y/z"),
        [
            f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY_LB}",
            f"spec.loadBalancerClass: Forbidden: {ONLY_LB}",
        ],
    ),
    "traffic policies": (
        service(externalTrafficPolicy="Local", internalTrafficPolicy="X", healthCheckNodePort=30000),
        [
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible '
            "services",
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' "
            "and `externalTrafficPolicy` is 'Local'",
            'spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"',
        ],
    ),
    "health check missing and out of bounds": (
        service(type="LoadBalancer", externalTrafficPolicy="Local"),
        ["spec.healthCheckNodePort: Required value"],
    ),
    "traffic distribution unknown": (
        service(trafficDistribution="Far"),
        [
            'spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", '
            '"PreferSameZone", "PreferSameNode"'
        ],
    ),
}


@pytest.mark.parametrize(("made", "expected"), CREATE.values(), ids=CREATE)
def test_create(made: Service, expected: list[str]) -> None:
    assert [str(fault) for fault in validate_service(made)] == expected


DUAL = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
ONE = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
UPDATE: dict[str, tuple[Service, Service, list[str]]] = {
    "same": (addressed("10.0.0.1", **ONE), addressed("10.0.0.1", **ONE), []),
    "second address comes": (addressed("10.0.0.1", **ONE), addressed("10.0.0.1", "::1", **DUAL), []),
    "second address goes": (addressed("10.0.0.1", "::1", **DUAL), addressed("10.0.0.1", **ONE), []),
    "second address goes without the policy": (
        addressed("10.0.0.1", "::1", **DUAL),
        addressed("10.0.0.1", ipFamilies=["IPv4"], ipFamilyPolicy="PreferDualStack"),
        [
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when "
            "releasing the secondary clusterIP",
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when "
            "releasing the secondary ipFamily",
        ],
    ),
    "both change": (
        addressed("10.0.0.1", **ONE),
        addressed("::1", ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"),
        [
            'spec.clusterIPs[0]: Invalid value: ["::1"]: may not change once set',
            'spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
        ],
    ),
    "unset": (
        addressed("10.0.0.1", **ONE),
        addressed(),
        [
            "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset",
            "spec.ipFamilies[0]: Invalid value: null: primary ipFamily can not be unset",
        ],
    ),
    "left out": (
        addressed("10.0.0.1", **ONE),
        service(),
        [
            "spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset",
            "spec.ipFamilies[0]: Invalid value: null: primary ipFamily can not be unset",
        ],
    ),
    "to headless": (
        addressed("10.0.0.1", **ONE),
        addressed("None", **ONE),
        ['spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'],
    ),
    "headless changes families": (
        addressed("None", **ONE),
        addressed("None", ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"),
        [],
    ),
    "from external name": (
        service(type="ExternalName", externalName="a.b"),
        addressed("10.0.0.1", **ONE),
        [],
    ),
    "load balancer class": (
        service(type="LoadBalancer", loadBalancerClass="a.b/c"),
        service(type="LoadBalancer"),
        ["spec.loadBalancerClass: Invalid value: null: may not change once set"],
    ),
    "load balancer class of no balancer, told twice": (
        service(),
        service(loadBalancerClass="a.b/c"),
        [f"spec.loadBalancerClass: Forbidden: {ONLY_LB}"] * 2,
    ),
    "health check port": (
        service(healthCheckNodePort=30001, **LOCAL),
        service(healthCheckNodePort=30002, **LOCAL),
        ["spec.healthCheckNodePort: Forbidden: field is immutable"],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), UPDATE.values(), ids=UPDATE)
def test_update(old: Service, new: Service, expected: list[str]) -> None:
    assert [str(fault) for fault in validate_service_update(new, old)] == expected


def with_status(*ingress: dict[str, Any], kind: str = "LoadBalancer") -> Service:
    return {"spec": {"type": kind}, "status": {"loadBalancer": {"ingress": list(ingress)}}}


AT = "status.loadBalancer.ingress"
STATUS: dict[str, tuple[Service, list[str]]] = {
    "good": (with_status({"ip": "1.2.3.4", "ipMode": "VIP"}, {"hostname": "a.b"}), []),
    "empty on others": (with_status(kind="ClusterIP"), []),
    "on others": (
        with_status({"ip": "1.2.3.4"}, kind="NodePort"),
        [f"{AT}: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    ),
    "address": (with_status({"ip": "x", "ipMode": "VIP"}), [f'{AT}[0].ip: Invalid value: "x": {IP}']),
    "mode missing": (
        with_status({"ip": "1.2.3.4"}),
        [f"{AT}[0].ipMode: Required value: must be specified when `ip` is set"],
    ),
    "mode without address": (
        with_status({"ipMode": "VIP", "hostname": "a"}),
        [f"{AT}[0].ipMode: Forbidden: may not be specified when `ip` is not set"],
    ),
    "mode": (
        with_status({"ip": "1.2.3.4", "ipMode": "X"}),
        [f'{AT}[0].ipMode: Unsupported value: "X": supported values: "Proxy", "VIP"'],
    ),
    "host": (
        with_status({"hostname": "1.2.3.4"}),
        [f'{AT}[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
    ),
}


@pytest.mark.parametrize(("made", "expected"), STATUS.values(), ids=STATUS)
def test_status(made: Service, expected: list[str]) -> None:
    assert [str(fault) for fault in validate_service_status(made, made)] == expected


@pytest.mark.parametrize(
    ("addresses", "families", "expected"),
    [
        (["010.0.0.1"], ["IPv4"], []),
        (
            ["010.0.0.1"],
            ["IPv6"],
            [
                'spec.clusterIPs[0]: Invalid value: "010.0.0.1": expected an IPv6 value as indicated by '
                "`ipFamilies[0]`"
            ],
        ),
        (
            ["010.0.0.1", "::ffff:10.0.0.2"],
            [],
            [
                'spec.clusterIPs: Invalid value: ["010.0.0.1","::ffff:10.0.0.2"]: may specify no more than '
                "one IP for each IP family"
            ],
        ),
    ],
)
def test_ambiguous_addresses_where_they_are_let_through(
    addresses: list[str], families: list[str], expected: list[str]
) -> None:
    spec = {"clusterIP": addresses[0], "clusterIPs": addresses, "ipFamilies": families}
    with using(FeatureGates({"StrictIPCIDRValidation": False})):
        assert [str(fault) for fault in validate_cluster_ips(spec)] == expected
