"""The filters that every request passes, in upstream's order, and the rendering of whatever goes wrong.

request info > (failures are rendered here) > deadline > authentication > audit > impersonation > priority and
fairness > authorization > handler. Called by ``ApiServer`` for every request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from functools import partial
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import (
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    StatusError,
    Unauthorized,
    UnsupportedMediaType,
)
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.aggregation.controller import Aggregation
from tiphys.apiserver.audit.auditor import Auditor
from tiphys.apiserver.authn import impersonation
from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import NotAllowed
from tiphys.apiserver.authz.authorizer import enforce
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.compression import Compression
from tiphys.apiserver.endpoints.nonresource import NonResource
from tiphys.apiserver.endpoints.plain_faults import PlainFault, uri_of
from tiphys.apiserver.endpoints.router import find_resource, make_call, serve
from tiphys.apiserver.evaluating import LARGE_BYTES, aside
from tiphys.apiserver.filters.counting import OWN, UNCOUNTED, RequestCounting
from tiphys.apiserver.filters.flights import FLIGHT, BadTimeout, Cut, Flights, is_long_running
from tiphys.apiserver.filters.requestinfo import RequestInfo, is_cut_short, parse
from tiphys.apiserver.flowcontrol.controller import FlowControl, Gate, Rejected
from tiphys.apiserver.flowcontrol.levels import Flow, Ticket
from tiphys.apiserver.observe import latencies
from tiphys.apiserver.observe.filter_times import FilterTimes
from tiphys.apiserver.observe.metrics import Aside, Metrics
from tiphys.apiserver.observe.request_ends import AFTER_FILTER, AFTER_WRITES
from tiphys.apiserver.peers.controller import Peers
from tiphys.apiserver.shortcuts.quickreads import QuickReads
from tiphys.apiserver.shortcuts.regulars import Passage, Regulars
from tiphys.wire.arrival import HELD_S
from tiphys.wire.message import AtOnce, Request, Response

log = logging.getLogger(__name__)

_LONG_QUERY: Final = 8192
"""A query so long is read aside: there may be 100,000 requirements in it, and nobody knows yet who asks."""
_NO_KIND: Final = "failed to create RequestInfo: unable to determine kind and namespace from url,"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What orders requests: who may go on now, and how long each may take."""

    gate: Gate
    flights: Flights


class Chain:
    """Turns requests into answers; never raises but for cancellation."""

    asks_for_bodies: Final = True

    def __init__(
        self, backend: Backend, nonresource: NonResource, metrics: Metrics, aggregation: Aggregation,
        traffic: Traffic, *, auditor: Auditor | None = None, attempts: Attempts | None = None,
        peers: Peers | None = None,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._auditor = auditor
        gates = backend.options.feature_gates
        self._impersonation = impersonation.Impersonation(
            backend.clock, constrained=gates.enabled("ConstrainedImpersonation")
        )
        metrics.sources.append(self._impersonation.collect)
        self._attempts = attempts or Attempts()
        self._gate, self._flights = traffic.gate, traffic.flights
        self._long_queries = asyncio.Lock()
        """They are read one at a time, so that they keep no threads from those who are known."""
        self._filters = FilterTimes(
            self._attempts, audits=auditor is not None, queues=isinstance(self._gate, FlowControl)
        )
        metrics.sources.append(self._filters.collect)
        self._nonresource = nonresource
        self._metrics = metrics
        self._counting = RequestCounting(backend, metrics)
        self._aggregation = aggregation
        self._peers = peers
        self._sends_strangers_away = gates.enabled("UnauthenticatedHTTP2DOSMitigation")
        self._compresses = gates.enabled("APIResponseCompression")
        self._compression = Compression(objects=self._compresses)
        # Random once, then counted: as unique as a UUID for each request, and four times as fast.
        self._id_prefix = str(uuid.uuid4())[:24]
        self._id_count = secrets.randbits(40)
        self._regulars = Regulars(backend, self._gate, aggregation, self._attempts)
        self._quick: QuickReads | None = None
        if auditor is None and isinstance(self._gate, FlowControl):
            self._quick = QuickReads(backend, self._gate, self._regulars, self._next_id, self._filters)
        self.at_once: AtOnce | None = self._quick.answer if self._quick is not None else None

    def _next_id(self) -> str:
        self._id_count += 1
        return f"{self._id_prefix}{self._id_count & 0xFFFFFFFFFFFF:012x}"

    def _audit_id(self, request: Request) -> str:
        found = request.headers.get("audit-id") or request.scope.get("audit_id")
        if not found:
            found = request.scope["audit_id"] = self._next_id()
        return str(found)

    async def __call__(self, request: Request) -> Response:
        asked = request.method, request.path, request.raw_query
        if len(asked[2]) < _LONG_QUERY:
            info = parse(*asked)
        else:
            async with self._long_queries:
                info = await aside(LARGE_BYTES, parse, *asked)
        started = self._backend.clock.monotonic()
        flight = None
        request.scope["started"] = started
        if self._auditor is not None:
            self._auditor.arrived(request)
        try:
            if not info.is_resource and is_cut_short(info):
                raise PlainFault(uri_of(request), f"{_NO_KIND} {uri_of(request)}")
            flight = self._flights.begin(info, request.raw_query, started)
            if flight is not None:
                request.scope[FLIGHT] = flight
                if request.receive is not None:
                    flight.has_been_here(request.scope.get(HELD_S, 0.0))
                    request.receive = partial(self._flights.receive, flight, request.receive)
            response = await self._serve(request, info)
        except StatusError as error:
            if self._auditor is not None:
                await self._auditor.failed(request, info, error, self._audit_id(request))
            response = self._failure(error, request, info)
        except asyncio.CancelledError:
            late = flight.timed_out() if flight is not None else None
            if late is None:
                if self._auditor is not None:
                    self._auditor.closed(request)
                raise
            self._metrics.ends.timed_out(*(AFTER_FILTER if isinstance(late, Cut) else AFTER_WRITES))
            response = self._failure(late, request, info)
        except Exception as error:
            log.exception("request failed method=%s path=%s", request.method, request.path)
            if self._auditor is not None:
                await self._auditor.panic(request, error)
            response = respond.failure(InternalError.of(error), request)
        finally:
            if flight is not None:
                self._flights.end(flight)
        if self._auditor is not None:
            await self._auditor.finish(request, response)
        if "accept-encoding" in request.headers:
            try:
                await self._compression.apply(request, response)
            except asyncio.CancelledError:
                if response.written is not None:
                    response.written()
                raise
        headers, scope = response.headers, request.scope
        headers["audit-id"] = self._audit_id(request)
        if "cache-control" not in headers:
            headers["cache-control"] = respond.NO_STORE
        if "flow" in scope:
            headers.update(scope["flow"])
        if "stranger" in scope:
            headers["connection"] = "close"
        self._counting.answered(request, info, response, started)
        return response

    async def _serve(self, request: Request, info: RequestInfo) -> Response:
        """Answer a request of whoever may make it, when it is its turn."""
        again = bool(request.memo)  # a client that repeats itself is worth getting to know
        regular = self._regulars.known(request)
        if regular is None:
            regular = self._regulars.of(await self._identify(request, info))
        else:
            regular.seen.count += 1
            if self._auditor is not None:
                await self._note(self._auditor, request, info, regular.user)
        if regular.own:
            request.scope[OWN] = True
        passage = self._regulars.passage(regular, info)
        if passage is not None:
            request.scope["passage"] = passage
            response = await self._pass(request, info, regular.user, passage)
        else:
            response = await self._ask_all(request, info, regular.user)
            if response.status < 400:
                self._regulars.learn(regular, info)
        if again:
            await self._regulars.meet(request)
            if self._quick is not None and not regular.own:
                self._quick.learn(request, info)
        return response

    async def _identify(self, request: Request, info: RequestInfo) -> User:
        """Return for whom a request speaks. Raises Unauthorized, Forbidden."""
        try:
            return await self._speaks_for(request, info, await self._authenticate(request))
        except StatusError:
            request.scope[UNCOUNTED] = True
            raise

    async def _authenticate(self, request: Request) -> User:
        """Return who asks. Raises Unauthorized."""
        monotonic = self._backend.clock.monotonic
        began = monotonic()
        try:
            user = await self._backend.authenticator.authenticate(request)
        except Unauthorized as error:
            self._note_stranger(request)
            took_s = monotonic() - began
            self._attempts.refused(error, took_s)
            self._filters.identified(took_s)
            raise
        took_s = monotonic() - began
        self._attempts.known(user.name, took_s)
        self._filters.identified(took_s)
        latencies.spent(latencies.AUTHENTICATION, took_s)
        if user.is_anonymous:
            self._note_stranger(request)
        return user

    def _note_stranger(self, request: Request) -> None:
        """Answer whom nobody knows, but keep no connection of HTTP/2 for them: it is dear to serve."""
        if self._sends_strangers_away and request.protocol == "HTTP/2.0":
            request.scope["stranger"] = True

    async def _note(self, auditor: Auditor, request: Request, info: RequestInfo, user: User) -> None:
        """Let the audit hear of a request. Raises NotStored."""
        monotonic = self._backend.clock.monotonic
        began = monotonic()
        await auditor.begin(request, info, user, self._audit_id(request))
        self._filters.noted(monotonic() - began)

    async def _speaks_for(self, request: Request, info: RequestInfo, user: User) -> User:
        """Return as whom a user wants to be taken, mostly as itself. Raises Forbidden."""
        if self._auditor is not None:
            await self._note(self._auditor, request, info, user)
        if impersonation.wanted(request.headers):
            monotonic = self._backend.clock.monotonic
            began = monotonic()
            user, bound = await self._impersonation.impersonate(
                user, request.headers, info, self._backend.authorizer
            )
            took_s = monotonic() - began
            self._filters.spoke_for(took_s)
            latencies.spent(latencies.IMPERSONATION, took_s)
            if self._auditor is not None:
                self._auditor.impersonated(request, user, bound)
        else:
            self._filters.as_themselves += 1
        return user

    async def _pass(self, request: Request, info: RequestInfo, user: User, passage: Passage) -> Response:
        """Serve a request that is like an earlier one of the same user."""
        ticket = await self._enter(request, info, user, passage.flow)
        try:
            if passage.allowed is None:
                await self._authorize(request, info, user)
            else:
                passage.allowed.tally.count += 1
                self._filters.allowed_at_once += 1
                if self._auditor is not None:
                    self._auditor.decided(request, passage.allowed.decision)
            call = make_call(self._backend, request, info, user, passage.resource)
            return await serve(call, passage.handler)
        finally:
            ticket.leave()

    async def _enter(
        self, request: Request, info: RequestInfo, user: User, flow: Flow | None = None
    ) -> Ticket:
        """Wait for a request's turn. Raises Rejected."""
        ticket = await self._gate.enter(info, user, request.raw_query, flow, request.scope["started"])
        request.scope["flow"] = ticket.headers
        if ticket.waited_s:
            Aside.of(request.scope).waited_s = ticket.waited_s
            self._filters.waited(ticket.waited_s)
        else:
            self._filters.entered += 1
        return ticket

    async def _ask_all(self, request: Request, info: RequestInfo, user: User) -> Response:
        """Serve a request about which everything is to be found out."""
        if is_long_running(info) and info.verb != "watch":
            self._filters.entered += 1
            return await self._dispatch(request, info, user)
        ticket = await self._enter(request, info, user)
        try:
            return await self._dispatch(request, info, user)
        finally:
            ticket.leave()

    async def _dispatch(self, request: Request, info: RequestInfo, user: User) -> Response:
        await self._authorize(request, info, user)
        return await self._handle(request, info, user)

    async def _handle(self, request: Request, info: RequestInfo, user: User) -> Response:
        """Answer what may be asked."""
        self._audit_id(request)  # whoever a request is passed on to goes by the same
        if self._peers is not None:
            elsewhere = await self._peers.answer(request, info, user)
            if elsewhere is not None:
                request.scope[UNCOUNTED] = True
                return self._counting.passed_on(request, info, elsewhere)
        aggregated = await self._aggregation.answer(request, user)
        if aggregated is not None:
            request.scope[UNCOUNTED] = True
            return self._counting.passed_on(request, info, aggregated)
        if info.is_resource:
            return await self._answer(request, info, user, find_resource(self._backend, info))
        response = await self._nonresource.answer(request)
        if response is None:
            raise NotFound.path()
        return response

    async def _answer(self, request: Request, info: RequestInfo, user: User, resource: Resource) -> Response:
        """Answer what is asked of a resource of this server's own."""
        answer = await serve(make_call(self._backend, request, info, user, resource))
        return self._counting.passed_on(request, info, answer) if info.subresource == "proxy" else answer

    async def _authorize(self, request: Request, info: RequestInfo, user: User) -> None:
        """Raises Forbidden unless the user may, PlainFault when nobody could tell."""
        monotonic = self._backend.clock.monotonic
        began = monotonic()
        try:
            decision = await self._backend.authorizer.decide(user, info)
        except BaseException:
            self._filters.decided(None, monotonic() - began)
            request.scope[UNCOUNTED] = True
            raise
        took_s = monotonic() - began
        self._filters.decided(decision, took_s)
        latencies.spent(latencies.AUTHORIZATION, took_s)
        if self._auditor is not None:
            self._auditor.decided(request, decision)
        if not decision.allowed:
            request.scope[UNCOUNTED] = True
            if decision.error:
                raise PlainFault(uri_of(request), decision.error)
        enforce(decision, user, info)

    def _serves(self, info: RequestInfo) -> bool:
        """Whether a path lies below a built-in group: what is not there gets a Status."""
        first, _, rest = info.path.strip("/").partition("/")
        if info.path.startswith("//"):
            return False
        if first == "api":
            return True
        group = rest.partition("/")[0]
        table = self._backend.table
        return (
            first == "apis"
            and bool(group)
            and any(
                not one.custom for version in table.versions(group) for one in table.resources(group, version)
            )
        )

    def _failure(self, error: StatusError, request: Request, info: RequestInfo) -> Response:
        if isinstance(error, Rejected | Cut):
            response = error.response()
            self._counting.terminated(info, response)
            request.scope.pop("flow", None)  # what the filters within have said goes with their answer
            if isinstance(error, Rejected):
                request.scope["flow"] = error.headers
                request.scope[UNCOUNTED] = True
                self._counting.turned_away(request, info)
            return response
        if isinstance(error, PlainFault):
            request.scope[UNCOUNTED] = True
            return error.response()
        if isinstance(error, NotFound) and error.details == {} and not self._serves(info):
            headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
            return Response(404, headers, b"404 page not found\n")
        response = respond.failure(error, request, request.scope.get("warnings", ()))
        unrouted = isinstance(error, NotAcceptable | UnsupportedMediaType) and error.details == {}
        if unrouted or isinstance(error, MethodNotAllowed | BadTimeout):
            request.scope[UNCOUNTED] = True
        if isinstance(error, NotAllowed):
            response.headers["x-content-type-options"] = "nosniff"
        return response
