"""Tracing of one API server: a span for each request, others for what is done for it, by upstream's names.

Owns: the chain, gate and store that make spans around the bare ones, put in their place where
``--tracing-config-file`` is given: without it nothing of this is there. Refuses: spans themselves
(``apimachinery.tracing``) and sending them (``wire.otlp``).

Whoever calls may only continue a trace of its own when its user is privileged; the spans of all others begin
traces, linked to where the request says it comes from.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import MethodNotAllowed, NotAcceptable, NotFound, StatusError, Unauthorized
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
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.compression import compresses
from tiphys.apiserver.endpoints.negotiation import PROTOBUF, YAML
from tiphys.apiserver.endpoints.nonresource import NonResource
from tiphys.apiserver.filters.chain import Chain, Traffic
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.controller import Gate
from tiphys.apiserver.flowcontrol.levels import Flow, Ticket
from tiphys.apiserver.observe.metrics import Metrics
from tiphys.apiserver.observe.request_span import ERROR, attributes_of, name_of
from tiphys.apiserver.observe.traced_store import ANSWERING, LISTED, TracedStore, begin
from tiphys.apiserver.peers.controller import Peers
from tiphys.wire.dial import Tunnel
from tiphys.wire.message import Request, Response
from tiphys.wire.otlp import Exporter

_PRIVILEGED: Final = frozenset({"system:masters", "system:monitoring"})
_STEPS: Final = {
    "create": "Create", "get": "Get", "list": "List", "update": "Update", "patch": "Patch",
    "delete": "Delete", "deletecollection": "Delete",
}  # fmt: skip
"""None of watches: upstream begins one of them and never ends it."""
_CONNECTS: Final = frozenset(("attach", "exec", "portforward", "proxy"))
_WRITES: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_READS: Final = {"get": "About to Get from storage", "list": "About to List from storage"}
_TEXT: Final = "text/plain"
_OK: Final = 200
_HEAD_BYTES: Final = 100
_GROUPS: Final = "as=APIGroupDiscoveryList"
_TRANSFORMED: Final = re.compile(rb"meta\.k8s\.io/v1(beta1)?(?=[^a-z])")
_GATEWAY_TIMEOUT: Final = 504
_UPDATES: Final = frozenset(("update", "patch"))
_ANSWERED: Final = frozenset(("get", "create", "update", "patch", "delete"))
_JSON_ENCODER: Final = '{{"name":"json","pretty":"{pretty}","strict":"false","yaml":"{yaml}"}}'
_STORES: Final = "About to store object in database"
_WRITER: Final = "*responsewriter.outerWithCloseNotifyFlushAndHijack"
_WRITERS: Final = {"HTTP/2.0": "responsewriter.outerWithCloseNotifyAndFlush"}
_ZIPPING: Final = "*gzip.Writer"
"""Through which of its types upstream writes."""


class Tracing:
    """What a server that traces has beside the others. ``run`` sends.

    ``options`` None: nothing is sent, all is for ``listener``, who is told of every span.
    """

    def __init__(
        self,
        options: TracingOptions | None,
        clock: Clock,
        identity: str = "",
        through: Tunnel | None = None,
        *,
        listener: Callable[[Span], None] | None = None,
    ) -> None:
        resource = {"service.name": "apiserver", **({"service.instance.id": identity} if identity else {})}
        self._exporter, self._tracer = None, Tracer(0, clock, None, listener)
        if options is not None:
            self._exporter = Exporter(options.endpoint, resource, through=through)
            self._tracer = Tracer(options.per_million, clock, self._exporter.take, listener)

    def store(self, store: Any, *, seals: bool) -> Any:
        """Put spans around a store; ``seals``: something below seals values."""
        return TracedStore(store, seals=seals)

    def chain(
        self, backend: Backend, nonresource: NonResource, metrics: Metrics, aggregation: Aggregation,
        traffic: Traffic, *, auditor: Auditor | None = None, attempts: Attempts | None = None,
        peers: Peers | None = None,
    ) -> Chain:  # fmt: skip
        return TracedChain(
            self._tracer, backend, nonresource, metrics, aggregation, traffic,
            auditor=auditor, attempts=attempts, peers=peers,
        )  # fmt: skip

    async def run(self) -> None:
        """Send spans until cancelled, where they go anywhere."""
        if self._exporter is not None:
            await self._exporter.run()


class TracedChain(Chain):
    """The filters of a server that traces. It takes no short cuts: each request is asked about anew."""

    def __init__(self, tracer: Tracer, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._tracer = tracer
        self._gate = cast(Gate, TracedGate(self._gate))
        self._quick = self.at_once = None

    async def _serve(self, request: Request, info: RequestInfo) -> Response:
        with self._tracer.span("authentication", fails=False) as known:
            try:
                user = await self._authenticate(request)
            except StatusError as error:
                self._failure(error, request, info)  # for its span: whoever called answers with it
                raise
        span = self._begin(request, info, user, known.context)
        try:
            with present(span):
                response = await self._known(request, info, user)
        except StatusError as error:
            self._end(span, error.status_code)
            raise
        except asyncio.CancelledError:
            self._end(span, _GATEWAY_TIMEOUT)
            raise
        except BaseException as error:
            span.record(error)
            self._end(span, ERROR)
            raise
        if response.stream is None:
            self._end(span, response.status, len(request.body), _size(response))
        else:
            ended = partial(self._end, span, response.status, len(request.body))
            response.stream = _Stream(response.stream, ended)
        return response

    async def _known(self, request: Request, info: RequestInfo, user: User) -> Response:
        """Answer somebody who is known; what goes wrong is answered here, for the span of that to be within.

        Raises Unauthorized, which the audit is to hear of.
        """
        try:
            return await self._ask_all(request, info, await self._speaks_for(request, info, user))
        except Unauthorized:
            raise
        except StatusError as error:
            return self._failure(error, request, info)

    def _begin(self, request: Request, info: RequestInfo, user: User, known: SpanContext) -> Span:
        remote = read_headers(request.headers)
        trusted = not _PRIVILEGED.isdisjoint(user.groups)
        parent, link = (remote or known, None) if trusted else (None, remote)
        span = self._tracer.begin(name_of(request.method, info), parent=parent, kind=SERVER, link=link)
        if span.recorded:
            span.attributes |= {**attributes_of(request), "audit-id": self._audit_id(request)}
        return span

    def _end(self, span: Span, status: int, read: int = 0, written: int = 0) -> None:
        """End a request's span; what was read and written in bytes."""
        sizes = {"http.request.body.size": read, "http.response.body.size": written}
        span.set({name: size for name, size in sizes.items() if size})
        span.set({"http.response.status_code": status})
        if status >= ERROR:
            span.fail()
        self._tracer.end(span)

    def _failure(self, error: StatusError, request: Request, info: RequestInfo) -> Response:
        response = super()._failure(error, request, info)
        within = current()
        if within is not None and not isinstance(error, NotAcceptable):
            ANSWERING.set(0)
            nowhere = isinstance(error, NotFound | MethodNotAllowed) and error.details == {}
            about = RequestInfo(info.path, info.verb) if nowhere else info
            self._tell_answer(within, request, about, response)
        return response

    async def _speaks_for(self, request: Request, info: RequestInfo, user: User) -> User:
        with step("impersonation"):
            return await super()._speaks_for(request, info, user)

    async def _authorize(self, request: Request, info: RequestInfo, user: User) -> None:
        with step("authorization"):
            await super()._authorize(request, info, user)

    async def _handle(self, request: Request, info: RequestInfo, user: User) -> Response:
        ANSWERING.set(0)
        response = await super()._handle(request, info, user)
        within = current()
        if within is not None and response.status == _OK and _is_discovery(info):
            self._tell_answer(within, request, info, response)
        return response

    async def _answer(self, request: Request, info: RequestInfo, user: User, resource: Resource) -> Response:
        name = _STEPS.get(info.verb)
        if name is None or info.subresource in _CONNECTS:
            return await super()._answer(request, info, user, resource)
        accept = {"accept": request.headers.get("accept", "")}
        with step(name, {**accept, "audit-id": self._audit_id(request), **_asked(request, info)}) as span:
            begin()
            _tell_begin(request, info)
            try:
                response = await super()._answer(request, info, user, resource)
            except StatusError as error:
                self._tell_untouched(request, info, same=False)
                if span is not None and span.events and span.events[-1].name == _STORES:
                    event("Write to database call failed", {"len": len(request.body), "err": error.message})
                return self._failure(error, request, info)
            self._tell_untouched(request, info, same=True)
            if info.verb == "list":
                event("Listing from storage done")
            elif info.verb in _ANSWERED:
                event("About to write a response")
            if span is not None and response.stream is None:
                self._tell_answer(span, request, info, response)
            event("Writing http response done", {"count": LISTED.get()} if info.verb == "list" else None)
            return response

    def _tell_untouched(self, request: Request, info: RequestInfo, *, same: bool) -> None:
        """Tell of an update that wrote nothing, other than one that was only to be tried."""
        if info.verb in _UPDATES and "dryRun" not in request.raw_query:
            store = cast(TracedStore, self._backend.store)
            store.tell_untouched(info.resource, info.name, same=same)

    def _tell_answer(self, within: Span, request: Request, info: RequestInfo, response: Response) -> None:
        """Make the span of writing an answer, which began when there was something to answer with.

        There is none of what is no object, but a line of text.
        """
        media_type = response.headers.get("content-type", "")
        if media_type.startswith(_TEXT):
            return
        head = _head(response)
        span = self._tracer.begin("SerializeObject", parent=within.context)
        span.started_ns = ANSWERING.get() or span.started_ns
        span.set({
            "audit-id": self._audit_id(request), "method": request.method, "url": request.path,
            "protocol": request.protocol, "mediaType": media_type,
            "encoder": _encoder(media_type, _version_of(info, media_type, head), pretty=_is_pretty(head)),
        })  # fmt: skip
        size = {"size": _size(response)}
        zips = self._compresses and compresses(request, response)
        writer = _ZIPPING if zips else _WRITERS.get(request.protocol, _WRITER)
        span.note("About to start writing response", {"writer": writer, **size})
        span.note("Write call succeeded", size)
        self._tracer.end(span)


def _tell_begin(request: Request, info: RequestInfo) -> None:
    """Tell what the span of a handler begins with."""
    if request.method in _WRITES:
        event("limitedReadBody succeeded", {"len": len(request.body)})
    elif info.verb in _READS:
        if info.subresource == "log":
            event("About to process Get options")
        event(_READS[info.verb])


def _size(response: Response) -> int:
    body = response.body
    return len(body) if isinstance(body, bytes) else sum(map(len, body))


def _head(response: Response) -> bytes:
    """Return how an answer begins: as far as it says what it is."""
    body = response.body
    return body[:_HEAD_BYTES] if isinstance(body, bytes) else next(iter(body), b"")[:_HEAD_BYTES]


def _is_pretty(head: bytes) -> bool:
    return head.startswith(b"{\n")


def _is_discovery(info: RequestInfo) -> bool:
    first, *rest = info.path.strip("/").split("/")
    return not info.is_resource and len(rest) <= {"api": 1, "apis": 2}.get(first, -1)


def _version_of(info: RequestInfo, media_type: str, head: bytes) -> str:
    """Return the version that an answer is encoded for: of what it was made into, or what was asked for."""
    if _GROUPS in media_type:
        return f"apidiscovery.k8s.io/{media_type.partition('v=')[2].partition(';')[0]}"
    transformed = _TRANSFORMED.search(head)
    if transformed is not None:
        return transformed[0].decode()
    return f"{info.group}/{info.version}" if info.group else info.version


def _encoder(media_type: str, version: str, *, pretty: bool) -> str:
    """Return what upstream calls the encoder of a media type for a version."""
    if media_type == PROTOBUF:
        inner = "protobuf"
    else:
        inner = _JSON_ENCODER.format(yaml=_boolean(media_type == YAML), pretty=_boolean(pretty))
    return orjson.dumps({"encodeGV": version, "encoder": inner, "name": "versioning"}).decode()


def _boolean(value: bool) -> str:
    return str(value).lower()


def _asked(request: Request, info: RequestInfo) -> dict[str, str]:
    """Return what upstream tells of a request that a handler works at."""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return {
        "client": request.peer_address, "api-group": info.group, "api-version": info.version,
        "name": info.name, "subresource": info.subresource, "namespace": info.namespace,
        "protocol": request.protocol, "resource": info.resource, "scope": scope, "url": request.path,
        "user-agent": request.headers.get("user-agent", ""), "verb": request.method,
    }  # fmt: skip


class _Stream:
    """What is sent for long: its request's span ends with it, told how many bytes went this way."""

    def __init__(self, stream: Any, end: Callable[[int], None]) -> None:
        self._stream = stream
        self._end: Callable[[int], None] | None = end
        self._written = 0
        if hasattr(stream, "attach"):
            self.attach = stream.attach

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = cast(bytes, await anext(self._stream))
            self._written += len(chunk)
            return chunk
        except BaseException:
            self._over()
            raise

    async def aclose(self) -> None:
        self._over()
        await self._stream.aclose()

    def _over(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(self._written)


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
