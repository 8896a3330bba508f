"""Over HTTP: the proxy's own health and metrics, and the healthCheckNodePort of LoadBalancer services.

A load balancer asks a node's healthCheckNodePort whether the node has local endpoints: 200 with, 503 without.
Called by ``proxy``.

Source: KEP-2438 and the Service API (``healthCheckNodePort``).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery.clock import Clock, rfc3339
from tiphys.apimachinery.families import CONTENT_TYPE
from tiphys.apimachinery.meta import Object, split_key
from tiphys.client import metrics
from tiphys.client.zpages import ZPages
from tiphys.proxy.configz import GROUP
from tiphys.proxy.metrics import HEALTHZ, LIVEZ
from tiphys.wire.message import Handler, Request, Response

log = logging.getLogger(__name__)


def local_endpoints(slices: Iterable[Object], node_name: str) -> int:
    """Count the ready endpoints on a node, each address once."""
    found: set[str] = set()
    for item in slices:
        for endpoint in item.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if ready and endpoint.get("nodeName") == node_name:
                found.update(endpoint.get("addresses") or ())
    return len(found)


def health_port(service: Object | None) -> int:
    """Return the port on which this service's health is asked; 0 when it has none."""
    spec = (service or {}).get("spec") or {}
    if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
        return 0
    return int(spec.get("healthCheckNodePort") or 0)


def service_reply(key: str, count: int) -> Response:
    """Answer for one service with ``count`` local endpoints."""
    namespace, name = split_key(key)
    body = {
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": count,
        "serviceProxyHealthy": True,
    }
    headers = {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-load-balancing-endpoint-weight": str(count),
    }
    return Response(200 if count else 503, headers, json.dumps(body, indent="\t").encode())


class MetricsPort:
    """Answers on the metrics port: what the process counts, how it works, with what it was started."""

    PATHS = ("/configz", "/flagz", "/healthz", "/metrics", "/proxyMode", "/statusz")

    def __init__(self, configuration: Mapping[str, Any], pages: ZPages, clock: Clock) -> None:
        self._configuration = configuration
        self._pages = pages
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        if request.path == "/metrics":
            return Response(200, {"content-type": CONTENT_TYPE}, metrics.render("kube-proxy"))
        if request.path == "/configz":
            body = json.dumps({GROUP: dict(self._configuration)}).encode()
            return Response(200, {"content-type": "application/json"}, body)
        page = self._pages.answer(request, self._clock.now())
        if page is not None:
            return page
        texts = {"/healthz": b"ok", "/proxyMode": b"nftables"}
        found = texts.get(request.path)
        headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
        return Response(200, headers, found) if found else Response(404, headers, b"404 page not found\n")


class HealthServer:
    """Serves whatever ports are wanted at the moment; a port that is taken is reported and tried again."""

    def __init__(
        self, node_name: str, healthz_address: str, metrics_address: str, port: MetricsPort, clock: Clock
    ) -> None:
        self._node = node_name
        self._own: dict[str, Handler] = {healthz_address: self._healthz_reply, metrics_address: port}
        self._clock = clock
        self._last_sync = ""
        self._wanted: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        self._changed = asyncio.Event()

    def synced(self) -> None:
        """Note that the rules were just written."""
        self._last_sync = rfc3339(self._clock.now())

    def update(self, key: str, service: Object | None, slices: Iterable[Object]) -> None:
        """Take in a service's present state."""
        port = health_port(service)
        before = dict(self._wanted)
        self._wanted = {number: owner for number, owner in self._wanted.items() if owner != key}
        self._counts.pop(key, None)
        if port:
            self._wanted[port] = key
            self._counts[key] = local_endpoints(slices, self._node)
        if before != self._wanted:
            self._changed.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for address, handler in self._own.items():
                if address:
                    host, _, number = address.rpartition(":")
                    tasks.create_task(self._serve(host.strip("[]"), int(number), handler))
            running: dict[int, asyncio.Task[None]] = {}
            while True:
                for port in set(running) - set(self._wanted):
                    running.pop(port).cancel()
                for port in set(self._wanted) - set(running):
                    running[port] = tasks.create_task(
                        self._serve("0.0.0.0", port, self._service_handler(port))
                    )
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, host: str, port: int, handler: Handler) -> None:
        from tiphys.wire.server import serve

        while True:
            try:
                async with serve(handler, host=host, port=port):
                    await asyncio.Event().wait()
            except OSError as error:
                log.warning("health port not served port=%d error=%s", port, error)
            await asyncio.sleep(5)

    async def _healthz_reply(self, request: Request) -> Response:
        counts = {"/healthz": HEALTHZ, "/livez": LIVEZ}.get(request.path)
        if counts is None:
            return Response(404, {}, b"404 page not found\n")
        body = {"lastUpdated": self._last_sync, "currentTime": rfc3339(self._clock.now())}
        code = 200 if self._last_sync else 503
        counts.labels(str(code)).inc()
        return Response(code, {"content-type": "application/json"}, json.dumps(body).encode())

    def _service_handler(self, port: int) -> Handler:
        async def handle(_: Request) -> Response:
            key = self._wanted.get(port, "/")
            return service_reply(key, self._counts.get(key, 0))

        return handle
