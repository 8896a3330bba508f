"""``FlowControl``: every request gets its priority level's seat, waits for it, or is turned away.

Owns: the live configuration, what was decided per kind of request and user, the seats, the borrowing between
levels. Decisions are the pure modules' beside this one. The chain calls ``enter`` for each request and
``leave`` after; an uncontended request costs a dictionary look-up and two additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.flowcontrol import mandatory
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Sizes, Turn, flow_hash
from tiphys.apiserver.flowcontrol.matching import Schema, in_order
from tiphys.apiserver.flowcontrol.retryafter import RetryAfter
from tiphys.apiserver.flowcontrol.shares import NO_BOUNDS, Bounds, Claim, Share, allot, bounds_of, smoothed
from tiphys.apiserver.flowcontrol.work import Width, widest
from tiphys.apiserver.metrics import Durations
from tiphys.apiserver.requestinfo import RequestInfo
from tiphys.wire.message import Response

TOO_MANY = "Too many requests, please try again later."
WAIT_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, float("inf"))
_REMEMBERED = 4096
_BORROW_EVERY_S = 10.0
_ENOUGH = 1 << 30
_WAIT_SHARE = 4
"""A request may wait for a quarter of the time that it may take."""


class Rejected(StatusError):
    """Turned away: 429 in plain text, as upstream's filter answers."""

    code = 429
    reason = "TooManyRequests"

    def __init__(self, why: str, headers: dict[str, str] | None = None, retry_after_s: int = 1) -> None:
        super().__init__(TOO_MANY)
        self.why = why
        self.headers = headers or {}
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        headers = {
            "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff",
            "retry-after": str(self.retry_after_s), **self.headers,
        }  # fmt: skip
        return Response(429, headers, f"{TOO_MANY}\n".encode())


class Ticket(Protocol):
    """A request that may go on. ``headers`` go on its answer."""

    @property
    def headers(self) -> dict[str, str]: ...

    def leave(self) -> None: ...


class Gate(Protocol):
    """What the chain knows of flow control. Raises Rejected."""

    async def enter(self, info: RequestInfo, user: User, raw_query: str) -> Ticket: ...


class Estimate(Protocol):
    """How wide a request is, in a level where one may take ``level_most`` seats."""

    def __call__(self, info: RequestInfo, raw_query: str, level_most: int) -> Width: ...


@dataclass(slots=True, eq=False)
class Level:
    """A priority level at work. ``queues`` None: exempt."""

    name: str
    uid: str
    share: Share
    queues: FairQueues | None
    bounds: Bounds = NO_BOUNDS
    widest: int = 1
    """Seats that one request may take."""
    executing: int = 0
    high: int = 0
    demand: float = 0.0
    quick: set[Seats] = field(default_factory=set)
    """Who runs without having been in a queue: charged to one as soon as anybody must wait."""
    retry: RetryAfter = field(default_factory=RetryAfter)


@dataclass(slots=True, eq=False)
class Flow:
    """One flow of one schema, as a kind of request of a user maps to it, with its counts."""

    schema: Schema
    level: Level
    name: str
    counts: Counts
    headers: dict[str, str]
    number: int = -1
    """Its hash, made when first needed."""

    def hash(self) -> int:
        """Return the number that deals the flow its hand of queues."""
        if self.number < 0:
            self.number = flow_hash(self.schema.name, self.name)
        return self.number

    def pass_by(self) -> bool:
        """Count a request that is answered before any other can come; False where it would have to wait."""
        level = self.level
        queues = level.queues
        if queues is not None:
            if queues.waiting or not queues.fits(1):
                return False
            if queues.in_use >= level.high:
                level.high = queues.in_use + 1
        self.counts.dispatched += 1
        return True

    def leave(self) -> None:
        """Exempt requests hold nothing but their place in the count."""
        self.level.executing -= 1
        self.counts.executing -= 1


@dataclass(slots=True, eq=False)
class Counts:
    """What is counted for each schema and level."""

    dispatched: int = 0
    executing: int = 0
    seats: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    waits: Durations = field(default_factory=lambda: Durations(WAIT_BUCKETS))


class Seats:
    """The seats of one request in a limited level: taken at once, or by its turn in a queue."""

    __slots__ = ("_extra_s", "_gate", "flow", "seats", "turn")

    def __init__(self, gate: FlowControl, flow: Flow, width: Width, turn: Turn | None = None) -> None:
        self._gate, self.flow, self.turn = gate, flow, turn
        self.seats, self._extra_s = width.most, width.extra_s
        flow.level.executing += 1
        counts = flow.counts
        counts.dispatched += 1
        counts.executing += 1
        counts.seats += self.seats

    @property
    def headers(self) -> dict[str, str]:
        return self.flow.headers

    def leave(self) -> None:
        """Give the seats back: at once, or when the watchers that a write woke have been told."""
        self.flow.level.executing -= 1
        self.flow.counts.executing -= 1
        if self._extra_s:
            asyncio.get_running_loop().call_later(self._extra_s, self._release)
        else:
            self._release()

    def _release(self) -> None:
        level = self.flow.level
        queues = level.queues
        assert queues is not None
        self.flow.counts.seats -= self.seats
        if self.turn is None:
            queues.in_use -= self.seats
            level.quick.discard(self)
        else:
            queues.end(self._gate.clock.monotonic(), self.turn)
        if queues.waiting:
            self._gate.wake(queues)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The note of a turn: whom to wake, and what a dump shows."""

    woken: asyncio.Future[None]
    flow: Flow
    user: str
    info: RequestInfo
    width: Width


class FlowControl:
    """Priority and fairness of one server with ``seats`` in all."""

    def __init__(self, clock: Clock, seats: int, request_timeout_s: float, estimate: Estimate) -> None:
        self.clock = clock
        self.levels: dict[str, Level] = {}
        self.counts: dict[tuple[str, str], Counts] = {}
        self._seats = seats
        self._wait_s = request_timeout_s / _WAIT_SHARE
        self._estimate = estimate
        self._schemas: list[Schema] = []
        self._flows: dict[tuple[object, ...], Flow] = {}
        self._objects = {one["metadata"]["name"]: one for one in objects.flow_schemas()}
        self._levels = {one["metadata"]["name"]: one for one in objects.priority_levels()}
        self._stale = True
        self.changes = 0
        """Of the configuration; what ``flow_of`` returns holds until there is another."""

    # -- configuration

    def set_schema(self, name: str, obj: Object | None) -> None:
        """Take over a FlowSchema as it now is; None: it has gone."""
        self._take(self._objects, objects.flow_schemas, name, obj)

    def set_level(self, name: str, obj: Object | None) -> None:
        """Take over a PriorityLevelConfiguration as it now is; None: it has gone."""
        self._take(self._levels, objects.priority_levels, name, obj)

    def _take(
        self,
        known: dict[str, Object],
        defaults: Callable[[], list[Object]],
        name: str,
        obj: Object | None,
    ) -> None:
        if obj is None and name in mandatory.MANDATORY:
            obj = next(one for one in defaults() if one["metadata"]["name"] == name)
        if obj is None:
            known.pop(name, None)
        else:
            known[name] = obj
        self._stale = True
        self.changes += 1

    def has_level(self, name: str) -> bool:
        return name in self._levels

    def configure(self) -> None:
        """Build levels and schemas anew from the objects; requests under way keep their seats."""
        self._stale = False
        found: dict[str, Level] = {}
        for name, obj in self._levels.items():
            level = found[name] = self._level(name, obj)
            level.uid = obj["metadata"].get("uid") or ""
            level.share = Share.of(obj)
        for name, bounds in bounds_of({name: one.share for name, one in found.items()}, self._seats).items():
            level = found[name]
            if level.bounds != bounds:
                level.bounds = bounds
                level.widest = widest(bounds.nominal)
                if level.queues is not None:
                    level.queues.limit = bounds.nominal
        self.levels = found
        schemas = [Schema.of(obj) for obj in self._objects.values()]
        self._schemas = in_order(schema for schema in schemas if schema.level in found)
        self._flows.clear()
        for level in found.values():
            if level.queues is not None:
                self.wake(level.queues)

    def _level(self, name: str, obj: Object) -> Level:
        """Return the level that goes on: who runs or waits in it stays, in queues of the new sizes."""
        sizes = _sizes(obj)
        old = self.levels.get(name)
        if old is not None and old.queues is not None and sizes is not None:
            if old.queues.sizes != sizes:
                old.queues.reshape(self.clock.monotonic(), sizes)
            return old
        if old is not None and old.queues is None and sizes is None:
            return old
        if old is not None and old.queues is not None:  # exempt from now on: nobody need wait any more
            old.queues.limit = _ENOUGH
            self.wake(old.queues)
        return Level(name, "", Share(0), FairQueues(sizes, 0) if sizes is not None else None)

    # -- requests

    def flow_of(self, user: User, info: RequestInfo) -> Flow:
        """Return the flow that a request belongs to."""
        if self._stale:
            self.configure()
        where = info.namespace if info.is_resource else info.path
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, where)
        return self._flows.get(key) or self._classify(key, user, info)

    async def enter(self, info: RequestInfo, user: User, raw_query: str) -> Ticket:
        """Return once the request may go on. Raises Rejected."""
        flow = self.flow_of(user, info)
        level = flow.level
        queues = level.queues
        if queues is None:
            level.executing += 1
            flow.counts.dispatched += 1
            flow.counts.executing += 1
            return flow
        width = self._estimate(info, raw_query, level.widest)
        seats = width.most
        wanted = queues.in_use + queues.waiting_seats + seats
        if wanted > level.high:
            level.high = wanted
        if not queues.waiting and queues.fits(seats):
            queues.in_use += seats
            ticket = Seats(self, flow, width)
            level.quick.add(ticket)
            return ticket
        return await self._wait(flow, queues, width, user, info)

    def _classify(self, key: tuple[object, ...], user: User, info: RequestInfo) -> Flow:
        found = next((schema for schema in self._schemas if schema.matches(user, info)), None)
        schema = found or next(one for one in self._schemas if one.name == mandatory.CATCH_ALL)
        level = self.levels[schema.level]
        counts = self.counts.setdefault((schema.name, level.name), Counts())
        headers = {
            "x-kubernetes-pf-flowschema-uid": schema.uid,
            "x-kubernetes-pf-prioritylevel-uid": level.uid,
        }
        if len(self._flows) >= _REMEMBERED:
            self._flows.clear()
        flow = self._flows[key] = Flow(schema, level, schema.flow(user, info), counts, headers)
        return flow

    async def _wait(
        self, flow: Flow, queues: FairQueues, width: Width, user: User, info: RequestInfo
    ) -> Ticket:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        began = self.clock.monotonic()
        self._charge(flow.level, queues, began)
        turn = queues.join(began, flow.hash(), width.most, Waiting(woken, flow, user.name, info, width))
        if turn is None:
            why = "queue-full" if queues.queues else "concurrency-limit"
            raise self._reject(flow, why)
        self.wake(queues)
        try:
            async with asyncio.timeout(self._wait_s):
                await woken
        except TimeoutError:
            self._give_up(queues, turn)
            raise self._reject(flow, "time-out") from None
        except asyncio.CancelledError:
            self._give_up(queues, turn)
            raise
        flow.counts.waits.observe(self.clock.monotonic() - began)
        return Seats(self, flow, width, turn)

    @staticmethod
    def _charge(level: Level, queues: FairQueues, now: float) -> None:
        """Count those who run without a turn to the queues of their flows: now it matters who has what."""
        for ticket in level.quick:
            ticket.turn = queues.adopt(now, ticket.flow.hash(), ticket.seats)
        level.quick.clear()

    def _give_up(self, queues: FairQueues, turn: Turn) -> None:
        queues.end(self.clock.monotonic(), turn)
        self.wake(queues)

    def _reject(self, flow: Flow, why: str) -> Rejected:
        flow.counts.rejected[why] = flow.counts.rejected.get(why, 0) + 1
        retry = flow.level.retry
        retry.refused(int(self.clock.now().timestamp()))
        return Rejected(why, flow.headers, retry.seconds)

    def wake(self, queues: FairQueues) -> None:
        """Let those go on who have seats now."""
        for turn in queues.start(self.clock.monotonic()):
            assert isinstance(turn.note, Waiting)
            if not turn.note.woken.done():
                turn.note.woken.set_result(None)

    # -- borrowing

    def borrow(self) -> None:
        """Divide the seats by what was asked for since the last time."""
        if self._stale:
            self.configure()
        limited = {level.name: level for level in self.levels.values() if level.queues is not None}
        claims = {}
        for name, level in limited.items():
            assert level.queues is not None
            level.demand = smoothed(level.demand, level.high)
            claims[name] = Claim(level.bounds, level.demand, level.high)
            level.high = level.queues.in_use + level.queues.waiting_seats
        exempt = sum(level.executing for level in self.levels.values() if level.queues is None)
        for name, seats in allot(claims, max(self._seats - exempt, 0)).items():
            queues = limited[name].queues
            assert queues is not None
            queues.limit = seats
            if queues.waiting:
                self.wake(queues)

    async def run(self) -> None:
        """Look again every ten seconds, for ever."""
        while True:
            await asyncio.sleep(_BORROW_EVERY_S)
            self.borrow()


def _sizes(level: Object) -> Sizes | None:
    """Return a level's queues, None for one that is exempt."""
    limited = level["spec"].get("limited")
    if limited is None:
        return None
    queuing = (limited.get("limitResponse") or {}).get("queuing")
    if queuing is None:
        return Sizes()
    return Sizes(
        queuing.get("queues") or 64, queuing.get("handSize") or 8, queuing.get("queueLengthLimit") or 50
    )
