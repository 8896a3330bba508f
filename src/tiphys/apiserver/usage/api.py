"""The API ``metrics.k8s.io/v1beta1``, served in process behind a local APIService.

Owns: its resources, objects, selectors and tables. Whoever registers another server for the same group
version takes its place. Source: the metrics-server project's API.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from tiphys.apimachinery import labels, quantity
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, MethodNotAllowed, NotFound
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.openapi.merge import RemoteSpec
from tiphys.apiserver.call import Backend
from tiphys.apiserver.negotiation import Format, accept_format
from tiphys.apiserver.objects import Cached, Selection
from tiphys.apiserver.requestinfo import RequestInfo, parse
from tiphys.apiserver.usage import openapi
from tiphys.apiserver.usage.samples import Usage
from tiphys.apiserver.usage.scraper import Scraper
from tiphys.wire.message import Request, Response

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
_KINDS = {"nodes": "NodeMetrics", "pods": "PodMetrics"}
_COLUMNS = (
    {"name": "Name", "type": "string", "format": "name", "description": "Name", "priority": 0},
    {"name": "cpu", "type": "string", "format": "quantity", "description": "CPU", "priority": 0},
    {"name": "memory", "type": "string", "format": "quantity", "description": "Memory", "priority": 0},
    {"name": "Window", "type": "string", "format": "duration", "description": "Time", "priority": 0},
)  # fmt: skip


def usage_of(usage: Usage) -> Object:
    return {
        "cpu": quantity.canonical(f"{usage.cpu_nano}n"),
        "memory": str(quantity.from_value(usage.memory_bytes, quantity.BINARY_SI)),
    }


def duration(seconds: float) -> str:
    """Return a time as Go prints it, to the millisecond."""
    minutes, rest = divmod(round(seconds, 3), 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"


class UsageApi:
    """Answers requests for the group version; what it knows is the scraper's."""

    def __init__(self, backend: Backend, scraper: Scraper) -> None:
        self._backend = backend
        self._scraper = scraper
        self.spec: Object = {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100
        }  # fmt: skip
        self.resources: list[Object] = [
            {"name": plural, "singularName": "", "namespaced": plural == "pods", "kind": kind,
             "verbs": ["get", "list"]}
            for plural, kind in _KINDS.items()
        ]  # fmt: skip

    def openapi(self) -> RemoteSpec:
        """Return the documents of this group version."""
        return openapi.spec()

    async def handle(self, request: Request) -> Response:
        """Answer an authorized request. Raises NotFound, MethodNotAllowed, BadRequest."""
        info = parse(request.method, request.path, request.raw_query)
        if not info.is_resource:
            document = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION}
            return _json({**document, "resources": self.resources})
        if info.resource not in _KINDS or info.subresource:
            raise NotFound.path()
        if info.verb not in ("get", "list") or (info.resource == "nodes" and info.namespace):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        form = accept_format(
            request.headers.get("accept", ""), "", request.headers.get("user-agent", ""), protobuf=False
        )
        items = await self._items(info, request)
        if info.verb == "get":
            return self._one(info, items, form)
        return _json(_table(items, form) if form.transform else _list(info, items))

    def _one(self, info: RequestInfo, items: list[Object], form: Format) -> Response:
        if not items:
            name = f"{info.namespace}/{info.name}" if info.namespace else info.name
            raise NotFound.of(GROUP, _KINDS[info.resource].lower(), name)
        return _json(_table(items, form) if form.transform else items[0])

    async def _items(self, info: RequestInfo, request: Request) -> list[Object]:
        named = info.name if info.verb == "get" else ""
        found = await self._select(info, request.query, named)
        build = self._node if info.resource == "nodes" else self._pod
        return [item for item in (build(cached) for cached in found) if item is not None]

    async def _select(self, info: RequestInfo, query: dict[str, list[str]], named: str) -> list[Cached]:
        """Return the nodes or pods that are asked for."""
        row = self._backend.table.by_path("", "v1", info.resource)
        page = await self._backend.store.list(row, Selection(info.namespace, name=named))
        selector = labels.parse_selector((query.get("labelSelector") or [""])[0])
        wanted = _fields((query.get("fieldSelector") or [""])[0])
        return [
            item
            for item in page.items
            if (not named or item.name == named)
            and selector.matches(item.labels)
            and all((item.fields.get(path) == value) != negated for path, value, negated in wanted)
        ]

    def _node(self, cached: Cached) -> Object | None:
        known = self._scraper.nodes.get(cached.name)
        if known is None or known.node is None:
            return None
        return {**self._head("NodeMetrics", cached, known.node), "usage": usage_of(known.node)}

    def _pod(self, cached: Cached) -> Object | None:
        pod = cached.object
        known = self._scraper.nodes.get(pod["spec"].get("nodeName") or "")
        if known is None:
            return None
        found: dict[str, Usage] = {}
        for container in _measured(pod):
            usage = known.containers.get((cached.namespace, cached.name, container))
            if usage is None:
                return None  # half a pod's usage would mislead whoever scales by it
            found[container] = usage
        if not found:
            return None
        oldest = min(found.values(), key=lambda usage: usage.at_s)
        containers = [{"name": name, "usage": usage_of(usage)} for name, usage in found.items()]
        return {**self._head("PodMetrics", cached, oldest), "containers": containers}

    def _head(self, kind: str, cached: Cached, usage: Usage) -> Object:
        meta: Object = {"name": cached.name}
        if cached.namespace:
            meta["namespace"] = cached.namespace
        meta["creationTimestamp"] = rfc3339(self._backend.clock.now())
        if cached.labels:
            meta["labels"] = dict(cached.labels)
        return {
            "kind": kind, "apiVersion": API_VERSION, "metadata": meta, "timestamp": _moment(usage.at_s),
            "window": duration(usage.window_s),
        }  # fmt: skip


def _measured(pod: Object) -> Iterable[str]:
    """Yield the containers of a pod that run now: those have usage."""
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(key) or ():
            if "running" in (one.get("state") or {}):
                yield one["name"]


def _fields(text: str) -> list[tuple[str, str, bool]]:
    found = []
    for one in parse_field_selector(text):
        if one.path not in ("metadata.name", "metadata.namespace"):
            raise BadRequest(f'unable to find records: field label "{one.path}" not supported')
        found.append((one.path, one.value, one.negated))
    return found


def _moment(at_s: float) -> str:
    return rfc3339(datetime.fromtimestamp(at_s, UTC))


def _list(info: RequestInfo, items: list[Object]) -> Object:
    kind = f"{_KINDS[info.resource]}List"
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": {}, "items": items}


def _total(item: Object) -> tuple[str, str]:
    parts = [one["usage"] for one in item.get("containers") or [item]]
    cpu = quantity.total(quantity.parse(part["cpu"]) for part in parts)
    memory = quantity.total(quantity.parse(part["memory"]) for part in parts)
    return str(cpu), str(memory)


def _table(items: list[Object], form: Format) -> Object:
    rows = []
    for item in items:
        partial = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{form.transform_version}",
                   "metadata": item["metadata"]}  # fmt: skip
        cells = [item["metadata"]["name"], *_total(item), item["window"]]
        rows.append({"cells": cells, "object": partial})
    return {
        "kind": "Table", "apiVersion": f"meta.k8s.io/{form.transform_version}", "metadata": {},
        "columnDefinitions": list(_COLUMNS), "rows": rows,
    }  # fmt: skip


def _json(value: Any) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-cache, private"}
    return Response(200, headers, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
