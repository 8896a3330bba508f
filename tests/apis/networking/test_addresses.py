"""Recorded service addresses and their ranges."""

from __future__ import annotations

import pytest

from tiphys.apis.networking import addresses


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("10.0.0.1", []),
        ("fd00::1", []),
        ("fd00:0::1", ['must be in canonical form ("fd00::1")']),
        ("x", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
    ],
)
def test_names(name: str, faults: list[str]) -> None:
    assert addresses.address_name(name) == faults


@pytest.mark.parametrize(
    ("cidrs", "fields"),
    [
        (["10.0.0.0/16"], []),
        (["10.0.0.0/16", "fd00::/112"], []),
        ([], ["spec.cidrs"]),
        (["10.0.0.0/16", "11.0.0.0/16"], ["spec.cidrs"]),
        (["x"], ["spec.cidrs[0]"]),
    ],
)
def test_ranges(cidrs: list[str], fields: list[str]) -> None:
    found = addresses.validate_service_cidr({"spec": {"cidrs": cidrs}})
    assert [fault.field for fault in found] == fields


def test_a_range_gains_its_second_family_only() -> None:
    old = {"spec": {"cidrs": ["10.0.0.0/16"]}}
    assert (
        addresses.validate_service_cidr_update({"spec": {"cidrs": ["10.0.0.0/16", "fd00::/112"]}}, old) == []
    )
    assert len(addresses.validate_service_cidr_update({"spec": {"cidrs": ["10.1.0.0/16"]}}, old)) == 1


def test_parents() -> None:
    obj = {"spec": {"parentRef": {"resource": "services"}}}
    assert [fault.field for fault in addresses.validate_ip_address(obj)] == ["spec.parentRef.name"]
    assert [fault.field for fault in addresses.validate_ip_address({})] == ["spec.parentRef"]
    assert [str(fault) for fault in addresses.validate_ip_address_update({}, obj)] == [
        "spec.parentRef: Required value",
        "spec.parentRef: Invalid value: null: field is immutable",
    ]
