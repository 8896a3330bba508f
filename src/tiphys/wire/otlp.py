"""Spans to a collector: OpenTelemetry's protocol over gRPC, without TLS, as upstream's components speak it.

Owns: the wire form, batches, and what is dropped when the collector is slow or away. Refuses: which spans
there are (``apimachinery.tracing``). gRPC is loaded when spans are first sent.
Source: opentelemetry-proto 1.x (``trace/v1``, ``collector/trace/v1``); OpenTelemetry's batching defaults.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from tiphys.apimachinery.protowire import double, fixed64, message, text, varint, whole
from tiphys.apimachinery.tracing import INTERNAL, SERVER, Span, SpanEvent, Value
from tiphys.wire.dial import Tunnel
from tiphys.wire.doorway import Doorway

log = logging.getLogger(__name__)
DEFAULT_ENDPOINT: Final = "localhost:4317"
_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_QUEUE: Final = 2048
_BATCH: Final = 512
_EVERY_S: Final = 5.0
_SEND_S: Final = 10.0
_LAST_S: Final = 2.0
_ERROR: Final = 2
_CONTRIB: Final = "go.opentelemetry.io/contrib/instrumentation/"
STEPS: Final = "k8s.io/component-base/tracing"
HTTP: Final = f"{_CONTRIB}net/http/otelhttp"
RESTFUL: Final = f"{_CONTRIB}github.com/emicklei/go-restful/otelrestful"
GRPC: Final = f"{_CONTRIB}google.golang.org/grpc/otelgrpc"
"""Scopes: what makes spans in upstream's components, by which collectors tell them apart."""


def scope_of(span: Span) -> str:
    """Return the scope of an API server's span."""
    if span.kind == INTERNAL:
        return STEPS
    return HTTP if span.kind == SERVER or span.name.startswith("HTTP ") else GRPC


class Exporter:
    """Takes spans at once and sends them in batches while ``run`` runs."""

    def __init__(
        self,
        endpoint: str,
        resource: Mapping[str, Value],
        *,
        every_s: float = _EVERY_S,
        through: Tunnel | None = None,
        scope: Callable[[Span], str] = scope_of,
    ) -> None:
        self._endpoint = endpoint or DEFAULT_ENDPOINT
        self._resource = b"".join(_attributes(1, resource))
        self._every_s = every_s
        self._scope = scope
        self._waiting: deque[Span] = deque()
        self._full = asyncio.Event()
        self._through = through
        self._channel: Any = None
        self._doorway: Doorway | None = None
        self._silent = False
        self.dropped = 0

    def take(self, span: Span) -> None:
        """Queue a span; when too many wait already, it is dropped."""
        if len(self._waiting) >= _QUEUE:
            self.dropped += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= _BATCH:
            self._full.set()

    async def run(self) -> None:
        """Send until cancelled, and then what is left."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._full.wait()
                self._full.clear()
                await self._flush(_SEND_S)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._flush(_LAST_S)
            if self._channel is not None:
                await self._channel.close()
                self._channel = None
            if self._doorway is not None:
                await self._doorway.close()
                self._doorway = None

    async def _flush(self, timeout_s: float) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            await self._send(encode(self._resource, batch, self._scope), len(batch), timeout_s)

    async def _send(self, body: bytes, count: int, timeout_s: float) -> None:
        import grpc.aio  # a large package that few processes need

        if self._channel is None:
            settings = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", self._endpoint)]
            self._channel = grpc.aio.insecure_channel(self._target(), options=settings)
        try:
            await self._channel.unary_unary(_METHOD)(body, timeout=timeout_s, wait_for_ready=True)
            self._silent = False
        except grpc.aio.AioRpcError as error:
            self.dropped += count
            if not self._silent:
                log.warning("spans were not taken endpoint=%s error=%s", self._endpoint, error.details())
            self._silent = True

    def _target(self) -> str:
        """Return what gRPC connects to."""
        if self._through is None:
            return self._endpoint
        host, _, port = self._endpoint.rpartition(":")
        self._doorway = Doorway(self._through, host.strip("[]"), int(port))
        self._doorway.open()
        return self._doorway.target


def encode(resource: bytes, spans: Iterable[Span], scope: Callable[[Span], str] = scope_of) -> bytes:
    """Return an ExportTraceServiceRequest; ``resource`` is an encoded Resource."""
    scopes: dict[str, list[bytes]] = {}
    for span in spans:
        scopes.setdefault(scope(span), []).append(message(2, _span(span)))
    bodies = (message(2, message(1, text(1, name)) + b"".join(found)) for name, found in scopes.items())
    return message(1, message(1, resource) + b"".join(bodies))


def _span(span: Span) -> bytes:
    context, link = span.context, span.link
    parts = [
        message(1, context.trace_id), message(2, context.span_id), text(3, context.state),
        message(4, span.parent.span_id) if span.parent is not None else b"",
        text(5, span.name), whole(6, span.kind), fixed64(7, span.started_ns), fixed64(8, span.ended_ns),
        *_attributes(9, span.attributes), *(message(11, _event(event)) for event in span.events),
        _link(link.trace_id, link.span_id, link.state) if link is not None else b"",
        message(15, text(2, span.error) + whole(3, _ERROR)) if span.error is not None else b"",
    ]  # fmt: skip
    return b"".join(parts)


def _event(event: SpanEvent) -> bytes:
    return fixed64(1, event.at_ns) + text(2, event.name) + b"".join(_attributes(3, event.attributes))


def _link(trace_id: bytes, span_id: bytes, state: str) -> bytes:
    return message(13, message(1, trace_id) + message(2, span_id) + text(3, state))


def _attributes(number: int, values: Mapping[str, Value]) -> Iterable[bytes]:
    return (message(number, text(1, key) + message(2, _value(value))) for key, value in values.items())


def _value(value: Value) -> bytes:
    """Return an AnyValue: one of its kinds, written even where it is nothing."""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return double(4, value)
    return message(1, value.encode())
