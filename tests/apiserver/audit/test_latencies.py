"""The times of a request's layers, and whom they are told of."""

from __future__ import annotations

from tiphys.apiserver.audit import latencies
from tiphys.wire.message import Request


def test_layers() -> None:
    request = Request("GET", "/")
    latencies.follow(request)
    for seconds in (0.25, 0.5):
        latencies.took(request, "mutating-webhook", seconds)
        latencies.longest(request, "validating-webhook", 0.75 - seconds)
    latencies.took(request, latencies.QUEUE, 0.0)
    assert latencies.told(request, 2.5) == {
        "apiserver.latency.k8s.io/mutating-webhook": "750ms",
        "apiserver.latency.k8s.io/validating-webhook": "500ms",
        "apiserver.latency.k8s.io/total": "2.5s",
    }
    assert latencies.told(request, 0.5) == {}


def test_nothing_is_kept_where_nobody_audits() -> None:
    request = Request("GET", "/")
    latencies.took(request, latencies.AUTHORIZATION, 1.0)
    latencies.longest(request, "validating-webhook", 1.0)
    assert request.scope == {}
    assert latencies.told(request, 2.5) == {}
