"""A server behind an APIService, the objects that lead to it, and waiting for what is said of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.apimachinery.meta import get_condition
from tiphys.apiserver.registry.objects import Selection
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.pki import KeyPair

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1beta1.samples.example.com"
GROUP_VERSION = "/apis/samples.example.com/v1beta1"
RESOURCES = [
    {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
    {"name": "pods/status", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get"]},
]
V3_URL = f"/openapi/v3{GROUP_VERSION}?hash=ABC"
PUBLISHED: dict[str, Any] = {
    "/openapi/v2": {
        "swagger": "2.0",
        "paths": {
            f"{GROUP_VERSION}/pods": {"get": {"responses": {"200": {
                "description": "OK", "schema": {"$ref": "#/definitions/io.metrics.PodMetrics"}}}}},
            "/apis/other/v1/things": {"get": {"responses": {}}},
        },
        "definitions": {"io.metrics.PodMetrics": {"type": "object"}, "io.metrics.Unused": {"type": "object"}},
    },
    "/openapi/v3": {"paths": {GROUP_VERSION[1:]: {"serverRelativeURL": V3_URL}}},
}  # fmt: skip
ADDRESS = "10.96.0.77"
"""Of the Service: servers behind are called by it."""
WAIT_S = 20.0


@dataclass
class Extension:
    """A small API server of its own: discovery, one list, one watch, one upgrade."""

    ca: KeyPair
    port: int = 0
    asked: list[Request] = field(default_factory=list)
    status: int = 200
    location: str = ""
    hangs: asyncio.Event | None = None
    apis: Response | None = None
    """How it answers ``/apis``; None: as a server that knows no aggregated discovery."""
    tags: bool = False
    """Whether its documents have tags."""
    downloads: list[tuple[Request, int]] = field(default_factory=list)
    """What was asked of its documents, and how it was answered."""

    async def __call__(self, request: Request) -> Response:
        if self.hangs is not None:
            await self.hangs.wait()
        if request.path == "/apis" or request.path in PUBLISHED:
            answer = self._document(request)
            self.downloads.append((request, answer.status))
            return answer
        if request.path != GROUP_VERSION:
            self.asked.append(request)
        if "upgrade" in request.headers:
            return Response(101, {"Connection": "Upgrade", "Upgrade": "echo"}, upgrade=self._echo)
        if "watch=" in request.raw_query:
            return Response(200, {"content-type": "application/json"}, stream=self._events())
        body: dict[str, Any] = {"kind": "PodMetricsList", "items": []}
        if request.path == GROUP_VERSION:
            body = {
                "kind": "APIResourceList",
                "groupVersion": "samples.example.com/v1beta1",
                "resources": RESOURCES,
            }
        headers = {"content-type": "application/json", "Audit-ID": request.headers.get("audit-id", "")} | (
            {"Location": self.location} if self.location else {}
        )
        return Response(self.status, headers, orjson.dumps(body))

    def _document(self, request: Request) -> Response:
        if request.path == "/apis":
            answer = self.apis or Response(406)
        else:
            answer = Response(
                200, {"content-type": "application/json"}, orjson.dumps(PUBLISHED[request.path])
            )
        tag = f'"{hash(answer.body)}"'
        if not self.tags or answer.status != 200:
            return answer
        if request.headers.get("if-none-match") == tag:
            return Response(304, {"etag": tag})
        return Response(200, {**answer.headers, "etag": tag}, answer.body)

    async def _events(self) -> AsyncIterator[bytes]:
        yield b'{"type":"ADDED"}\n'
        yield b'{"type":"DELETED"}\n'

    async def _echo(self, stream: ByteStream) -> None:
        await stream.write(await stream.read())


def api_service(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": NAME},
        "spec": {
            "group": "samples.example.com", "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "service": {"namespace": "kube-system", "name": "metrics"}, **spec,
        },
    }  # fmt: skip


async def serve_behind(api: Any, port: int, *, ready: bool = True, address: str = ADDRESS) -> None:
    """Make the Service; its endpoint goes straight into the store: the API takes no loopback addresses."""
    await api.create(
        "/api/v1/namespaces/kube-system/services",
        {
            "metadata": {"name": "metrics"},
            "spec": {"clusterIP": address, "ports": [{"name": "https", "port": 443}]},
        },
    )
    if not port:
        return
    row = api.server.table.by_path("discovery.k8s.io", "v1", "endpointslices")
    labels = {"kubernetes.io/service-name": "metrics"}
    meta = {"name": "metrics-1", "namespace": "kube-system", "labels": labels, "uid": "u"}
    piece = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta,
        "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
        "ports": [{"name": "https", "port": port}],
    }  # fmt: skip
    await api.server.objects.create(row, piece)


async def condition(api: Any, status: str) -> dict[str, Any]:
    """Wait until the APIService's Available condition has a status."""
    row = api.server.table.by_path("apiregistration.k8s.io", "v1", "apiservices")
    async with asyncio.timeout(WAIT_S):
        async for batch in api.server.objects.watch(row, Selection(name=NAME)):
            for change in batch:
                found = get_condition(change.cached.object, "Available") if change.cached else None
                if found is not None and found["status"] == status:
                    await api.settle()
                    return found
    raise AssertionError


async def available(api: Any, extension: Extension, **spec: Any) -> None:
    await serve_behind(api, extension.port)
    bundle = base64.b64encode(extension.ca.certificate).decode()
    await api.create(SERVICES, api_service(**{"caBundle": bundle, **spec}))
    found = await condition(api, "True")
    assert (found["reason"], found["message"]) == ("Passed", "all checks passed")
