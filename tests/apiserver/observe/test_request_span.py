"""What the span of a request says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.observe.request_span import attributes_of
from tiphys.wire.message import Request

ALWAYS = {"http.request.method": "GET", "url.scheme": "https", "url.path": "/x", "http.target": "/x"}
TALE = {"network.protocol.version": "1.1"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing known": ({}, {**ALWAYS, **TALE}),
    "a port of its own": (
        {"headers": {"host": "kube.example.com:6443"}},
        {**ALWAYS, **TALE, "server.address": "kube.example.com", "server.port": 6443},
    ),
    "the usual port": (
        {"headers": {"host": "kube.example.com:443"}},
        {**ALWAYS, **TALE, "server.address": "kube.example.com"},
    ),
    "IPv6": ({"headers": {"host": "[::1]:6443"}}, {
        **ALWAYS, **TALE, "server.address": "::1", "server.port": 6443,
    }),
    "IPv6 without a port": ({"headers": {"host": "[::1]"}}, {**ALWAYS, **TALE, "server.address": "::1"}),
    "who asks": ({"peer_address": "10.0.0.1", "headers": {"user-agent": "a/1"}}, {
        **ALWAYS, **TALE, "network.peer.address": "10.0.0.1", "client.address": "10.0.0.1",
        "user_agent.original": "a/1",
    }),
    "from which port": ({"peer_port": 40123}, {**ALWAYS, **TALE, "network.peer.port": 40123}),
    "through a proxy": ({"peer_address": "10.0.0.1", "headers": {"x-forwarded-for": "192.0.2.7, 10.0.0.9"}}, {
        **ALWAYS, **TALE, "network.peer.address": "10.0.0.1", "client.address": "192.0.2.7",
    }),
    "HTTP/2": ({"protocol": "HTTP/2.0"}, {**ALWAYS, "network.protocol.version": "2.0"}),
    "with a query": ({"raw_query": "a=b", "raw_path": "/%78"}, {**ALWAYS, **TALE, "http.target": "/%78?a=b"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_attributes(case: str) -> None:
    given, told = CASES[case]
    assert attributes_of(Request("GET", "/x", **given)) == told


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("HEAD", {"http.request.method": "HEAD"}),
        ("get", {"http.request.method": "GET", "http.request.method_original": "get"}),
        ("BREW", {"http.request.method": "_OTHER", "http.request.method_original": "BREW"}),
    ],
)
def test_methods(method: str, told: dict[str, str]) -> None:
    found = attributes_of(Request(method, "/x"))
    assert {name: value for name, value in found.items() if "method" in name} == told
