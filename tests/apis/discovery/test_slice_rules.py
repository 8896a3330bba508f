"""What may not be in EndpointSlices."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.meta import gvk_of
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]

E = "endpoints[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def slices(*ports: Body, kind: str = "IPv4", **endpoint: Any) -> Body:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "x", "namespace": "ns"},
        "addressType": kind,
        "ports": list(ports),
        "endpoints": [{"addresses": ["10.0.0.1"], **endpoint}],
    }


def at(address: str, kind: str) -> Body:
    return slices(kind=kind, addresses=[address])


def zones(*names: str) -> Body:
    return slices(hints={"forZones": [{"name": name} for name in names]})


NEW: dict[str, tuple[Body, list[str]]] = {
    "fine": (slices({"port": 80}), []),
    "kind": (
        slices(kind="X"),
        ['addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"'],
    ),
    "no kind": (slices(kind=""), ["addressType: Required value"]),
    "no address": (slices(addresses=[]), [f"{E}.addresses: Required value: must contain at least 1 address"]),
    "many addresses": (
        slices(addresses=["10.0.0.1"] * 101),
        [f"{E}.addresses: Too many: 101: must have at most 100 items"],
    ),
    "no address at all": (at("x", "IPv4"), [f'{E}.addresses[0]: Invalid value: "x": {IP}']),
    "other family": (
        at("10.0.0.1", "IPv6"),
        [f'{E}.addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address'],
    ),
    "loopback": (
        at("127.0.0.1", "IPv4"),
        [
            f'{E}.addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'
        ],
    ),
    "domain": (at("a.b.", "FQDN"), []),
    "short domain": (
        at("a", "FQDN"),
        [
            f'{E}.addresses[0]: Invalid value: "a": should be a domain with at least two segments separated by dots'
        ],
    ),
    "empty domain": (at("", "FQDN"), [f"{E}.addresses[0]: Required value"]),
    "names": (
        slices(nodeName="n", hostname="A"),
        [f'{E}.hostname: Invalid value: "A": {LABEL}'],
    ),
    "zones": (zones("a", "a"), [f'{E}.hints.forZones[1].name: Duplicate value: "a"']),
    "many zones": (
        zones(*(str(number) for number in range(9))),
        [f"{E}.hints.forZones: Too many: 9: must have at most 8 items"],
    ),
    "ports": (
        slices({"name": "A", "protocol": "X", "appProtocol": "a/b/c"}, {"port": 1}, {"port": 2}),
        [
            f'ports[0].name: Invalid value: "A": {LABEL}',
            'ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
            "ports[0].appProtocol: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
            "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
            "'example.com/MyName')",
            'ports[2].name: Duplicate value: ""',
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_the_kind_of_addresses_stays(faults_of_change: Callable[[Body, Body], list[str]]) -> None:
    assert faults_of_change(slices(), at("fd00::1", "IPv6")) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


HOST = {"kubernetes.io/hostname": "n"}


def test_where_endpoints_are_is_not_told_in_free_form(kept_of_new: Callable[[Body], Body]) -> None:
    new = kept_of_new(slices(deprecatedTopology=HOST))
    assert "deprecatedTopology" not in new["endpoints"][0]


KEPT: dict[str, tuple[Body, Body, Body]] = {
    "nothing changes": (
        slices(deprecatedTopology=HOST),
        slices(deprecatedTopology=HOST),
        {"deprecatedTopology": HOST},
    ),
    "its node stays": (
        slices(deprecatedTopology=HOST),
        slices(deprecatedTopology=HOST, hostname="h"),
        {"hostname": "h", "nodeName": "n"},
    ),
    "another node": (slices(), slices(deprecatedTopology=HOST), {}),
    "a node of its own": (
        slices(deprecatedTopology=HOST),
        slices(deprecatedTopology=HOST, nodeName="m"),
        {"nodeName": "m"},
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), KEPT.values(), ids=KEPT)
def test_free_form_of_old(
    old: Body, new: Body, expected: Body, kept_of_change: Callable[[Body, Body], Body]
) -> None:
    (endpoint,) = kept_of_change(old, new)["endpoints"]
    assert endpoint == {"addresses": old["endpoints"][0]["addresses"], "conditions": {}, **expected}


def test_large_free_form_that_stays() -> None:
    large = slices(deprecatedTopology={str(number): "" for number in range(17)})
    found = strategy_for(gvk_of(large)).validate_update(large, large)
    assert f"{E}.deprecatedTopology: Too many: 17: must have at most 16 items" in map(str, found)


def test_other_labels_are_a_change(kept_of_change: Callable[[Body, Body], Body]) -> None:
    old = {**slices(), "metadata": {"name": "x", "generation": 3}}
    new = {**slices(), "metadata": {"name": "x", "generation": 3, "labels": {"a": "b"}}}
    assert kept_of_change(old, new)["metadata"]["generation"] == 4
    assert kept_of_change(old, old)["metadata"]["generation"] == 3


def test_controllers_put_addresses_right_themselves(warnings_of: Callable[[Body], list[str]]) -> None:
    labels = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    assert warnings_of({**at("fd00:0::1", "IPv6"), "metadata": {"name": "x", "labels": labels}}) == []


def test_warnings(
    warnings_of: Callable[[Body], list[str]], warnings_of_change: Callable[[Body, Body], list[str]]
) -> None:
    domain = at("a.b", "FQDN")
    assert warnings_of(domain) == ["spec.addressType: FQDN endpoints are deprecated"]
    assert warnings_of_change(domain, domain) == []
    assert warnings_of(at("fd00:0::1", "IPv6")) == [
        'endpoints[0].addresses[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")'
    ]
