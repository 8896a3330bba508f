"""Priority levels and flows at work: who runs, who waits, what is counted of them.

Owns: the tickets of requests, and giving their seats back. Who gets a seat is ``fairqueue``'s to say, what a
level has is the controller's. A ticket is on every request's path: slots and additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final, Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.demand import Held, Tally
from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Turn, deal, flow_hash
from tiphys.apiserver.flowcontrol.matching import Schema
from tiphys.apiserver.flowcontrol.retryafter import RetryAfter
from tiphys.apiserver.flowcontrol.shares import NO_BOUNDS, Bounds, Share
from tiphys.apiserver.flowcontrol.work import ONE, Width
from tiphys.apiserver.observe.durations import Durations

_INF: Final = float("inf")
WAITS: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, _INF)
LENGTHS: Final = (0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, _INF)
SEATS: Final = (1.0, 2.0, 4.0, 10.0, _INF)
WATCHERS: Final = (0.0, 1.0, 10.0, 100.0, 1000.0, 10000.0, _INF)


SCHEMA_UID: Final = "x-kubernetes-pf-flowschema-uid"
LEVEL_UID: Final = "x-kubernetes-pf-prioritylevel-uid"
"""Headers of answers: what a request was taken for."""


class Ticket(Protocol):
    """A request that may go on. ``headers`` go on its answer; ``waited_s``: so long had it waited."""

    @property
    def headers(self) -> dict[str, str]: ...

    @property
    def waited_s(self) -> float: ...

    def leave(self) -> None: ...


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
    quiescing: bool = False
    """Deleted, and kept while there is somebody in it."""
    target: float = 0.0
    """Seats that it was planned to have at the last look."""
    tickets: set[Seats | Free] = field(default_factory=set)
    """Who runs."""
    seats: int = 0
    """Of an exempt level: what those who run would take."""
    retry: RetryAfter = field(default_factory=RetryAfter)
    own: Held = field(default_factory=Held)
    """Of an exempt level; of others their queues hold it."""

    @property
    def held(self) -> Held:
        return self.own if self.queues is None else self.queues.held

    @property
    def executing(self) -> int:
        return len(self.tickets)

    @property
    def idle(self) -> bool:
        return not self.tickets and (self.queues is None or not (self.queues.waiting or self.queues.in_use))


@dataclass(slots=True, eq=False)
class Counts:
    """What is counted for each schema and level."""

    dispatched: int = 0
    passed: int = 0
    """Of these, answered before any other could come: they took no time worth a look at the clock."""
    at_once: int = 0
    """Of these, that found a seat without waiting."""
    executing: int = 0
    seats: int = 0
    stuck: int = 0
    """Looks that found too few seats for who was next."""
    rejected: dict[str, int] = field(default_factory=dict)
    waits: Durations = field(default_factory=lambda: Durations(WAITS))
    refused_waits: Durations = field(default_factory=lambda: Durations(WAITS))
    runs: Durations = field(default_factory=lambda: Durations(WAITS))
    watches: Durations = field(default_factory=lambda: Durations(WAITS))
    lengths: Durations = field(default_factory=lambda: Durations(LENGTHS))
    """Of queues, as those saw them who joined and waited."""
    widths: Durations = field(default_factory=lambda: Durations(SEATS))
    watchers: Durations = field(default_factory=lambda: Durations(WATCHERS))

    def wide(self, width: Width) -> None:
        """Note how wide a request is, and how many watch what it writes."""
        if width is not ONE:
            self.widths.observe(width.most)
            if width.watchers >= 0:
                self.watchers.observe(width.watchers)


@dataclass(slots=True)
class Tallies:
    """How many requests of one kind ran, and waited, over time."""

    executing: Tally = field(default_factory=Tally)
    waiting: Tally = field(default_factory=Tally)

    @classmethod
    def since(cls, now: float) -> Tallies:
        return cls(Tally(now), Tally(now))


@dataclass(slots=True, eq=False)
class Flow:
    """One flow of one schema, as a kind of request of a user maps to it, with its counts."""

    schema: Schema
    level: Level
    name: str
    counts: Counts
    headers: dict[str, str]
    runs: Durations
    """Where its times are counted: watches by themselves."""
    hand: Sequence[int] = ()
    tallies: Tallies = field(default_factory=Tallies)
    """Of all requests that read, or all that write, as its own do."""

    @classmethod
    def of(
        cls, schema: Schema, level: Level, name: str, counts: Counts, tallies: Tallies, *, watching: bool
    ) -> Flow:
        """Return a flow with the hand of queues that is dealt to it."""
        headers = {
            SCHEMA_UID: schema.uid,
            LEVEL_UID: level.uid,
        }
        hand: Sequence[int] = ()
        if level.queues is not None and level.queues.sizes.queues:
            sizes = level.queues.sizes
            hand = deal(flow_hash(schema.name, name), sizes.queues, sizes.hand)
        runs = counts.watches if watching else counts.runs
        return cls(schema, level, name, counts, headers, runs, hand, tallies)

    def pass_by(self) -> bool:
        """Count a request that is answered before any other can come; False where it would have to wait."""
        queues = self.level.queues
        if queues is not None:
            if queues.waiting or not queues.fits(1):
                return False
            held = queues.held
            if queues.in_use >= held.high:
                held.high = queues.in_use + 1
        self.counts.passed += 1
        return True


class Free:
    """The place of a request in an exempt level: counted, not limited."""

    __slots__ = ("clock", "flow", "info", "started", "user", "width")
    waited_s = 0.0

    def __init__(self, clock: Clock, flow: Flow, info: RequestInfo, user: str, width: Width = ONE) -> None:
        self.clock, self.flow, self.info, self.user, self.width = clock, flow, info, user, width
        now = self.started = clock.monotonic()
        flow.counts.dispatched += 1
        flow.counts.executing += 1
        flow.level.tickets.add(self)
        self._occupy(now, width.most)
        flow.tallies.executing.change(now, 1)

    @property
    def headers(self) -> dict[str, str]:
        return self.flow.headers

    def leave(self) -> None:
        """Take the request out of the count, its seats as those of a limited level."""
        now, flow, width = self.clock.monotonic(), self.flow, self.width
        flow.level.tickets.discard(self)
        flow.counts.executing -= 1
        flow.runs.observe(now - self.started)
        if width.extra_s:
            self._occupy(now, 0)
            asyncio.get_running_loop().call_later(width.extra_s, self._release)
        else:
            self._occupy(now, -width.most)
        flow.tallies.executing.change(now, -1)

    def _release(self) -> None:
        self._occupy(self.clock.monotonic(), -self.width.most)

    def _occupy(self, now: float, seats: int) -> None:
        level = self.flow.level
        self.flow.counts.seats += seats
        level.seats += seats
        running = len(level.tickets)
        level.own.note(now, (level.seats, 0, running, 0))


class Seats:
    """The seats of one request in a limited level."""

    __slots__ = ("_clock", "_freed", "flow", "info", "turn", "user", "waited_s")

    def __init__(
        self,
        flow: Flow,
        turn: Turn,
        info: RequestInfo,
        user: str,
        *,
        clock: Clock,
        freed: Callable[[Level], None],
    ) -> None:
        self._clock, self._freed = clock, freed
        self.flow, self.turn, self.info, self.user = flow, turn, info, user
        self.waited_s = 0.0
        flow.level.tickets.add(self)
        counts = flow.counts
        counts.dispatched += 1
        counts.executing += 1
        counts.seats += turn.seats
        flow.tallies.executing.change(turn.started or 0.0, 1)

    @property
    def headers(self) -> dict[str, str]:
        return self.flow.headers

    def leave(self) -> None:
        """Give the seats back: at once, or when the watchers that a write woke have been told."""
        flow, turn, now = self.flow, self.turn, self._clock.monotonic()
        level = flow.level
        queues = level.queues
        assert queues is not None
        assert turn.started is not None
        level.tickets.discard(self)
        flow.counts.executing -= 1
        flow.runs.observe(now - turn.started)
        flow.tallies.executing.change(now, -1)
        queues.end(now, turn)
        if turn.width.extra_s:
            asyncio.get_running_loop().call_later(turn.width.extra_s, self._release)
            return
        flow.counts.seats -= turn.seats
        if queues.waiting or level.quiescing:
            self._freed(level)

    def _release(self) -> None:
        level = self.flow.level
        assert level.queues is not None
        level.queues.release(self._clock.monotonic(), self.turn)
        self.flow.counts.seats -= self.turn.seats
        if level.queues.waiting or level.quiescing:
            self._freed(level)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The note of a turn: whom to wake, and what a dump shows."""

    woken: asyncio.Future[None]
    flow: Flow
    user: str
    info: RequestInfo
