"""Which addresses and ports a range gives out, and in which order."""

from __future__ import annotations

import ipaddress
from random import Random

import pytest

from tiphys.apiserver.services.ranges import AddressRange, PortSet, band

BANDS = {
    "tiny": (16, 16, 256, 0),
    "small": (32, 16, 256, 16),
    "some": (1 << 12, 16, 256, 256),
    "large": (1 << 16, 16, 256, 256),
    "between": (1024, 16, 256, 64),
    "node ports": (2768, 32, 128, 86),
}


@pytest.mark.parametrize(("size", "step", "most", "expected"), BANDS.values(), ids=BANDS)
def test_band(size: int, step: int, most: int, expected: int) -> None:
    assert band(size, step=step, most=most) == expected


def test_the_upper_part_comes_first_and_every_address_once() -> None:
    found = list(AddressRange.of("10.0.0.0/26").candidates((), Random(1)))
    upper = {f"10.0.0.{n}" for n in range(17, 63)}
    assert set(found[: len(upper)]) == upper
    assert len(found) == len(set(found)) == 62
    assert "10.0.0.0" not in found
    assert "10.0.0.63" not in found


def test_used_addresses_are_passed_over() -> None:
    used = {f"10.0.0.{n}" for n in range(1, 14)}
    assert list(AddressRange.of("10.0.0.0/28").candidates(used, Random(1))) == ["10.0.0.14"]


def test_ipv6_uses_its_last_address() -> None:
    ranged = AddressRange.of("fd00::/124")
    found = set(ranged.candidates((), Random(1)))
    assert "fd00::f" in found
    assert "fd00::" not in found
    assert ipaddress.ip_address("fd00::f") in ranged
    assert ipaddress.ip_address("10.0.0.1") not in ranged


def test_a_huge_range_answers_at_once() -> None:
    assert next(AddressRange.of("fd00::/64").candidates((), Random(1))).startswith("fd00::")


def test_ports() -> None:
    ports = PortSet(30000, 30003)
    assert ports.take(30001) == ""
    assert ports.take(30001) == "provided port is already allocated"
    assert ports.take(80) == (
        "provided port is not in the valid range. The range of valid ports is 30000-30003"
    )
    assert {ports.take_any(Random(1)) for _ in range(3)} == {30000, 30002, 30003}
    assert ports.take_any(Random(1)) == 0
    ports.release([30002, 80])
    assert list(ports) == [30000, 30001, 30003]


def test_ports_of_the_upper_part_first() -> None:
    ports, rng = PortSet(30000, 30099), Random(2)
    first = [ports.take_any(rng) for _ in range(84)]
    assert min(first) == 30016
    assert ports.take_any(rng) < 30016
