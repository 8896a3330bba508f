"""Findings about Services, their addresses and their ports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apiserver.services.addresses import new_address
from tiphys.apiserver.services.ranges import AddressRange, PortSet
from tiphys.apiserver.services.repair_plan import claimed_ports, judge_address, judge_held, rebuild_ports

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RANGES = [AddressRange.of("10.0.0.0/24"), AddressRange.of("fd00::/112")]


def service(name: str = "s", *ips: str, ports: tuple[int, ...] = ()) -> dict[str, Any]:
    spec = {"clusterIPs": list(ips), "ports": [{"nodePort": port} for port in ports]}
    return {"metadata": {"name": name, "namespace": "d", "creationTimestamp": rfc3339(NOW)}, "spec": spec}


def held(name: str = "s", address: str = "10.0.0.1", **changes: Any) -> dict[str, Any]:
    return {**new_address(address, service(name), FakeClock(NOW)), **changes}


GATEWAY = {"parentRef": {"group": "g", "resource": "gateways", "namespace": "d", "name": "s"}}
ADDRESS: dict[str, tuple[str, dict[str, Any] | None, dict[str, Any] | None, tuple[str, str] | None]] = {
    "right": ("10.0.0.1", held(), service("s", "10.0.0.1"), None),
    "missing": ("10.0.0.1", None, None, ("ClusterIPNotAllocated", "create")),
    "the first of its range": ("10.0.0.0", held(address="10.0.0.0"), None, ("ClusterIPOutOfRange", "")),
    "the last of its range": ("10.0.0.255", held(address="10.0.0.255"), None, ("ClusterIPOutOfRange", "")),
    "the first of a range of IPv6": ("fd00::", held(address="fd00::"), None, ("ClusterIPOutOfRange", "")),
    "the last of a range of IPv6": (
        "fd00::ffff",
        held(address="fd00::ffff"),
        service("s", "fd00::ffff"),
        None,
    ),
    "out of range": ("10.1.0.1", None, None, ("ClusterIPOutOfRange", "")),
    "nonsense": ("x", None, None, ("ClusterIPNotValid", "")),
    "another kind's": ("10.0.0.1", held(spec=GATEWAY), None, ("ClusterIPNotAllocated", "recreate")),
    "a Service's that is gone": ("10.0.0.1", held("t"), None, ("ClusterIPNotAllocated", "recreate")),
    "another Service's too": (
        "10.0.0.1",
        held("t"),
        service("t", "10.0.0.1"),
        ("ClusterIPAlreadyAllocated", ""),
    ),
    "without labels": ("10.0.0.1", held(metadata={"name": "10.0.0.1"}), None, ("", "recreate")),
}


@pytest.mark.parametrize(("address", "noted", "parent", "expected"), ADDRESS.values(), ids=ADDRESS)
def test_address(address: str, noted: Any, parent: Any, expected: Any) -> None:
    found = judge_address(service("s", address), address, noted, parent, RANGES)
    assert (found and (found.reason, found.mend)) == expected


def later(service: dict[str, Any], seconds: int) -> dict[str, Any]:
    moment = rfc3339(NOW + timedelta(seconds=seconds))
    return {**service, "metadata": {**service["metadata"], "creationTimestamp": moment}}


LEAKED = ("IPAddressNotAllocated", "IPAddress: 10.0.0.1 for Service d/s appears to have leaked: cleaning up")
WRONG = ("IPAddressWrongReference", "IPAddress: 10.0.0.1 for Service d/s has a wrong reference; cleaning up")
MODIFIED = (
    "IPAddressNotAllocated",
    "IPAddress 10.0.0.1 appears to have been modified, not referencing a Service "
    "&ParentReference{Group:g,Resource:gateways,Namespace:d,Name:s,}: cleaning up",
)
HELD: dict[str, tuple[dict[str, Any], dict[str, Any] | None, int, tuple[str, str] | float]] = {
    "right": (held(), service("s", "10.0.0.1"), 61, 0.0),
    "its Service is being written": (held(), None, 59, 1.0),
    "at the end of a minute": (held(), None, 60, 0.0),
    "leaked": (held(), None, 61, LEAKED),
    "Service has another": (held(), service("s", "10.0.0.2"), 61, WRONG),
    "younger than its Service, which may be getting it": (
        held(),
        later(service("s", "10.0.0.2"), -2),
        3,
        2.0,
    ),
    "younger, and it did not": (held(), later(service("s", "10.0.0.2"), -2), 6, WRONG),
    "older than its Service, which is another than it was made for": (
        held(),
        later(service("s", "10.0.0.2"), 1),
        1,
        WRONG,
    ),
    "points elsewhere": (held(spec=GATEWAY), None, 0, MODIFIED),
    "somebody else's": (held(metadata={"name": "10.0.0.1"}), None, 61, 0.0),
}


@pytest.mark.parametrize(("noted", "owner", "age_s", "expected"), HELD.values(), ids=HELD)
def test_held(noted: Any, owner: Any, age_s: int, expected: tuple[str, str] | float) -> None:
    found = judge_held(noted, owner, NOW + timedelta(seconds=age_s))
    if isinstance(expected, tuple):
        assert found is not None
        assert (found.reason, found.message) == expected
        assert (found.mend, found.action) == ("delete", "IPAddressAllocation")
    else:
        assert (found.again_s if found else 0.0) == expected
        assert found is None or not found.mend


def test_ports_are_rebuilt_from_services() -> None:
    stored = PortSet(30000, 30010)
    stored.take(30001)
    services = [service("a", ports=(30001, 30002)), service("b", ports=(30002,)), service("c", ports=(80,))]
    report = rebuild_ports(stored, services, {})
    assert list(report.ports) == [30001, 30002]
    assert [(owner["metadata"]["name"], found.reason, found.message) for owner, found in report.findings] == [
        ("a", "PortNotAllocated", "Port 30002 is not allocated; repairing"),
        (
            "b",
            "PortAlreadyAllocated",
            "Port 30002 was assigned to multiple services; please recreate service",
        ),
        ("c", "PortOutOfRange", "Port 80 is not within the port range 30000-30010; please recreate service"),
    ]


CLAIMED: dict[str, tuple[list[tuple[int, str]], int | None, list[int]]] = {
    "none": ([], None, []),
    "no node ports": ([(0, "TCP"), (0, "UDP")], None, []),
    "each once": ([(30001, "TCP"), (30002, "TCP")], None, [30001, 30002]),
    "one for two protocols": ([(30001, "TCP"), (30001, "UDP")], None, [30001]),
    "one twice for one": ([(30001, "TCP"), (30001, "UDP"), (30001, "TCP")], None, [30001, 30001]),
    "health checks": ([(30001, "TCP")], 30002, [30001, 30002]),
    "health checks at a port of TCP": ([(30001, "TCP")], 30001, [30001, 30001]),
    "health checks at a port of UDP": ([(30001, "UDP")], 30001, [30001]),
}


@pytest.mark.parametrize(("ports", "health", "claimed"), CLAIMED.values(), ids=CLAIMED)
def test_which_ports_a_service_claims(
    ports: list[tuple[int, str]], health: int | None, claimed: list[int]
) -> None:
    entries = [{"nodePort": port, "protocol": protocol} for port, protocol in ports]
    assert claimed_ports({"ports": entries, "healthCheckNodePort": health}) == claimed


def test_a_port_leaks_only_after_three_rounds() -> None:
    stored, leaks = PortSet(30000, 30010, 1), {}
    kept = []
    for _ in range(3):
        report = rebuild_ports(stored, [], leaks)
        leaks, stored = report.leaks, report.ports
        kept.append(list(stored))
    assert kept == [[30000], [30000], []]


def test_a_port_that_is_used_again_is_no_leak() -> None:
    stored = PortSet(30000, 30010, 1)
    leaks = rebuild_ports(stored, [], {}).leaks
    assert leaks == {30000: 1}
    assert rebuild_ports(stored, [service("a", ports=(30000,))], leaks).leaks == {}
