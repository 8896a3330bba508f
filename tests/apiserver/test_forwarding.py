"""What an aggregated API server is told of traces."""

from __future__ import annotations

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import Tracer
from tiphys.apiserver.forwarding import _traced

SENT = [("Accept", "*/*"), ("Traceparent", "00-1-2-01"), ("Tracestate", "a=b")]


def test_headers_are_those_of_the_present_span() -> None:
    assert _traced(SENT) == SENT
    with Tracer(0, FakeClock(), lambda span: None).span("a") as span:
        told = dict(_traced(SENT))
    assert told == {"Accept": "*/*", **span.context.headers()}
