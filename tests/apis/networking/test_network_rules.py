"""What may not be in ingresses, ingress classes, network policies, IPAddresses and ServiceCIDRs."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Body = dict[str, Any]

GROUP = "networking.k8s.io/v1"
SERVICE = {"service": {"name": "s", "port": {"number": 80}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": SERVICE}
CLASS = "kubernetes.io/ingress.class"


def obj(kind: str, *, name: str = "x", annotations: Body | None = None, **spec: Any) -> Body:
    meta = {"name": name, "namespace": "ns", "annotations": annotations or {}}
    return {"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec}


def ingress(host: str = "", **path: Any) -> Body:
    return obj("Ingress", rules=[{"host": host, "http": {"paths": [{**PATH, **path}]}}])


def backend(**backend: Any) -> Body:
    return ingress(backend=backend)


def ingress_class(**spec: Any) -> Body:
    return obj("IngressClass", **{"controller": "a.b/c", **spec})


def parameters(**given: Any) -> Body:
    return ingress_class(parameters={"kind": "K", "name": "n", **given})


def policy(**rule: Any) -> Body:
    return obj("NetworkPolicy", podSelector={}, ingress=[rule])


def port(**port: Any) -> Body:
    return policy(ports=[port])


def cidrs(*cidrs: str) -> Body:
    return obj("ServiceCIDR", cidrs=list(cidrs))


AT = "spec.rules[0].http.paths[0]"
PORT = "spec.ingress[0].ports[0]"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NUMBER = "must be between 1 and 65535, inclusive"
NEW: dict[str, tuple[Body, list[str]]] = {
    "nothing": (
        obj("Ingress", defaultBackend={}, tls=[{"hosts": ["*"], "secretName": "A"}]),
        [
            'spec.defaultBackend: Invalid value: "": resource or service backend is required',
            "spec.tls[0].hosts[0]: Invalid value: \"*\": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
            "subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character "
            "(e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}',
        ],
    ),
    "class twice": (
        obj("Ingress", annotations={CLASS: "a"}, defaultBackend=SERVICE, ingressClassName="b"),
        [f'annotations.{CLASS}: Invalid value: "a": must match `ingressClassName` when both are specified'],
    ),
    "address for a host": (
        ingress("1.2.3.4"),
        ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
    ),
    "no paths": (
        obj("Ingress", rules=[{"http": {"paths": []}}]),
        ["spec.rules[0].http.paths: Required value"],
    ),
    "path type": (
        ingress(pathType="X"),
        [
            f'{AT}.pathType: Unsupported value: "X": supported values: "Exact", "ImplementationSpecific", "Prefix"'
        ],
    ),
    "path": (
        ingress(path="a//b/."),
        [
            f'{AT}.path: Invalid value: "a//b/.": must be an absolute path',
            f"{AT}.path: Invalid value: \"a//b/.\": must not contain '//'",
            f"{AT}.path: Invalid value: \"a//b/.\": cannot end with '/.'",
        ],
    ),
    "any path of its own kind": (ingress(path="", pathType="ImplementationSpecific"), []),
    "both backends": (
        backend(**SERVICE, resource={"kind": "K", "name": "n"}),
        [f'{AT}.backend: Invalid value: "": cannot set both resource and service backends'],
    ),
    "resource": (
        backend(resource={"kind": "a/b", "apiGroup": "A"}),
        [
            f'{AT}.backend.resource.apiGroup: Invalid value: "A": {SUBDOMAIN}',
            f"{AT}.backend.resource.kind: Invalid value: \"a/b\": may not contain '/'",
            f"{AT}.backend.resource.name: Required value",
        ],
    ),
    "service": (
        backend(service={"port": {}}),
        [
            f"{AT}.backend.service.name: Required value",
            f"{AT}.backend: Required value: port name or number is required",
        ],
    ),
    "port twice": (
        backend(service={"name": "s", "port": {"name": "a", "number": 1}}),
        [f'{AT}.backend: Invalid value: "": cannot set both port name & port number'],
    ),
    "port number": (
        backend(service={"name": "s", "port": {"number": 70000}}),
        [f"{AT}.backend.service.port.number: Invalid value: 70000: {NUMBER}"],
    ),
    "controller missing": (ingress_class(controller=""), ["spec.controller: Required value"]),
    "controller": (
        ingress_class(controller="A/b c"),
        [
            f'spec.controller: Invalid value: "A": {SUBDOMAIN}',
            "spec.controller: Invalid value: \"b c\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
        ],
    ),
    "long controller": (
        ingress_class(controller="a.b/" + "c" * 250),
        ["spec.controller: Too long: may not be more than 250 bytes"],
    ),
    "parameters": (
        parameters(kind="", name="", scope="X"),
        [
            "spec.parameters.kind: Required value",
            "spec.parameters.name: Required value",
            'spec.parameters.scope: Unsupported value: "X": supported values: "Cluster", "Namespace"',
        ],
    ),
    "parameters of a namespace": (
        parameters(scope="Namespace"),
        ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
    ),
    "parameters of the cluster": (
        parameters(namespace="n"),
        ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    ),
    "protocol": (
        port(protocol="X"),
        [f'{PORT}.protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"'],
    ),
    "ports backwards": (
        port(port=10, endPort=5),
        [f"{PORT}.endPort: Invalid value: 10: must be greater than or equal to `port`"],
    ),
    "ports out of range": (
        port(port=0, endPort=70000),
        [f"{PORT}.port: Invalid value: 0: {NUMBER}", f"{PORT}.endPort: Invalid value: 70000: {NUMBER}"],
    ),
    "named ports have no end": (
        port(port="a", endPort=5),
        [f"{PORT}.endPort: Invalid value: 5: may not be specified when `port` is non-numeric"],
    ),
    "an end alone": (
        port(endPort=5),
        [f"{PORT}.endPort: Invalid value: 5: may not be specified when `port` is not specified"],
    ),
    "two peers in one": (
        policy(**{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        ["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
    ),
    "block": (
        policy(**{"from": [{"ipBlock": {}}]}),
        ["spec.ingress[0].from[0].ipBlock.cidr: Required value"],
    ),
    "block of another family": (
        policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/8", "10.0.0.0/8"]}}]}),
        [
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "fd00::/8": must be a strict subset of `cidr`',
            'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        ],
    ),
    "policy types": (
        obj("NetworkPolicy", policyTypes=["X"]),
        ['spec.policyTypes[0]: Unsupported value: "X": supported values: "Ingress", "Egress"'],
    ),
    "too many policy types": (
        obj("NetworkPolicy", policyTypes=["Ingress"] * 3),
        [
            'spec.policyTypes: Invalid value: ["Ingress","Ingress","Ingress"]: may not specify more than two policyTypes'
        ],
    ),
    "address without parent": (obj("IPAddress", name="1.2.3.4"), ["spec.parentRef: Required value"]),
    "address of nothing": (
        obj("IPAddress", name="1.2.3.4", parentRef={"group": "A", "namespace": "a/b"}),
        [
            f'spec.parentRef.group: Invalid value: "A": {SUBDOMAIN}',
            "spec.parentRef.resource: Required value",
            "spec.parentRef.name: Required value",
            "spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'",
        ],
    ),
    "no range": (cidrs(), ["spec.cidrs: Required value: at least one CIDR required"]),
    "three ranges": (
        cidrs("10.0.0.0/8", "fd00::/64", "11.0.0.0/8"),
        [
            'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","fd00::/64","11.0.0.0/8"]}: may only hold up to 2 values'
        ],
    ),
    "two ranges of a family": (
        cidrs("10.0.0.0/8", "11.0.0.0/8"),
        [
            'spec.cidrs: Invalid value: ["10.0.0.0/8","11.0.0.0/8"]: may specify no more than one IP for each IP family, '
            "i.e 192.168.0.0/24 and 2001:db8::/64"
        ],
    ),
    "a range in the middle": (
        cidrs("10.0.0.1/8"),
        ['spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length'],
    ),
    "a range spelled out": (
        cidrs("fd00:0::/64"),
        ['spec.cidrs[0]: Invalid value: "fd00:0::/64": must be in canonical form ("fd00::/64")'],
    ),
}


@pytest.mark.parametrize(("body", "expected"), NEW.values(), ids=NEW)
def test_new(body: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(body) == expected


SECRET = {"defaultBackend": SERVICE, "tls": [{"secretName": "A"}]}
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "secret of old": (obj("Ingress", **SECRET), obj("Ingress", **SECRET), []),
    "secret": (
        obj("Ingress", defaultBackend=SERVICE),
        obj("Ingress", **SECRET),
        [f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}'],
    ),
    "wildcard of old": (ingress("*.a.b", path="x"), ingress("*.a.b", path="x"), []),
    "wildcard": (
        ingress("*.a.b"),
        ingress("*.a.b", path="x"),
        [f'{AT}.path: Invalid value: "x": must be an absolute path'],
    ),
    "controller": (
        ingress_class(),
        ingress_class(controller="d"),
        [
            'spec.controller: Invalid value: "d": field is immutable',
            'spec.controller: Invalid value: "d": must be a domain-prefixed path (such as "acme.io/foo")',
        ],
    ),
    "policy, told twice": (
        policy(),
        policy(ports=[{"protocol": "X"}]),
        ['spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"']
        * 2,
    ),
    "second family": (cidrs("10.0.0.0/8"), cidrs("10.0.0.0/8", "fd00::/64"), []),
    "other range": (
        cidrs("10.0.0.0/8"),
        cidrs("11.0.0.0/8"),
        ['spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable'],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


def test_where_an_ingress_is_reached(faults_of_status: Callable[[Body, Body, Body], list[str]]) -> None:
    at = "status.loadBalancer.ingress[0]"
    listed = [{"ip": "x", "hostname": "1.2.3.4"}]
    assert faults_of_status(ingress(), {}, {"loadBalancer": {"ingress": listed}}) == [
        f'{at}.ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        f'{at}.hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    ]


def test_the_old_class_annotation(warnings_of: Callable[[Body], list[str]]) -> None:
    assert warnings_of(obj("Ingress", annotations={CLASS: "a"}, defaultBackend=SERVICE)) == [
        f"annotation \"{CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
    assert warnings_of(ingress()) == []


def test_ranges_of_policies(warnings_of: Callable[[Body], list[str]]) -> None:
    block = {"cidr": "10.0.0.1/8", "except": ["10.1.0.1/16"]}
    assert [text.partition(":")[0] for text in warnings_of(policy(**{"from": [{"ipBlock": block}]}))] == [
        "spec.ingress[0].from[0].ipBlock.cidr",
        "spec.ingress[0].from[0].ipBlock.except[0]",
    ]
