"""The API ``metrics.k8s.io/v1beta1``, served in process behind a local APIService.

Owns: its resources, objects, selectors and tables. Whoever registers another server for the same group
version takes its place. Source: the metrics-server project's API.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tiphys.apimachinery import labels, quantity
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, MethodNotAllowed, NotAcceptable, NotFound
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.openapi.merge import RemoteSpec
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.negotiation import PROTOBUF, Format, accept_format
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.apiserver.registry.objects import Cached, Selection
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
            return _answer({**document, "resources": self.resources}, Format())
        if info.resource not in _KINDS or info.subresource or (info.resource == "nodes" and info.namespace):
            raise NotFound.path()
        if info.verb == "watch" and request.method == "GET":
            text = f'watch is not supported on resources of kind "{info.resource}.{GROUP}"'
            raise MethodNotAllowed(text, details={"group": GROUP, "kind": info.resource})
        if info.verb not in ("get", "list"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        form = _form(request)
        items = await self._items(info, request)
        value = _one(info, items, form) if info.verb == "get" else _many(info, items, form)
        return _answer(value, form)

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


def _form(request: Request) -> Format:
    """Return the form of an answer. Raises NotAcceptable."""
    headers, pretty = request.headers, (request.query.get("pretty") or [""])[0]
    return accept_format(headers.get("accept", ""), pretty, headers.get("user-agent", ""))


def _one(info: RequestInfo, items: list[Object], form: Format) -> Object:
    """Return what is known of one node or pod. Raises NotFound, NotAcceptable."""
    kind = _KINDS[info.resource]
    if not items:
        name = f"{info.namespace}/{info.name}" if info.namespace else info.name
        raise NotFound.of(GROUP, kind.lower(), name)
    if form.transform == "PartialObjectMetadataList":
        raise NotAcceptable(respond.NO_LIST.format(f"*metrics.{kind}"))
    if form.transform == "PartialObjectMetadata":
        return respond.partial(items[0], form.transform_version)
    return _table(items, form) if form.transform else items[0]


def _many(info: RequestInfo, items: list[Object], form: Format) -> Object:
    """Return what is known of all that are asked for. Raises NotAcceptable."""
    kind = f"{_KINDS[info.resource]}List"
    if form.transform == "PartialObjectMetadata":
        raise NotAcceptable(respond.A_LIST.format(f"*metrics.{kind}"))
    if form.transform == "Table":
        return _table(items, form)
    head: Object = {"kind": kind, "apiVersion": API_VERSION}
    if form.transform:
        head = {"kind": form.transform, "apiVersion": f"meta.k8s.io/{form.transform_version}"}
        items = [respond.partial(item, form.transform_version) for item in items]
    elif form.media_type != PROTOBUF:
        items = list(map(respond.untyped, items))
    return {**head, "metadata": {}, "items": items}


def _total(item: Object) -> tuple[str, str]:
    parts = [one["usage"] for one in item.get("containers") or [item]]
    cpu = quantity.total(quantity.parse(part["cpu"]) for part in parts)
    memory = quantity.total(quantity.parse(part["memory"]) for part in parts)
    return str(cpu), str(memory)


def _table(items: list[Object], form: Format) -> Object:
    rows = []
    for item in items:
        partial = respond.partial(item, form.transform_version)
        cells = [item["metadata"]["name"], *_total(item), item["window"]]
        rows.append({"cells": cells, "object": partial})
    return {
        "kind": "Table", "apiVersion": f"meta.k8s.io/{form.transform_version}", "metadata": {},
        "columnDefinitions": list(_COLUMNS), "rows": rows,
    }  # fmt: skip


def _answer(value: Object, form: Format) -> Response:
    body, content_type = respond.encode(value, form)
    return Response(200, {"content-type": content_type, "cache-control": respond.NO_STORE}, body)
