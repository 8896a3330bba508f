"""Fair queues held against what upstream's do, written plainly: the same requests start and wait.

Every request goes into a queue and is then looked for in all of them, in a round; nothing is remembered that
can be added up. Times are exact, so that nothing hangs on rounding.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest

from tiphys.apiserver.flowcontrol import fairqueue, objects
from tiphys.apiserver.flowcontrol.demand import Held
from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Sizes, deal, flow_hash
from tiphys.apiserver.flowcontrol.shares import Bounds, Claim, Share, allot, bounds_of
from tiphys.apiserver.flowcontrol.work import Width

GUESS = Fraction(3, 1000)


def wide(seats: int = 1, final: int = 0, extra_s: Fraction = Fraction(0)) -> Width:
    return Width(seats, final, extra_s)  # type: ignore[arg-type]


ONE = wide()
Hand = list[int]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairqueue, "GUESS_S", GUESS)


@dataclass(eq=False)
class Asked:
    note: Any
    width: Width
    arrived_r: Fraction
    queue: PlainQueue
    started: Fraction | None = None

    @property
    def work(self) -> Fraction:
        return self.width.seats * GUESS + self.width.final * self.width.extra_s  # type: ignore[return-value]


@dataclass(eq=False)
class PlainQueue:
    waiting: list[Asked] = field(default_factory=list)
    running: list[Asked] = field(default_factory=list)
    seats: int = 0
    next_r: Fraction = Fraction(0)

    def bound(self) -> None:
        if self.waiting:
            self.next_r = max(self.next_r, self.waiting[0].arrived_r)


class Plain:
    """A queue set. ``began`` is called with each request that starts."""

    def __init__(self, sizes: Sizes, limit: int, began: Callable[[Fraction, Asked], None]) -> None:
        self.sizes, self.limit, self._began = sizes, limit, began
        self.queues = [PlainQueue() for _ in range(sizes.queues)]
        self.r = self._looked = Fraction(0)
        self._robin = self._entered = 0

    @property
    def in_use(self) -> int:
        return sum(queue.seats for queue in self.queues)

    @property
    def demand(self) -> int:
        return self.in_use + sum(one.width.most for queue in self.queues for one in queue.waiting)

    def _look(self, now: Fraction) -> None:
        active = [queue for queue in self.queues if queue.waiting or queue.running]
        if active:
            self.r += (now - self._looked) * min(self.demand, self.limit) / len(active)
        self._looked = now

    def ask(self, now: Fraction, hand: Hand, width: Width, note: Any) -> bool:
        self._look(now)
        offset = self._entered % len(hand)
        self._entered += 1
        dealt = [self.queues[card] for card in hand[offset:] + hand[:offset]]
        queue = min(dealt, key=lambda one: sum(asked.work for asked in one.waiting))
        if self.in_use >= self.limit and len(queue.waiting) >= self.sizes.length:
            return False
        if not queue.waiting and not queue.running:
            queue.next_r = self.r
        queue.waiting.append(Asked(note, width, self.r, queue))
        queue.bound()
        self._go_on(now)
        return True

    def _go_on(self, now: Fraction) -> None:
        while self.in_use < self.limit and (found := self._next()) is not None:
            queue, asked = found
            queue.waiting.pop(0)
            self._robin = self.queues.index(queue)
            asked.started = now
            queue.running.append(asked)
            queue.seats += asked.width.most
            queue.next_r += asked.work
            queue.bound()
            self._began(now, asked)

    def _next(self) -> tuple[PlainQueue, Asked] | None:
        found, least = None, Fraction(0)
        for step in range(1, len(self.queues) + 1):
            queue = self.queues[(self._robin + step) % len(self.queues)]
            if queue.waiting and (found is None or queue.next_r + queue.waiting[0].work < least):
                found, least = queue, queue.next_r + queue.waiting[0].work
        if found is None:
            return None
        seats = found.waiting[0].width.most
        if seats > self.limit:
            fits = not any(queue.running for queue in self.queues)
        else:
            fits = self.in_use + seats <= self.limit
        return (found, found.waiting[0]) if fits else None

    def end(self, now: Fraction, asked: Asked) -> None:
        self._look(now)
        assert asked.started is not None
        asked.queue.running.remove(asked)
        asked.queue.next_r -= asked.width.seats * (GUESS - (now - asked.started))
        asked.queue.bound()
        if not asked.width.extra_s:
            self.release(now, asked)

    def release(self, now: Fraction, asked: Asked) -> None:
        self._look(now)
        asked.queue.seats -= asked.width.most
        self._go_on(now)

    def resize(self, now: Fraction, limit: int) -> None:
        self._look(now)
        self.limit = limit
        self._go_on(now)


class Ours:
    """The same of the queues that serve."""

    def __init__(self, sizes: Sizes, limit: int, began: Callable[[Fraction, Any], None]) -> None:
        self.queues, self._began = FairQueues(sizes, limit, Fraction(0)), began  # type: ignore[arg-type]
        self.queues.r = Fraction(0)  # type: ignore[assignment]

    @property
    def demand(self) -> int:
        return self.queues.in_use + self.queues.waiting_seats

    def ask(self, now: Any, hand: Hand, width: Width, note: Any) -> bool:
        turn = self.queues.take(now, hand, width, note)
        if turn is not None:
            self._began(now, turn)
            return True
        turn = self.queues.join(now, hand, width, note)
        self._go_on(now)
        return turn is not None

    def _go_on(self, now: Any) -> None:
        for turn in self.queues.start(now):
            self._began(now, turn)

    def end(self, now: Any, turn: Any) -> None:
        self.queues.end(now, turn)
        if not turn.width.extra_s:
            self._go_on(now)

    def release(self, now: Any, turn: Any) -> None:
        self.queues.release(now, turn)
        self._go_on(now)

    def resize(self, now: Any, limit: int) -> None:
        self.queues.resize(now, limit)
        self._go_on(now)


@dataclass(frozen=True)
class Request:
    """``flow`` asks at ``at`` for what takes ``runs``, times in seconds."""

    flow: str
    at: Fraction
    runs: Fraction
    width: Width = ONE


def play(
    kind: type[Plain | Ours],
    sizes: Sizes,
    limit: int,
    requests: list[Request],
    changes: Callable[[Fraction, int], int] | None = None,
) -> list[tuple[Fraction, int]]:
    """Return when which request started (-1: one was refused); ``changes`` gives the limit every 10 s."""
    agenda: list[tuple[Fraction, int, Callable[[Fraction], None]]] = []
    order, told = itertools.count(), list[tuple[Fraction, int]]()

    def at(moment: Fraction, act: Callable[[Fraction], None]) -> None:
        heapq.heappush(agenda, (moment, next(order), act))

    def began(now: Fraction, turn: Any) -> None:
        told.append((now, turn.note))
        done = now + requests[turn.note].runs
        at(done, lambda then: queues.end(then, turn))
        if turn.width.extra_s:
            at(done + turn.width.extra_s, lambda then: queues.release(then, turn))

    queues = kind(sizes, limit, began)

    def ask(now: Fraction, number: int) -> None:
        one = requests[number]
        hand = deal(flow_hash("schema", one.flow), sizes.queues, sizes.hand)
        if not queues.ask(now, hand, one.width, number):
            told.append((now, -1))

    for number, one in enumerate(requests):
        at(one.at, lambda now, number=number: ask(now, number))
    if changes is not None:
        for tick in range(1, 8):
            moment = Fraction(10 * tick)
            at(moment, lambda now: queues.resize(now, changes(now, queues.demand)))
    while agenda:
        now, _, act = heapq.heappop(agenda)
        act(now)
    return told


@pytest.mark.parametrize("seed", range(60))
def test_the_same_start_and_are_refused_at_the_same_times(seed: int) -> None:
    chance = random.Random(seed)
    sizes = Sizes(chance.choice([4, 16, 64]), chance.choice([1, 3, 4]), chance.choice([2, 5, 50]))
    limit = chance.randint(2, 12)
    widths = [ONE, ONE, wide(3), wide(1, 2, Fraction(1, 4)), wide(limit + 2)]
    requests = [
        Request(
            f"user{chance.randint(1, 6)}", Fraction(chance.randint(0, 4000), 100),
            Fraction(chance.randint(1, 400), 100), chance.choice(widths),
        )
        for _ in range(150)
    ]  # fmt: skip
    limits = [chance.randint(2, 12) for _ in range(8)]

    def changes(now: Fraction, _demand: int) -> int:
        return limits[int(now) // 10]

    found = play(Ours, sizes, limit, requests, changes)
    assert found == play(Plain, sizes, limit, requests, changes)
    assert len(found) == len(requests)


LEVEL = "global-default"


class Lending:
    """The seats of the level of ordinary users, while nobody is in any other: looked at every ten seconds."""

    def __init__(self, seats: int) -> None:
        levels = {one["metadata"]["name"]: Share.of(one) for one in objects.priority_levels()}
        self._exempt = {name for name, share in levels.items() if share.exempt}
        self._bounds: dict[str, Bounds] = bounds_of(levels, seats)
        self._held = Held()
        self.first = self._allotted(0.0, 0)

    def _allotted(self, smoothed: float, high: int) -> int:
        claims = {
            name: Claim(bounds, *((smoothed, high) if name == LEVEL else (0.0, 0)), name in self._exempt)
            for name, bounds in self._bounds.items()
        }
        return allot(claims).seats[LEVEL]

    def __call__(self, now: Fraction, demand: int) -> int:
        self._held.note(float(now) - 9.0, (demand, 0, 0, 0))
        asked = self._held.end_period(float(now))
        return self._allotted(asked.smoothed, asked.high)


WAITS = {
    # How long each of a crowd's requests takes: how long the other user's wait, who comes a second later.
    1: [0, 0, 0],
    3: [2, 2, 2],
    8: [7, 7, 7],
    12: [9, 9, 9],
    60: [9, 9, 9],
}


@pytest.mark.parametrize("takes_s", WAITS)
@pytest.mark.parametrize("kind", [Plain, Ours])
def test_behind_the_slow_requests_of_another_user(kind: type[Plain | Ours], takes_s: int) -> None:
    """Nobody is interrupted: a seat is free when one of the slow requests ends, or when others lend some."""
    lending = Lending(600)
    crowd = [Request("crowd", Fraction(number, 1000), Fraction(takes_s)) for number in range(120)]
    others = [Request("other", Fraction(1), Fraction(1, 10)) for _ in range(3)]
    told = play(kind, Sizes(128, 6, 50), lending.first, crowd + others, lending)
    started = {number: moment for moment, number in told}
    assert [int(started[number] - 1) for number in (120, 121, 122)] == WAITS[takes_s]
