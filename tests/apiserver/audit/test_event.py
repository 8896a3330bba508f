"""What an event says, apart from a server."""

from __future__ import annotations

import pytest

from tiphys.apiserver.audit.event import source_ips, without_managed_fields
from tiphys.wire.message import Request


@pytest.mark.parametrize(
    ("headers", "ips"),
    [
        ({}, ["10.1.1.1"]),
        ({"x-forwarded-for": "1.1.1.1, 2.2.2.2"}, ["1.1.1.1", "2.2.2.2", "10.1.1.1"]),
        ({"x-real-ip": "3.3.3.3"}, ["3.3.3.3", "10.1.1.1"]),
        ({"x-forwarded-for": "10.1.1.1"}, ["10.1.1.1"]),
        ({"x-forwarded-for": "10.1.1.1, 2.2.2.2"}, ["10.1.1.1", "2.2.2.2", "10.1.1.1"]),
        (
            {"x-forwarded-for": "unknown, 1.1.1.1:80, 002.2.2.02, ::FFFF:3.3.3.3, FE80::1, fe80::1%a"},
            ["2.2.2.2", "3.3.3.3", "fe80::1", "10.1.1.1"],
        ),
        ({"x-forwarded-for": "::1", "x-real-ip": "::1"}, ["::1", "10.1.1.1"]),
        ({"x-real-ip": "nowhere"}, ["10.1.1.1"]),
    ],
)
def test_where_a_request_came_from(headers: dict[str, str], ips: list[str]) -> None:
    assert source_ips(Request("GET", "/", headers=headers, peer_address="10.1.1.1")) == ips


def test_managed_fields_go_from_lists_too() -> None:
    item = {"metadata": {"name": "a", "managedFields": []}}
    found = without_managed_fields({"kind": "List", "items": [item]})
    assert found["items"] == [{"metadata": {"name": "a"}}]
    assert "managedFields" in item["metadata"]
    table = without_managed_fields({"kind": "Table", "rows": [{"cells": [1], "object": item}]})
    assert table["rows"] == [{"cells": [1], "object": {"metadata": {"name": "a"}}}]
