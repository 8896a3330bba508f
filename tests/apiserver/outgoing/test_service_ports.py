"""Endpoints, read for one port."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.outgoing.service_ports import Address, endpoint_addresses

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
