"""Answers a client's repeated GETs of single objects at once: no task, no coroutine, no decision made twice.

Owns: what was found out about such a request (who asks, that they may, its flow, where the object is) and
whether it still holds. Nothing is kept of objects: each answer is what is in memory at that moment.
Whatever is not plain (other verbs, queries, refusals, full levels, audit, tokens that must be checked each
time) goes the way of every request, through ``Chain``, which also calls ``learn``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.authn.attempts import Seen
from tiphys.apiserver.authn.user import NODES, User
from tiphys.apiserver.authz.counts import Tally
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.compression import THRESHOLD_BYTES
from tiphys.apiserver.endpoints.negotiation import JSON, accept_format
from tiphys.apiserver.endpoints.router import find_handler, find_resource
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.flowcontrol.levels import Flow
from tiphys.apiserver.handlers import get
from tiphys.apiserver.observe.filter_times import FilterTimes
from tiphys.apiserver.observe.metrics import Kind, labels_of
from tiphys.apiserver.shortcuts.regulars import Regulars
from tiphys.wire.known_head import KnownHead
from tiphys.wire.message import Request, RequestLine

_PLANS: Final = 4096
"""Of one reader at most: then all are made anew."""
_READERS: Final = 256


@dataclass(slots=True, eq=False)
class Plan:
    """What is known of one user's GET of one path."""

    changes: int
    """As many changes of the rules had there been when it was made."""
    resource: Resource
    key: str
    flow: Flow
    tally: Tally
    kind: Kind
    head: KnownHead
    """The answer's head; its last header is the audit id."""


@dataclass(slots=True, eq=False)
class Reader:
    """A user with their plans by path; clients that send equal headers share one."""

    user: User
    seen: Seen
    plans: dict[str, Plan] = field(default_factory=dict)


class QuickReads:
    """Quick answers of one server."""

    def __init__(
        self,
        backend: Backend,
        flow: FlowControl,
        regulars: Regulars,
        next_id: Callable[[], str],
        filters: FilterTimes,
    ) -> None:
        self._backend = backend
        self._store = backend.store
        self._flow = flow
        self._regulars = regulars
        self._next_id = next_id
        self._filters = filters
        self._readers: dict[User, Reader] = {}

    def answer(self, memo: dict[Any, Any], line: RequestLine) -> tuple[KnownHead, bytes, bytes] | None:
        """Answer a request that has the headers of an earlier one; None: ask the chain."""
        reader: Reader | None = memo.get(QuickReads)
        if reader is None or line[3] or line[0] != "GET":
            return None
        plan = reader.plans.get(line[2])
        if plan is None:
            return None
        if plan.changes != self._regulars.changes:
            del reader.plans[line[2]]
            return None
        monotonic = self._backend.clock.monotonic
        started = monotonic()
        cached = self._store.at_hand(plan.resource, plan.key)
        if cached is None:
            return None
        try:
            body = cached.raw + respond.END
        except StatusError:
            return None
        size = len(body)
        if size > THRESHOLD_BYTES or not plan.flow.pass_by():
            return None
        reader.seen.count += 1
        plan.tally.count += 1
        self._filters.quick += 1
        plan.kind.observe(200, monotonic() - started, size)
        return plan.head, self._next_id().encode(), body

    def learn(self, request: Request, info: RequestInfo) -> None:
        """Note what is needed to answer this request, which was served, quickly the next time."""
        if info.verb != "get" or request.method != "GET" or request.raw_query or not info.name:
            return
        reader = request.memo.get(QuickReads)
        if reader is None and QuickReads not in request.memo:
            reader = request.memo[QuickReads] = self._reader(request)
        if reader is None:
            return
        plan = self._plan(reader.user, info)
        if plan is not None:
            if len(reader.plans) >= _PLANS:
                reader.plans.clear()
            reader.plans[request.raw_path] = plan

    def _reader(self, request: Request) -> Reader | None:
        """Return who asks, where these headers will always mean the same user and plain JSON."""
        headers, regular = request.headers, self._regulars.known(request)
        if regular is None or "audit-id" in headers:
            return None
        form = accept_format(headers.get("accept", ""), "", headers.get("user-agent", ""))
        user = regular.user
        # What a kubelet may see follows its pods: that is looked at each time.
        if not form.plain_json or NODES in user.groups:
            return None
        if len(self._readers) >= _READERS:
            self._readers.clear()
        return self._readers.setdefault(user, Reader(user, regular.seen))

    def _plan(self, user: User, info: RequestInfo) -> Plan | None:
        backend, changes = self._backend, self._regulars.changes
        try:
            resource = find_resource(backend, info)
            handler = find_handler(resource, info)
        except StatusError:  # it went while it was served
            return None
        if resource.custom or resource.storage != resource.gvk or info.subresource:
            return None
        if resource.deprecation:
            return None
        if self._regulars.is_elsewhere(info) or not backend.authorizer.local:
            return None
        flow = self._flow.flow_of(user, info)
        allowed = backend.authorizer.allowed(user, info)
        if allowed is None or handler is not get.handle:
            return None
        headers = {**respond.headers_of((), JSON), **flow.headers}
        return Plan(
            changes=changes,
            resource=resource,
            key=self._store.key_of(resource, info.namespace if resource.namespaced else "", info.name),
            flow=flow,
            tally=allowed.tally,
            kind=backend.metrics.kind(labels_of(info)),
            head=KnownHead(200, headers, "audit-id"),
        )
