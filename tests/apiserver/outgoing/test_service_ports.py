"""Endpoints, read for one port."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.outgoing.service_ports import Address, endpoint_addresses, slice_addresses

ONE = {
    "addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
    "ports": [{"port": 80}, {"name": "tls", "port": 443}],
}
TWO = {"notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 80}]}


@pytest.mark.parametrize(
    ("endpoints", "port", "found"),
    [
        (None, "", []),
        ({}, "", []),
        ({"subsets": None}, "", []),
        ({"subsets": [ONE, TWO]}, "", [("10.0.0.1", 80), ("10.0.0.2", 80)]),
        ({"subsets": [ONE]}, "tls", [("10.0.0.1", 443), ("10.0.0.2", 443)]),
        ({"subsets": [ONE]}, "other", []),
        ({"subsets": [TWO]}, "", []),
    ],
)
def test_addresses(endpoints: Any, port: str, found: list[Address]) -> None:
    assert endpoint_addresses(endpoints, port) == found


def some(kind: str, *endpoints: tuple[str, bool | None], port: str = "https") -> dict[str, Any]:
    """A slice whose endpoints are ready, not ready, or say nothing of it."""
    return {
        "addressType": kind,
        "ports": [{"name": port, "port": 443}],
        "endpoints": [
            {"addresses": [address], **({} if ready is None else {"conditions": {"ready": ready}})}
            for address, ready in endpoints
        ],
    }


SIX = some("IPv6", ("fd00::1", True), ("fd00::2", True))
SLICES: dict[str, tuple[list[Any], str, list[str]]] = {
    "one family": ([some("IPv4", ("1", None)), some("IPv4", ("2", None))], "IPv4", ["1", "2"]),
    "some that are not ready": (
        [some("IPv4", ("1", None), ("2", False), ("3", True)), some("IPv4", ("4", True)),
         some("IPv4", ("5", False), ("6", False))],
        "IPv4", ["1", "3", "4"],
    ),
    "the first of two families": ([SIX, some("IPv4", ("1", True), ("2", True))], "IPv4", ["1", "2"]),
    "the first, which is the other": ([some("IPv4", ("1", True)), SIX], "IPv6", ["fd00::1", "fd00::2"]),
    "the second, where the first has none": (
        [some("IPv4", ("1", False), ("2", False)), SIX], "IPv4", ["fd00::1", "fd00::2"]
    ),
    "one that can be used": (
        [some("IPv4", ("1", False)), SIX, some("IPv4"), some("IPv4", ("2", True)),
         some("IPv4", ("3", True), port="http")],
        "IPv4", ["2"],
    ),
    "no family is told": ([some("IPv4", ("1", True)), SIX], "", ["1", "fd00::1", "fd00::2"]),
    "none": ([], "IPv4", []),
}  # fmt: skip


@pytest.mark.parametrize("case", SLICES.values(), ids=SLICES)
def test_addresses_of_slices(case: tuple[list[Any], str, list[str]]) -> None:
    slices, family, want = case
    assert slice_addresses(slices, "https", family) == [(address, 443) for address in want]
