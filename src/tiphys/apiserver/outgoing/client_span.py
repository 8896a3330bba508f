"""The span of a request that this server sends: what it tells of it, and of its answer.

Called by ``forwarding`` and ``webhook_call``. Without tracing there is none of this.

Source: OpenTelemetry's semantic conventions for HTTP clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tiphys.apimachinery import tracing
from tiphys.apimachinery.tracing import Span, Value
from tiphys.wire.client import ConnectFailed
from tiphys.wire.reasons import reason_of

_HTTPS: Final = 443
_FAULT: Final = 400
_VERSION: Final = "1.1"


@contextmanager
def asking(method: str, url: str) -> Iterator[Span | None]:
    """Be in the span of a request; what is raised is what it failed with."""
    if tracing.current() is None:
        yield None
        return
    with tracing.step(f"HTTP {method}", _about(method, url), kind=tracing.CLIENT) as span:
        try:
            yield span
        except Exception as error:
            if span is not None and span.error is None:
                text = (
                    reason_of(error, urlsplit(url).netloc) if isinstance(error, ConnectFailed) else str(error)
                )
                span.fail(text)
                span.record(error, text)
            raise


def answered(span: Span | None, status: int) -> None:
    """Note what the answer to a request was; one that tells of a fault is one of the request."""
    if span is None:
        return
    span.set({"http.response.status_code": status})
    if status >= _FAULT:
        span.set({"error.type": str(status)})
        span.fail()


def _about(method: str, url: str) -> dict[str, Value]:
    parts = urlsplit(url)
    found: dict[str, Value] = {
        "http.request.method": method, "url.full": url, "server.address": parts.hostname or "",
        "network.protocol.version": _VERSION,
    }  # fmt: skip
    return {**found, "server.port": parts.port} if parts.port and parts.port != _HTTPS else found
