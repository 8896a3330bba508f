# ruff: noqa: E501
"""What load balancers are told about a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.zpages import ZPages
from tiphys.proxy.configz import configuration
from tiphys.proxy.health import MetricsPort, health_port, local_endpoints, service_reply
from tiphys.wire.message import Request


@pytest.mark.parametrize(
    ("name", "spec", "want"),
    [
        ("local balancer", {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}, 31000),
        ("cluster-wide", {"type": "LoadBalancer", "healthCheckNodePort": 31000}, 0),
        ("node port", {"type": "NodePort", "externalTrafficPolicy": "Local"}, 0),
    ],
)  # fmt: skip
def test_health_port(service: Any, name: str, spec: Any, want: int) -> None:
    assert health_port(service(**spec)) == want


def test_counts_ready_endpoints_of_this_node(endpoint_slice: Any) -> None:
    gone = {"addresses": ["10.128.1.7"], "nodeName": "n1", "conditions": {"ready": False}}
    assert local_endpoints([endpoint_slice("10.128.1.5@n1", "10.128.2.5@n2", gone)], "n1") == 1


@pytest.mark.parametrize(("count", "status"), [(0, 503), (2, 200)])
def test_reply(count: int, status: int) -> None:
    reply = service_reply("default/web", count)
    assert reply.status == status
    assert json.loads(reply.body)["localEndpoints"] == count  # type: ignore[arg-type]
    assert b'{\n\t"service": {\n\t\t"namespace": ' in reply.body, "in lines, as kube-proxy writes it"


def metrics_port(**flags: str) -> MetricsPort:
    clock = FakeClock()
    pages = ZPages("kube-proxy", clock.now(), flags, MetricsPort.PATHS)
    shown = configuration("n1", ("10.0.0.0/8",), (), "", "127.0.0.1:10249")
    return MetricsPort(shown, pages, clock)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/healthz", 200, b"ok"), ("/proxyMode", 200, b"nftables"), ("/other", 404, b"404 page not found\n")],
)
async def test_the_metrics_port(path: str, status: int, body: bytes) -> None:
    reply = await metrics_port()(Request("GET", path))
    assert (reply.status, reply.body) == (status, body)


async def test_metrics() -> None:
    reply = await metrics_port()(Request("GET", "/metrics"))
    assert b"process_start_time_seconds" in reply.body  # type: ignore[operator]


async def test_what_a_proxy_shows_of_itself() -> None:
    port = metrics_port(mode="nftables")
    shown = json.loads((await port(Request("GET", "/configz"))).body)["kubeproxy.config.k8s.io"]  # type: ignore[arg-type]
    assert (shown["mode"], shown["clusterCIDR"]) == ("nftables", "10.0.0.0/8")
    assert shown["nodePortAddresses"] is None
    assert b"\nmode=nftables\n" in (await port(Request("GET", "/flagz"))).body  # type: ignore[operator]
    assert b"kube-proxy statusz" in (await port(Request("GET", "/statusz"))).body  # type: ignore[operator]
