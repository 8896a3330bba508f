"""Spans of a kubelet: of requests to it, and of rounds of its pod workers with their calls of the runtime.

Owns: names and attributes, as upstream has them. There is one of these only where the configuration has
``tracing``; the spans themselves are ``apimachinery.tracing``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.tracing import INTERNAL, SERVER, Span, Tracer, present, read_headers
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.wire.message import Request, Response
from tiphys.wire.otlp import GRPC, RESTFUL, Exporter

_ROUTES: Final = {
    "attach": "/attach/{podNamespace}/{podID}/{containerName}",
    "checkpoint": "/checkpoint/{podNamespace}/{podID}/{containerName}",
    "containerLogs": "/containerLogs/{podNamespace}/{podID}/{containerName}",
    "exec": "/exec/{podNamespace}/{podID}/{containerName}",
    "portForward": "/portForward/{podNamespace}/{podID}",
    "run": "/run/{podNamespace}/{podID}/{containerName}",
}
_INTERNAL_ERROR: Final = 500
_SCOPES: Final = {INTERNAL: "k8s.io/kubernetes/pkg/kubelet", SERVER: RESTFUL}


def _scope_of(span: Span) -> str:
    """Return what makes such a span in upstream's kubelet."""
    return _SCOPES.get(span.kind, GRPC)


class Tracing:
    """What a kubelet that traces has beside the others. ``run`` sends."""

    def __init__(self, options: TracingOptions, node: str, clock: Clock) -> None:
        about = {"service.name": "kubelet", "host.name": node}
        self._exporter = Exporter(options.endpoint, about, scope=_scope_of)
        self._tracer = Tracer(options.per_million, clock, self._exporter.take)

    async def run(self) -> None:
        """Send spans until cancelled."""
        await self._exporter.run()

    @contextmanager
    def round(self, pod: Object, *, terminating: bool) -> Iterator[None]:
        """Be in the span of one look at a pod."""
        meta = pod["metadata"]
        with self._tracer.span("syncTerminatingPod" if terminating else "syncPod") as span:
            span.set(
                {
                    "k8s.pod.uid": meta["uid"],
                    "k8s.pod": f"{meta['namespace']}/{meta['name']}",
                    "k8s.pod.name": meta["name"],
                    "k8s.namespace.name": meta["namespace"],
                    "k8s.pod.update_type": "kill" if terminating else "sync",
                }
            )
            yield

    @contextmanager
    def request(self, request: Request) -> Iterator[Span]:
        """Be in the span of a request, a child of the caller's: who it is is known by now."""
        head = next((part for part in request.path.split("/") if part), "")
        parent = read_headers(request.headers)
        span = self._tracer.begin(_ROUTES.get(head, request.path), parent=parent, kind=SERVER)
        span.set({"http.request.method": request.method, "url.path": request.path})
        try:
            with present(span):
                yield span
        finally:
            self._tracer.end(span)


def answered(span: Span, response: Response) -> Response:
    """Note what a request came to."""
    span.set({"http.response.status_code": response.status})
    if response.status >= _INTERNAL_ERROR:
        span.fail()
    return response
