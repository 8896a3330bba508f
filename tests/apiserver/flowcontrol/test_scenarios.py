"""Clients that think and ask by turns: each gets the seats that it should, over simulated time.

The clients, their times and the margins are those of upstream's tests of queue sets.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Sizes, Turn, deal
from tiphys.apiserver.flowcontrol.shares import Claim, Share, allot, bounds_of
from tiphys.apiserver.flowcontrol.work import Width

S = 10**9
"""Times are whole nanoseconds: nothing hangs on rounding."""
QUARTER = 91 * 24 * 3600 * S


@dataclass(frozen=True)
class Client:
    """Threads that each make ``calls`` requests: they run for a time, then the thread thinks for a time."""

    number: int
    threads: int
    calls: int
    runs: int = S
    thinks: int = S
    seats: int = 1
    final: int = 0
    lingers: int = 0
    split: bool = False
    """Half of its threads, with half of the calls, begin when half of the time has passed."""


class Mean:
    """A value that changes in steps, averaged over time."""

    def __init__(self) -> None:
        self.value = self.area = self.since = self.at = 0

    def add(self, now: int, by: int) -> None:
        self.area += self.value * (now - self.at)
        self.at, self.value = now, self.value + by

    def take(self, now: int) -> float:
        self.add(now, 0)
        mean = self.area / (now - self.since)
        self.area, self.since = 0, now
        return mean


class Play:
    """One level and its clients."""

    def __init__(self, sizes: Sizes, limit: int, clients: Sequence[Client], length: int) -> None:
        self.queues, self.sizes = FairQueues(sizes, limit), sizes
        self.clients, self.length = clients, length
        self.got = [Mean() for _ in clients]
        self.asked = Mean()
        self.refused = 0
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = itertools.count()
        for index, client in enumerate(clients):
            for thread in range(client.threads):
                late = client.split and thread >= client.threads // 2
                calls = client.calls // 2 if late else client.calls
                start = 90 * thread + 20 * index + (length // 2 if late else 0)
                self._at(start, lambda now, index=index, calls=calls: self._call(now, index, calls))

    def _at(self, moment: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), act))

    def run(self, until: int | None = None) -> list[float]:
        while self._agenda and (until is None or self._agenda[0][0] <= until):
            now, _, act = heapq.heappop(self._agenda)
            act(now)
        return [one.take(until) for one in self.got] if until is not None else []

    def lend(self, now: int, seats: int) -> None:
        """Go on with another number of seats."""
        self.queues.resize(now / S, seats)
        self._go_on(now)

    def _call(self, now: int, index: int, left: int) -> None:
        if left <= 0:
            return
        client = self.clients[index]
        hand = deal(client.number, self.sizes.queues, self.sizes.hand) if self.sizes.queues else []
        width = Width(client.seats, client.final, client.lingers / S)
        turn = self.queues.take(now / S, hand, width, (index, left))
        if turn is not None:
            self._begin(now, turn)
        else:
            turn = self.queues.join(now / S, hand, width, (index, left))
        if turn is None:
            self.refused += 1
            return
        self.asked.add(now, width.most)
        self._go_on(now)

    def _go_on(self, now: int) -> None:
        for turn in self.queues.start(now / S):
            self._begin(now, turn)

    def _begin(self, now: int, turn: Turn) -> None:
        assert isinstance(turn.note, tuple)
        index, left = turn.note
        client = self.clients[index]
        self.got[index].add(now, client.seats)
        self._at(now + client.runs + client.thinks, lambda then: self._call(then, index, left - 1))
        self._at(now + client.runs, lambda then: self._end(then, turn, index))

    def _end(self, now: int, turn: Turn, index: int) -> None:
        client = self.clients[index]
        self.got[index].add(now, -client.seats)
        self.queues.end(now / S, turn)
        if client.lingers:
            self._at(now + client.lingers, lambda then: self._release(then, turn))
        else:
            self.asked.add(now, -turn.width.most)
        self._go_on(now)

    def _release(self, now: int, turn: Turn) -> None:
        self.queues.release(now / S, turn)
        self.asked.add(now, -turn.width.most)
        self._go_on(now)


def fair(demands: Sequence[float], seats: float) -> list[float]:
    """Give each what it asks for, or as much as anybody else who asks for more."""
    given = [0.0] * len(demands)
    for place, index in enumerate(sorted(range(len(demands)), key=lambda one: demands[one])):
        given[index] = min(demands[index], seats / (len(demands) - place))
        seats -= given[index]
    return given


def wanted(client: Client, *, half: bool) -> float:
    threads = client.threads // 2 if half and client.split else client.threads
    return threads * client.seats * client.runs / (client.runs + client.thinks)


def pair(**changes: int) -> tuple[Client, Client]:
    plain = Client(1001001001, 8, 20)
    return replace(plain, **changes), replace(plain, number=2002002002, **changes)


TWO_WIDE = [Client(number, 15, 21, S, S - 1, 2) for number in
            (40040040040040, 50050050050050, 60060060060060, 70070070070070)]  # fmt: skip
SCENARIOS: dict[str, tuple[Sizes, int, Sequence[Client], int, float]] = {
    "one client": (Sizes(9, 3, 8), 1, [Client(1001001001, 1, 21, S, 0)], 20 * S, 0.0),
    "equal clients": (Sizes(9, 1, 8), 4, pair(thinks=S - 1), 50 * S, 0.01),
    "one that thinks less": (
        Sizes(9, 1, 8), 4, [Client(1001001001, 8, 20), Client(2002002002, 7, 30, S, S // 2)], 40 * S, 0.01,
    ),
    "seconds of many years": (
        Sizes(9, 1, 8), 2000,
        [Client(1001001001, 8, 20, QUARTER, QUARTER, 500),
         Client(2002002002, 7, 30, QUARTER, QUARTER // 2, 500)],
        40 * QUARTER, 0.01,
    ),
    "one that asks for less": (
        Sizes(9, 1, 6), 3, [Client(1001001001, 4, 20, S, S - 1), Client(2002002002, 2, 20, S, S - 1)],
        20 * S, 0.01,
    ),
    "one that is wider": (
        Sizes(64, 7, 13), 6,
        [Client(10010010010010, 13, 10, S, S - 1), Client(20020020020020, 7, 10, S, S - 1, 2)],
        20 * S, 0.155,
    ),
    "one wider than the level": (
        Sizes(64, 7, 35), 6, [*TWO_WIDE, Client(90090090090090, 15, 21, S, S - 1, 7)], 225 * S, 0.33,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sizes", "limit", "clients", "length", "margin"), SCENARIOS.values(), ids=SCENARIOS)
def test_each_gets_its_part(
    sizes: Sizes, limit: int, clients: Sequence[Client], length: int, margin: float
) -> None:
    play = Play(sizes, limit, clients, length)
    got = play.run(length)
    assert got == pytest.approx(fair([wanted(one, half=False) for one in clients], limit), rel=margin + 1e-6)
    asked = play.queues.held.end_period(length / S)
    assert asked.average == pytest.approx(play.asked.take(length)), "what was asked for, over time"
    play.run()
    assert not play.refused
    assert (play.queues.waiting, play.queues.in_use, play.queues.executing) == (0, 0, 0)


HALF, FULL = S // 2, S
# Thinks, lingers, seats held while lingering, seats of the level, clients: part of a seat that each gets.
SEPARATIONS: list[tuple[int, int, int, int, int, Fraction]] = [
    (FULL, 0, 1, 1, 1, Fraction(1, 2)),
    (FULL, 0, 2, 2, 1, Fraction(1, 2)),
    (FULL, 0, 1, 1, 2, Fraction(1, 2)),
    (FULL, 0, 1, 2, 2, Fraction(1, 2)),
    (0, FULL, 1, 1, 1, Fraction(1, 2)),
    (0, FULL, 1, 2, 1, Fraction(1)),
    (0, FULL, 2, 2, 1, Fraction(1, 2)),
    (0, FULL, 1, 1, 2, Fraction(1, 4)),
    (0, FULL, 1, 2, 2, Fraction(1, 2)),
    (0, FULL, 2, 2, 2, Fraction(1, 4)),
    (FULL, HALF, 1, 1, 1, Fraction(1, 2)),
    (FULL, HALF, 2, 2, 1, Fraction(1, 2)),
    (FULL, HALF, 1, 1, 2, Fraction(1, 3)),
    (FULL, HALF, 1, 2, 2, Fraction(1, 2)),
    (FULL, HALF, 2, 2, 2, Fraction(1, 3)),
    (HALF, FULL, 1, 1, 1, Fraction(1, 2)),
    (HALF, FULL, 1, 2, 1, Fraction(2, 3)),
    (HALF, FULL, 2, 2, 1, Fraction(1, 2)),
    (HALF, FULL, 1, 1, 2, Fraction(1, 4)),
    (HALF, FULL, 1, 2, 2, Fraction(1, 2)),
    (HALF, FULL, 2, 2, 2, Fraction(1, 4)),
]


@pytest.mark.parametrize(("thinks", "lingers", "final", "limit", "clients", "part"), SEPARATIONS)
def test_seats_are_held_after_a_request_but_not_while_its_client_thinks(
    thinks: int, lingers: int, final: int, limit: int, clients: int, part: Fraction
) -> None:
    chosen = pair(threads=1, calls=25, thinks=thinks, final=final, lingers=lingers)[:clients]
    play = Play(Sizes(9, 3, 8), limit, chosen, 24 * S)
    assert play.run(24 * S) == pytest.approx([float(part)] * clients, rel=1e-6)
    assert not play.refused


def test_who_could_not_use_its_part_takes_some_of_it_later() -> None:
    """For a while, and less than all of it: nothing starts before it came."""
    steady = Client(1001001001, 2, 40, S, -1)
    play = Play(Sizes(9, 1, 6), 3, [steady, replace(steady, number=2002002002, split=True)], 40 * S)
    assert play.run(20 * S) == pytest.approx([2.0, 1.0], rel=0.01)
    first, second = play.run(40 * S)
    assert 0.1 < abs(first - 1.5) / 1.5 < 0.26
    assert first + second == pytest.approx(3.0, rel=0.01)


def test_without_queues_nothing_is_fair_and_some_are_refused() -> None:
    clients = [Client(1, 6, 10, S, 57 * 10**6), Client(2, 4, 15, S, 750 * 10**6)]
    play = Play(Sizes(), 4, clients, 13 * S)
    got = play.run(13 * S)
    ideal = fair([wanted(one, half=False) for one in clients], 4)
    assert all(abs(one - other) / other > 0.2 for one, other in zip(got, ideal, strict=True))
    assert play.refused


@pytest.mark.parametrize(
    "percents",
    [((50, 67), (33, 50)), ((50, 33), (67, 50))],
    ids=["as much as the other lends", "as much as it may borrow"],
)
def test_seats_are_lent_for_as_long_as_they_are_not_needed(percents: tuple[tuple[int, int], ...]) -> None:
    """Two levels of twelve seats, one with too many clients and one with few, who never think."""
    shares = {str(at): Share(100, lends, borrows) for at, (lends, borrows) in enumerate(percents)}
    bounds = bounds_of(shares, 24)
    plays = {
        name: Play(Sizes(10, 2, 10), bounds[name].nominal, [Client(7, threads, 120, S // 4, 1)], 25 * S)
        for name, threads in (("0", 24), ("1", 6))
    }
    means = {"0": 0.0, "1": 0.0}
    for begin, end in ((0, 10), (10, 20), (20, 25)):
        claims = {}
        for name, play in plays.items():
            (mean,) = play.run(end * S)
            means[name] += mean * (end - begin) if begin else 0.0
            asked = play.queues.held.end_period(float(end))
            claims[name] = Claim(bounds[name], asked.smoothed, asked.high)
        for name, seats in allot(claims).seats.items():
            plays[name].lend(end * S, seats)
    assert means["0"] / 15 == pytest.approx(16, abs=0.1)
    assert means["1"] / 15 == pytest.approx(6, abs=0.1)
    assert not plays["0"].refused
