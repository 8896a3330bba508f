"""What other API servers are told: of traces, and in which words they are asked."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import Tracer
from tiphys.apiserver.outgoing.forwarding import _traced, encoded_query

SENT = [("Accept", "*/*"), ("Traceparent", "00-1-2-01"), ("Tracestate", "a=b")]


def test_headers_are_those_of_the_present_span() -> None:
    assert _traced(SENT) == SENT
    with Tracer(0, FakeClock(), lambda span: None).span("a") as span:
        told = dict(_traced(SENT))
    assert told == {"Accept": "*/*", **span.context.headers()}


@pytest.mark.parametrize(
    ("raw", "encoded"),
    [
        ("", ""),
        ("b=2&a=1&b=1", "a=1&b=2&b=1"),
        ("watch&&limit=5", "limit=5&watch="),
        ("labelSelector=a=b,c in (d,~)", "labelSelector=a%3Db%2Cc+in+%28d%2C~%29"),
        ("a=1;b=2&c=%zz&d=%e2%82%ac+x", "d=%E2%82%AC+x"),
    ],
)
def test_queries_are_written_anew(raw: str, encoded: str) -> None:
    assert encoded_query(raw) == encoded
