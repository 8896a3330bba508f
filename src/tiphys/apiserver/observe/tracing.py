"""Tracing of one API server: a span for each request, others for what is done for it, by upstream's names.

Owns: the chain, gate and store that make spans around the bare ones, put in their place where
``--tracing-config-file`` is given: without it nothing of this is there. Refuses: spans themselves
(``apimachinery.tracing``) and sending them (``wire.otlp``).

Whoever calls may only continue a trace of its own when its user is privileged; the spans of all others begin
traces, linked to where the request says it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import StatusError, qualified
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.tracing import (
    SERVER,
    Span,
    SpanContext,
    Tracer,
    current,
    event,
    present,
    read_headers,
    step,
)
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.apiserver.aggregation.controller import Aggregation
from tiphys.apiserver.audit.auditor import Auditor
from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.cache.feed import Hint, hint_of
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.negotiation import PROTOBUF, YAML
from tiphys.apiserver.endpoints.nonresource import NonResource
from tiphys.apiserver.filters.chain import Chain, Traffic
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.controller import Gate
from tiphys.apiserver.flowcontrol.levels import Flow, Ticket
from tiphys.apiserver.observe.metrics import Metrics
from tiphys.apiserver.peers.controller import Peers
from tiphys.apiserver.registry.objects import Cached, Page, Selection
from tiphys.wire.dial import Tunnel
from tiphys.wire.message import Request, Response
from tiphys.wire.otlp import Exporter

_PRIVILEGED: Final = frozenset({"system:masters", "system:monitoring"})
_STEPS: Final = {
    "create": "Create", "get": "Get", "list": "List", "watch": "List", "update": "Update", "patch": "Patch",
    "delete": "Delete", "deletecollection": "Delete",
}  # fmt: skip
_WRITES: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_READS: Final = {"get": "About to Get from storage", "list": "About to List from storage"}
_ANSWERED: Final = frozenset(("get", "create", "update", "patch", "delete"))
_JSON_ENCODER: Final = '{{"name":"json","pretty":"false","strict":"false","yaml":"{yaml}"}}'
_ANSWERING: Final[ContextVar[int]] = ContextVar("answering", default=0)
"""Since when a request's answer is being made, in nanoseconds; 0: there was nothing to be read or written."""
_INTERNAL_ERROR: Final = 500
_REGISTRY: Final = "/registry"
_CORE: Final = frozenset({"", "events.k8s.io"})


def name_of(method: str, info: RequestInfo) -> str:
    """Return the name of a request's span: its route, or for what is no resource its method."""
    if not info.is_resource:
        return method
    parts = ["apis" if info.group else "api", info.group, info.version]
    parts += ["namespaces/{:namespace}"] if info.namespace else []
    parts += [info.resource, "{:name}" if info.name else "", info.subresource]
    return f"{method} /{'/'.join(filter(None, parts))}"


class Tracing:
    """What a server that traces has beside the others. ``run`` sends."""

    def __init__(
        self, options: TracingOptions, clock: Clock, identity: str, through: Tunnel | None = None
    ) -> None:
        resource = {"service.name": "apiserver", **({"service.instance.id": identity} if identity else {})}
        self.exporter = Exporter(options.endpoint, resource, through=through)
        self._tracer = Tracer(options.per_million, clock, self.exporter.take)

    def store(self, store: Any) -> Any:
        return TracedStore(store)

    def chain(
        self, backend: Backend, nonresource: NonResource, metrics: Metrics, aggregation: Aggregation,
        traffic: Traffic, *, auditor: Auditor | None = None, attempts: Attempts | None = None,
        peers: Peers | None = None,
    ) -> Chain:  # fmt: skip
        traffic = Traffic(cast(Gate, TracedGate(traffic.gate)), traffic.flights)
        return TracedChain(
            self._tracer, backend, nonresource, metrics, aggregation, traffic,
            auditor=auditor, attempts=attempts, peers=peers,
        )  # fmt: skip

    async def run(self) -> None:
        await self.exporter.run()


class TracedChain(Chain):
    """The filters of a server that traces. It takes no short cuts: each request is asked about anew."""

    def __init__(self, tracer: Tracer, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._tracer = tracer

    async def _serve(self, request: Request, info: RequestInfo) -> Response:
        with self._tracer.span("authentication") as known:
            user = await self._authenticate(request)
        span = self._begin(request, info, user, known.context)
        try:
            with present(span):
                who = await self._speaks_for(request, info, user)
                response = await self._ask_all(request, info, who)
        except StatusError as error:
            self._end(span, error.status_code)
            raise
        except BaseException:
            self._end(span, _INTERNAL_ERROR)
            raise
        if response.stream is None:
            self._end(span, response.status)
        else:
            response.stream = _Stream(response.stream, lambda: self._end(span, response.status))
        return response

    def _begin(self, request: Request, info: RequestInfo, user: User, known: SpanContext) -> Span:
        remote = read_headers(request.headers)
        trusted = not _PRIVILEGED.isdisjoint(user.groups)
        parent, link = (remote or known, None) if trusted else (None, remote)
        span = self._tracer.begin(name_of(request.method, info), parent=parent, kind=SERVER, link=link)
        if span.context.sampled:
            target = request.raw_path or request.path
            span.attributes |= {
                "http.request.method": request.method,
                "url.scheme": "https",
                "url.path": request.path,
                "server.address": request.headers.get("host", ""),
                "client.address": request.peer_address,
                "user_agent.original": request.headers.get("user-agent", ""),
                "http.target": f"{target}?{request.raw_query}" if request.raw_query else target,
                "audit-id": self._audit_id(request),
            }
        return span

    def _end(self, span: Span, status: int) -> None:
        span.set({"http.response.status_code": status})
        if status >= _INTERNAL_ERROR:
            span.fail()
        self._tracer.end(span)

    async def _speaks_for(self, request: Request, info: RequestInfo, user: User) -> User:
        with step("impersonation"):
            return await super()._speaks_for(request, info, user)

    async def _authorize(self, request: Request, info: RequestInfo, user: User) -> None:
        with step("authorization"):
            await super()._authorize(request, info, user)

    async def _handle(self, request: Request, info: RequestInfo, user: User) -> Response:
        name = _STEPS.get(info.verb) if info.is_resource else None
        if name is None:
            return await super()._handle(request, info, user)
        with step(name, {"audit-id": self._audit_id(request), **_asked(request, info)}) as span:
            _ANSWERING.set(0)
            if request.method in _WRITES:
                event("limitedReadBody succeeded", {"len": len(request.body)})
            elif info.verb in _READS:
                event(_READS[info.verb])
            response = await super()._handle(request, info, user)
            if info.verb == "list":
                event("Listing from storage done")
            elif info.verb in _ANSWERED:
                event("About to write a response")
            if info.verb != "watch":
                if span is not None and response.stream is None:
                    self._tell_answer(span, request, info, response)
                event("Writing http response done")
            return response

    def _tell_answer(self, within: Span, request: Request, info: RequestInfo, response: Response) -> None:
        """Make the span of writing an answer, which began when there was something to answer with."""
        span = self._tracer.begin("SerializeObject", parent=within.context)
        span.started_ns = _ANSWERING.get() or span.started_ns
        media_type = response.headers.get("content-type", "").partition(";")[0]
        version = f"{info.group}/{info.version}" if info.group else info.version
        span.set({
            "audit-id": self._audit_id(request), "method": request.method, "url": request.path,
            "protocol": request.protocol, "mediaType": media_type, "encoder": _encoder(media_type, version),
        })  # fmt: skip
        body = response.body
        size = {"size": len(body) if isinstance(body, bytes) else sum(map(len, body))}
        span.note("About to start writing response", size)
        span.note("Write call succeeded", size)
        self._tracer.end(span)


def _encoder(media_type: str, version: str) -> str:
    """Return what upstream calls the encoder of a media type for a version."""
    inner = "protobuf" if media_type == PROTOBUF else _JSON_ENCODER.format(yaml=_boolean(media_type == YAML))
    return orjson.dumps({"encodeGV": version, "encoder": inner, "name": "versioning"}).decode()


def _boolean(value: bool) -> str:
    return str(value).lower()


def _asked(request: Request, info: RequestInfo) -> dict[str, str]:
    """Return what upstream tells of a request that a handler works at."""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return {
        "accept": request.headers.get("accept", ""), "api-group": info.group, "api-version": info.version,
        "client": request.peer_address, "name": info.name, "namespace": info.namespace,
        "protocol": request.protocol, "resource": info.resource, "scope": scope,
        "subresource": info.subresource, "url": request.path,
        "user-agent": request.headers.get("user-agent", ""), "verb": request.method,
    }  # fmt: skip


class _Stream:
    """What is sent for long: its request's span ends with it."""

    def __init__(self, stream: Any, end: Callable[[], None]) -> None:
        self._stream = stream
        self._end: Callable[[], None] | None = end
        if hasattr(stream, "attach"):
            self.attach = stream.attach

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return cast(bytes, await anext(self._stream))
        except BaseException:
            self._over()
            raise

    async def aclose(self) -> None:
        self._over()
        await self._stream.aclose()

    def _over(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()


class TracedGate:
    """Flow control whose waiting can be seen."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)

    async def enter(
        self,
        info: RequestInfo,
        user: User,
        raw_query: str,
        flow: Flow | None = None,
        arrived: float | None = None,
    ) -> Ticket:
        """Raises Rejected."""
        with step("priorityandfairness"):
            return await self._gate.enter(info, user, raw_query, flow, arrived)


class TracedStore:
    """The objects of a server; what takes time is told by upstream's names for its own store."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(
        self, resource: Resource, obj: Object, *, value: bytes | None = None, **more: Any
    ) -> Cached:
        with step("Create etcd3", self._about_one(resource, obj)):
            event("About to Encode")
            hint = _encoded(resource, obj, value)
            with _failing():
                made = await self._store.create(resource, hint.obj, value=hint.value, **more)
            event("Txn call succeeded")
            return _read_again(made)

    async def update(
        self,
        resource: Resource,
        obj: Object,
        expect_revision: int,
        *,
        value: bytes | None = None,
        **more: Any,
    ) -> Cached:
        with step("GuaranteedUpdate etcd3", self._about_one(resource, obj)):
            event("initial value restored")
            event("About to Encode")
            hint = _encoded(resource, obj, value)
            event("Transaction prepared")
            with _failing():
                written = await self._store.update(
                    resource, hint.obj, expect_revision, value=hint.value, **more
                )
            event("Txn call completed")
            event("Transaction committed")
            return _read_again(written)

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        found = cast(Cached, await self._store.get(resource, namespace, name))
        _at_hand()
        return found

    async def list(self, resource: Resource, selection: Selection, **more: Any) -> Page:
        about = {"audit-id": _audit_id(), "type": qualified(resource.plural, resource.group)}
        with step("cacher.GetList", about):
            event("Ready")
            page = cast(Page, await self._store.list(resource, selection, **more))
            event("Listed items from cache")
            event("Filtered items", {"count": len(page.items)})
        _at_hand()
        return page

    def _about_one(self, resource: Resource, obj: Object) -> dict[str, str]:
        meta = obj["metadata"]
        namespace = meta.get("namespace", "") if resource.namespaced else ""
        key = self._store.key_of(resource, namespace, meta.get("name", ""))
        return {"audit-id": _audit_id(), "key": key.removeprefix(_REGISTRY), **_about(resource)}


def _audit_id() -> str:
    within = current()
    return str(within.attributes.get("audit-id", "")) if within is not None else ""


def _encoded(resource: Resource, obj: Object, value: bytes | None) -> Hint:
    """Encode what is to be written, where that has not been done. What is sealed is sealed by the store."""
    hint = hint_of(resource, obj, value)
    event("Encode succeeded", {"len": len(hint.value)})
    event("TransformToStorage succeeded")
    return hint


@contextmanager
def _failing() -> Iterator[None]:
    """Tell where a write fails."""
    try:
        yield
    except StatusError as error:
        event("Txn call failed", {"err": error.message})
        raise


def _read_again(written: Cached) -> Cached:
    event("decode succeeded", {"len": len(written.raw)})
    _at_hand()
    return written


def _at_hand() -> None:
    """Note that there is something to answer with: from now on the answer is made."""
    within = current()
    if within is not None:
        _ANSWERING.set(within.tracer.now_ns())


def _about(resource: Resource) -> dict[str, str]:
    """Name a kind as upstream's Go types are called: by the first word of its group."""
    package = "core" if resource.group in _CORE else resource.group.split(".")[0]
    kind = "unstructured.Unstructured" if resource.custom else f"{package}.{resource.kind}"
    return {"type": f"*{kind}", "resource": qualified(resource.plural, resource.group)}
