"""The times of a request's layers, and whom they are told of."""

from __future__ import annotations

from tiphys.apiserver.audit import latencies
from tiphys.apiserver.observe.metrics import Aside
from tiphys.wire.message import Request


def test_layers() -> None:
    request = Request("GET", "/")
    latencies.follow(request)
    assert latencies.told(request, 2.5) == {}
    for seconds in (0.25, 0.5):
        latencies.took(request, latencies.AUTHORIZATION, seconds)
    latencies.took(request, latencies.QUEUE, 0.0)
    assert latencies.told(request, 2.5) == {
        "apiserver.latency.k8s.io/authorization": "750ms",
        "apiserver.latency.k8s.io/total": "2.5s",
    }
    assert latencies.told(request, 0.5) == {}


def test_what_webhooks_took() -> None:
    request = Request("GET", "/")
    aside = Aside.of(request.scope)
    aside.mutating_s, aside.validating_s = 0.75, 0.5
    assert latencies.told(request, 2.5) == {}
    latencies.follow(request)
    assert latencies.told(request, 2.5) == {
        "apiserver.latency.k8s.io/mutating-webhook": "750ms",
        "apiserver.latency.k8s.io/validating-webhook": "500ms",
        "apiserver.latency.k8s.io/total": "2.5s",
    }


def test_nothing_is_kept_where_nobody_audits() -> None:
    request = Request("GET", "/")
    latencies.took(request, latencies.AUTHORIZATION, 1.0)
    assert request.scope == {}
    assert latencies.told(request, 2.5) == {}
