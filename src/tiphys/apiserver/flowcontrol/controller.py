"""``FlowControl``: every request gets its priority level's seat, waits for it, or is turned away.

Owns: the live configuration, what was decided per kind of request and user, the seats, the borrowing between
levels. Decisions are the pure modules' beside this one. The chain calls ``enter`` for each request and
``leave`` after; an uncontended request costs a dictionary look-up and two additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.flowcontrol import mandatory
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.flights import wanted_timeout_s
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.demand import Held
from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Sizes, Turn
from tiphys.apiserver.flowcontrol.levels import (
    LEVEL_UID,
    SCHEMA_UID,
    Counts,
    Flow,
    Free,
    Level,
    Seats,
    Tallies,
    Ticket,
    Waiting,
)
from tiphys.apiserver.flowcontrol.matching import Schema, in_order
from tiphys.apiserver.flowcontrol.shares import Claim, Share, allot, bounds_of
from tiphys.apiserver.flowcontrol.work import Width, widest
from tiphys.wire.message import Response

READ_VERBS = frozenset({"get", "list", "watch"})
TOO_MANY = "Too many requests, please try again later."
_REMEMBERED = 4096
_BORROW_EVERY_S = 10.0
_ENOUGH = 1 << 30
_WAIT_SHARE = 4
"""A request may wait for a quarter of the time that it may take."""
_MOST_WAIT_S = 60.0


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


class Gate(Protocol):
    """What the chain knows of flow control."""

    changes: int
    """Of the configuration; what ``flow_of`` returns holds until there is another."""

    def flow_of(self, user: User, info: RequestInfo) -> Flow | None:
        """Return the flow that a request belongs to; None: here there are none."""
        ...

    async def enter(
        self,
        info: RequestInfo,
        user: User,
        raw_query: str,
        flow: Flow | None = None,
        arrived: float | None = None,
    ) -> Ticket:
        """Return once the request may go on; ``flow`` where it is known. Raises Rejected.

        ``arrived`` is when it came: what it was held up until now is time that it may not wait here.
        """
        ...


class Estimate(Protocol):
    """How wide a request is, in a level where one may take ``level_most`` seats."""

    def __call__(self, info: RequestInfo, raw_query: str, level_most: int) -> Width: ...


class FlowControl:
    """Priority and fairness of one server with ``seats`` in all."""

    def __init__(self, clock: Clock, seats: int, request_timeout_s: float, estimate: Estimate) -> None:
        self.clock = clock
        self.levels: dict[str, Level] = {}
        self.counts: dict[tuple[str, str], Counts] = {}
        self._seats = seats
        self._wait_s = min(request_timeout_s / _WAIT_SHARE, _MOST_WAIT_S)
        self._estimate = estimate
        self._schemas: list[Schema] = []
        self._flows: dict[tuple[object, ...], Flow] = {}
        self._schemas_of: dict[tuple[str, tuple[str, ...]], list[Schema]] = {}
        """Those that can match at all what a user asks."""
        self._objects = {one["metadata"]["name"]: one for one in objects.flow_schemas()}
        self._levels = {one["metadata"]["name"]: one for one in objects.priority_levels()}
        self._stale = True
        self.fair = 0.0
        """The part of its target that each level got at the last look."""
        self.changes = 0
        now = clock.monotonic()
        self.reading, self.mutating = Tallies.since(now), Tallies.since(now)

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
            level.share, level.quiescing = Share.of(obj), False
        for name, level in self.levels.items():
            if name not in found and not level.idle:
                level.quiescing = True
                found[name] = level
        for name, bounds in bounds_of({name: one.share for name, one in found.items()}, self._seats).items():
            level = found[name]
            if level.bounds != bounds:
                level.bounds = bounds
            sizes = level.queues.sizes if level.queues is not None else None
            level.widest = widest(bounds.nominal, sizes.hand if sizes is not None and sizes.queues else 0)
        self.levels = found
        schemas = [Schema.of(obj) for obj in self._objects.values()]
        self._schemas = in_order(schema for schema in schemas if schema.level in self._levels)
        self._flows.clear()
        self._schemas_of.clear()
        self.borrow()

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
            old.queues.resize(self.clock.monotonic(), _ENOUGH)
            self.wake(old.queues)
        now = self.clock.monotonic()
        queues = FairQueues(sizes, 0, now) if sizes is not None else None
        return Level(name, "", Share(0), queues, own=Held(now))

    # -- requests

    def flow_of(self, user: User, info: RequestInfo) -> Flow:
        """Return the flow that a request belongs to."""
        if self._stale:
            self.configure()
        where = info.namespace if info.is_resource else info.path
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, where)
        return self._flows.get(key) or self._classify(key, user, info)

    async def enter(
        self,
        info: RequestInfo,
        user: User,
        raw_query: str,
        flow: Flow | None = None,
        arrived: float | None = None,
    ) -> Ticket:
        """Return once the request may go on. Raises Rejected."""
        if flow is None:
            flow = self.flow_of(user, info)
        level = flow.level
        queues = level.queues
        width = self._estimate(info, raw_query, level.widest)
        flow.counts.wide(width)
        if queues is None:
            return Free(self.clock, flow, info, user.name, width)
        now = self.clock.monotonic()
        turn = queues.take(now, flow.hand, width)
        if turn is None:
            woken = asyncio.get_running_loop().create_future()
            note = Waiting(woken, flow, user.name, info)
            held_up_s = 0.0 if arrived is None else now - arrived
            return await self._wait(queues, width, note, self._patience_s(info, raw_query) - held_up_s)
        flow.counts.at_once += 1
        return Seats(flow, turn, info, user.name, clock=self.clock, freed=self._freed)

    def explain(
        self, headers: Mapping[str, str], info: RequestInfo, raw_query: str
    ) -> tuple[str, str, Width] | None:
        """Return by which schema, at which level and how wide a request with such headers was served."""
        schema_uid, level_uid = headers.get(SCHEMA_UID, ""), headers.get(LEVEL_UID, "")
        schema = next((one for one in self._schemas if one.uid == schema_uid), None)
        level = next((one for one in self.levels.values() if one.uid == level_uid), None)
        if schema is None or level is None:
            return None
        return schema.name, level.name, self._estimate(info, raw_query, level.widest)

    def _classify(self, key: tuple[object, ...], user: User, info: RequestInfo) -> Flow:
        whose = (user.name, user.groups)
        schemas = self._schemas_of.get(whose)
        if schemas is None:
            if len(self._schemas_of) >= _REMEMBERED:
                self._schemas_of.clear()
            schemas = self._schemas_of[whose] = [one for one in self._schemas if one.may_match(user)]
        found = next((schema for schema in schemas if schema.matches(user, info)), None)
        schema = found or next(one for one in self._schemas if one.name == mandatory.CATCH_ALL)
        level = self.levels[schema.level]
        counts = self.counts.setdefault((schema.name, level.name), Counts())
        if len(self._flows) >= _REMEMBERED:
            self._flows.clear()
        watching = info.verb == "watch"
        tallies = self.reading if info.verb in READ_VERBS else self.mutating
        shuffled = level.queues is not None and level.queues.sizes.queues > 1
        name = schema.flow(user, info) if shuffled else ""
        flow = self._flows[key] = Flow.of(schema, level, name, counts, tallies, watching=watching)
        return flow

    def _patience_s(self, info: RequestInfo, raw_query: str) -> float:
        """Return how long a request may wait: a part of what it may take, or of what it asks for."""
        wanted = wanted_timeout_s(raw_query) if raw_query and info.verb != "watch" else None
        return min(self._wait_s, wanted / _WAIT_SHARE) if wanted and wanted > 0 else self._wait_s

    async def _wait(self, queues: FairQueues, width: Width, note: Waiting, patience_s: float) -> Ticket:
        flow = note.flow
        began, counts = self.clock.monotonic(), flow.counts
        turn = queues.join(began, flow.hand, width, note)
        if turn is None:
            why = "queue-full" if queues.sizes.queues else "concurrency-limit"
            raise self._reject(flow, why, began)
        assert turn.queue is not None
        counts.lengths.observe(len(turn.queue.waiting))
        self.wake(queues)
        flow.tallies.waiting.change(began, 1)
        try:
            async with asyncio.timeout(max(patience_s, 0.0)):
                await note.woken
        except TimeoutError:
            self._give_up(queues, turn)
            raise self._reject(flow, "time-out", began) from None
        except asyncio.CancelledError:
            self._give_up(queues, turn)
            counts.rejected["cancelled"] = counts.rejected.get("cancelled", 0) + 1
            raise
        finally:
            flow.tallies.waiting.change(self.clock.monotonic(), -1)
        waited_s = self.clock.monotonic() - began
        counts.waits.observe(waited_s)
        seats = Seats(flow, turn, note.info, note.user, clock=self.clock, freed=self._freed)
        seats.waited_s = waited_s
        return seats

    def _give_up(self, queues: FairQueues, turn: Turn) -> None:
        now = self.clock.monotonic()
        queues.end(now, turn)
        if (
            turn.started is not None and turn.width.extra_s
        ):  # it got its seats, and nobody is there to use them
            queues.release(now, turn)
        self.wake(queues)

    def _reject(self, flow: Flow, why: str, began: float) -> Rejected:
        flow.counts.refused_waits.observe(self.clock.monotonic() - began)
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
        if queues.stuck is not None and isinstance(queues.stuck.note, Waiting):
            queues.stuck.note.flow.counts.stuck += 1

    def _freed(self, level: Level) -> None:
        """See who goes on after a request has given its seats back; a deleted level goes with it."""
        if level.queues is not None:
            self.wake(level.queues)
        if level.quiescing and level.idle:
            self._stale = True
            self.changes += 1

    # -- borrowing

    def borrow(self) -> None:
        """Divide the seats by what was asked for since the last time."""
        if self._stale:
            self.configure()
            return
        now, claims = self.clock.monotonic(), {}
        for name, level in self.levels.items():
            asked = level.held.end_period(now)
            claims[name] = claim = Claim(level.bounds, asked.smoothed, asked.high, level.queues is None)
            level.target = claim.target
        allotment = allot(claims)
        self.fair = allotment.fair
        for name, seats in allotment.seats.items():
            queues = self.levels[name].queues
            if queues is not None and queues.limit != seats:
                queues.resize(now, seats)
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
