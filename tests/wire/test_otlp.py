"""Spans on their way to a collector."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.wire.collector import MESSAGES, Collector, attributes, collecting

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import CLIENT, INTERNAL, MILLION, SERVER, SpanContext, Tracer
from tiphys.wire import otlp
from tiphys.wire.otlp import Exporter, encode


def scopes(body: bytes) -> Any:
    request: Any = MESSAGES["o.Request"].FromString(body)
    (resource,) = request.resource_spans
    return resource.scope_spans


def read(body: bytes) -> Any:
    (spans,) = scopes(body)
    return spans.spans


def made(**more: Any) -> Any:
    found: list[Any] = []
    tracer = Tracer(MILLION, FakeClock(), found.append)
    tracer.end(tracer.begin("a", **more))
    return found[0]


def test_what_a_span_looks_like() -> None:
    parent = SpanContext(b"\x01" * 16, b"\x02" * 8, sampled=True, state="x=y")
    span = made(
        parent=parent, kind=SERVER, link=SpanContext(b"\x03" * 16, b"\x04" * 8, sampled=False, state="l=m")
    )
    span.set({"text": "Grüße", "none": "", "number": -3, "zero": 0, "half": 0.5, "yes": True, "no": False})
    span.fail("broken")
    (sent,) = read(encode(b"", [span]))
    assert (sent.trace_id, sent.parent_span_id, sent.trace_state) == (b"\x01" * 16, b"\x02" * 8, "x=y")
    assert (sent.span_id, sent.name, sent.kind) == (span.context.span_id, "a", 2)
    assert (sent.start_time_unix_nano, sent.end_time_unix_nano) == (span.started_ns, span.ended_ns)
    assert attributes(sent.attributes) == {
        "text": "Grüße", "none": None, "number": -3, "zero": None, "half": 0.5, "yes": True, "no": None,
    }  # fmt: skip
    (told,) = sent.links
    assert (told.trace_id, told.span_id, told.trace_state) == (b"\x03" * 16, b"\x04" * 8, "l=m")
    assert (sent.status.code, sent.status.message) == (2, "broken")


def test_a_span_of_nothing_more() -> None:
    (sent,) = read(encode(b"", [made(kind=CLIENT)]))
    assert (sent.parent_span_id, list(sent.links), sent.HasField("status"), sent.kind) == (b"", [], False, 3)


def test_spans_are_told_apart_by_what_makes_them_upstream() -> None:
    found: list[Any] = []
    tracer = Tracer(MILLION, FakeClock(), found.append)
    contrib = "go.opentelemetry.io/contrib/instrumentation"
    for name, kind in (("Get", INTERNAL), ("GET", SERVER), ("List", INTERNAL), ("HTTP POST", CLIENT),
                       ("etcdserverpb.KV/Txn", CLIENT)):  # fmt: skip
        tracer.end(tracer.begin(name, kind=kind))
    assert {one.scope.name: [span.name for span in one.spans] for one in scopes(encode(b"", found))} == {
        "k8s.io/component-base/tracing": ["Get", "List"],
        f"{contrib}/net/http/otelhttp": ["GET", "HTTP POST"],
        f"{contrib}/google.golang.org/grpc/otelgrpc": ["etcdserverpb.KV/Txn"],
    }
    assert [one.scope.name for one in scopes(encode(b"", found, lambda _: "one"))] == ["one"]


@pytest.mark.parametrize(
    ("value", "body"),
    [(False, b"\x10\x00"), (True, b"\x10\x01"), (0, b"\x18\x00"), ("", b"\x0a\x00"), (300, b"\x18\xac\x02")],
)
def test_what_is_nothing_is_a_value_too(value: Any, body: bytes) -> None:
    assert otlp._value(value) == body


async def exported(collector: Collector, count: int, **more: Any) -> Exporter:
    exporter = Exporter(f"127.0.0.1:{collector.port}", {"service.name": "s"}, every_s=0.01)
    for _ in range(count):
        exporter.take(made(**more))
    return exporter


async def test_spans_are_sent_in_batches() -> None:
    async with collecting() as collector:
        exporter = await exported(collector, 600)
        task = asyncio.create_task(exporter.run())
        await collector.wait(600)
        exporter.take(made())
        await collector.wait(601)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sizes = [len(one.resource_spans[0].scope_spans[0].spans) for one in collector.requests]
        assert sizes == [512, 88, 1]
        assert collector.resource == {"service.name": "s"}
        assert exporter.dropped == 0


async def test_what_is_left_is_sent_at_the_end() -> None:
    async with collecting() as collector:
        exporter = Exporter(f"127.0.0.1:{collector.port}", {}, every_s=3600)
        task = asyncio.create_task(exporter.run())
        await asyncio.sleep(0)
        exporter.take(made())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(collector.spans) == 1


async def test_what_nobody_takes_is_dropped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with collecting() as collector:
        collector.busy = True
        exporter = await exported(collector, 1025)
        with caplog.at_level(logging.WARNING):
            await exporter._flush(5.0)
        assert exporter.dropped == 1025
        assert [record.getMessage() for record in caplog.records] == [
            f"spans were not taken endpoint=127.0.0.1:{collector.port} error=busy"
        ]
        assert exporter._channel is not None
        await exporter._channel.close()


def test_more_than_wait_are_dropped() -> None:
    exporter = Exporter("", {})
    for _ in range(2050):
        exporter.take(made())
    assert exporter.dropped == 2
