"""A collector of spans for tests: OpenTelemetry's service on a port of this machine. It keeps what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from tiphys.apimachinery.protobuf import build

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_MESSAGES: dict[str, dict[str, list[Any]]] = {
    "o.Request": {"resource_spans": [1, "repeated o.ResourceSpans"]},
    "o.ResourceSpans": {"resource": [1, "o.Resource"], "scope_spans": [2, "repeated o.ScopeSpans"]},
    "o.Resource": {"attributes": [1, "repeated o.KeyValue"]},
    "o.ScopeSpans": {"scope": [1, "o.Scope"], "spans": [2, "repeated o.Span"]},
    "o.Scope": {"name": [1, "string"]},
    "o.Span": {
        "trace_id": [1, "bytes"], "span_id": [2, "bytes"], "trace_state": [3, "string"],
        "parent_span_id": [4, "bytes"], "name": [5, "string"], "kind": [6, "int32"],
        "start_time_unix_nano": [7, "fixed64"], "end_time_unix_nano": [8, "fixed64"],
        "attributes": [9, "repeated o.KeyValue"], "links": [13, "repeated o.Link"],
        "events": [11, "repeated o.Event"], "status": [15, "o.Status"],
    },
    "o.Link": {"trace_id": [1, "bytes"], "span_id": [2, "bytes"], "trace_state": [3, "string"]},
    "o.Event": {
        "time_unix_nano": [1, "fixed64"], "name": [2, "string"], "attributes": [3, "repeated o.KeyValue"],
    },
    "o.Status": {"message": [2, "string"], "code": [3, "int32"]},
    "o.KeyValue": {"key": [1, "string"], "value": [2, "o.AnyValue"]},
    "o.AnyValue": {
        "string_value": [1, "string"], "bool_value": [2, "bool"], "int_value": [3, "int64"],
        "double_value": [4, "double"],
    },
}  # fmt: skip
MESSAGES = build(_MESSAGES, {})


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as a dictionary; a value is the one kind that it has."""
    found: dict[str, Any] = {}
    for pair in pairs:
        kinds = [value for _, value in pair.value.ListFields()]
        found[pair.key] = kinds[0] if kinds else None
    return found


class Collector:
    """What came, in the order in which it did."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.port = 0
        self.busy = False
        """Turns requests away."""
        self._came = asyncio.Event()

    @property
    def spans(self) -> list[Any]:
        return list(self._spans())

    def _spans(self) -> Iterator[Any]:
        for request in self.requests:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans

    def named(self, name: str) -> Any:
        """Return the one span of a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def resource(self) -> dict[str, Any]:
        return attributes(self.requests[0].resource_spans[0].resource.attributes)

    async def take(self, body: bytes, context: Any) -> bytes:
        if self.busy:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        self.requests.append(MESSAGES["o.Request"].FromString(body))
        self._came.set()
        return b""

    async def wait(self, count: int) -> None:
        """Wait until so many spans have come."""
        async with asyncio.timeout(10):
            while len(self.spans) < count:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector."""
    server, collector = grpc.aio.server(), Collector()
    method = grpc.unary_unary_rpc_method_handler(collector.take)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": method}),))
    collector.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
