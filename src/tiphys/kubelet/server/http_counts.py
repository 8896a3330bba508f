"""How many requests a kubelet had, how long they took and how many are being answered, by upstream's names.

A stream is answered until it ends. Paths are told apart by their first part (two of ``/metrics``), methods
where HTTP knows them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric, Registry
from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.wire.lasting import follow, lasts
from tiphys.wire.message import Request, Response

_LABELS: Final = ("method", "path", "server_type", "long_running")
_METHODS: Final = frozenset({"OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"})
_OPEN: Final = frozenset(
    {"healthz", "pods", "stats", "metrics", "metrics/cadvisor", "metrics/probes", "metrics/resource"}
)
_ALL: Final = _OPEN | {
    "run", "exec", "attach", "portForward", "containerLogs", "configz", "runningpods", "checkpoint",
    "logs", "debug", "flagz", "statusz",
}  # fmt: skip
_LONG: Final = ("exec", "attach", "portforward", "debug")
"""As upstream has it: no path is called ``portforward``."""
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OTHER: Final = "other"


def bucket_of(path: str) -> str:
    """Return what a path is counted as. Pure."""
    parts = path.removeprefix("/").split("/", 2)
    root = "/".join(parts[:2]) if parts[0] == "metrics" and len(parts) > 1 else parts[0]
    return root if root in _ALL else _OTHER


class HttpCounts:
    """Counts the requests that are answered through ``count``."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._registry = registry = Registry()
        self._requests = Counts(
            "kubelet_http_requests", "[ALPHA] Number of the http requests received since the server started",
            _LABELS, registry,
        )  # fmt: skip
        self._inflight = Levels(
            "kubelet_http_inflight_requests",
            "[ALPHA] Number of the inflight http requests",
            _LABELS,
            registry,
        )
        self._seconds = Spreads(
            "kubelet_http_requests_duration_seconds", "[ALPHA] Duration in seconds to serve http requests",
            _LABELS, _BOUNDS, registry,
        )  # fmt: skip

    async def count(
        self, request: Request, answer: Callable[[Request], Awaitable[Response]], *, server: str
    ) -> Response:
        """Answer a request; ``server`` is ``readonly`` or ``readwrite``."""
        method = request.method if request.method in _METHODS else _OTHER
        path = bucket_of(request.path)
        labels = (method, path, server, str(path in _LONG).lower())
        self._requests.labels(*labels).inc()
        level, began = self._inflight.labels(*labels), self._now()
        level.set(level.value + 1)

        def done() -> None:
            level.set(level.value - 1)
            self._seconds.labels(*labels).observe(self._now() - began)

        try:
            response = await answer(request)
        except BaseException:
            done()
            raise
        if lasts(response):
            follow(response, done)
        else:
            done()
        return response

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        return self._registry.collect()
