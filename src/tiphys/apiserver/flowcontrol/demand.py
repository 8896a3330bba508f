"""What a priority level was asked for over time: for how long how many seats and requests there were. Pure.

Owns: averages and deviations of demand, which decide what levels lend, and histograms by time. Callers give
the time.
Source: KEP-1040, "Seat borrowing"; upstream's integrators and timing histograms.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from tiphys.apimachinery.dataclass import dataclass

_SMOOTHING: Final = 0.977
"""How much of a demand that has passed is still believed after one period: half of it after five minutes."""


@dataclass(frozen=True, slots=True)
class State:
    """What holds at one moment."""

    seats: int = 0
    seats_waiting: int = 0
    executing: int = 0
    waiting: int = 0

    @property
    def demand(self) -> int:
        return self.seats + self.seats_waiting


_Key = tuple[int, int, int, int]
IDLE: Final[_Key] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Demand:
    """Seats that were asked for in a period, weighed by time."""

    average: float = 0.0
    deviation: float = 0.0
    high: int = 0
    smoothed: float = 0.0

    def then(self, average: float, deviation: float, high: int) -> Demand:
        """Return what to believe after another period: a rise at once, a fall slowly."""
        envelope = average + deviation
        smoothed = max(envelope, _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * envelope)
        return Demand(average, deviation, high, smoothed)


class Held:
    """For how long each state held. ``note`` is on every request's path: one look-up, one addition."""

    __slots__ = ("_looked", "_state", "demand", "high", "past", "times")

    def __init__(self, now: float = 0.0) -> None:
        self.times: defaultdict[_Key, float] = defaultdict(float)
        self.past: dict[_Key, float] = {}
        """Of periods that have ended."""
        self.demand = Demand()
        self.high = 0
        self._looked = now
        self._state: _Key = IDLE

    def note(self, now: float, state: _Key) -> None:
        """Take over a new state: (seats, seats waiting, executing, waiting)."""
        if now > self._looked:
            self.times[self._state] += now - self._looked
            self._looked = now
        self._state = state
        asked = state[0] + state[1]
        if asked > self.high:
            self.high = asked

    def end_period(self, now: float) -> Demand:
        """Return what was asked for since the last call, and begin anew."""
        self.note(now, self._state)
        whole = sum(self.times.values())
        if whole > 0.0:
            average = sum((key[0] + key[1]) * held for key, held in self.times.items()) / whole
            squares = sum((key[0] + key[1]) ** 2 * held for key, held in self.times.items()) / whole
            self.demand = self.demand.then(
                average, math.sqrt(max(squares - average * average, 0.0)), self.high
            )
        for key, held in self.times.items():
            self.past[key] = self.past.get(key, 0.0) + held
        self.times.clear()
        self.high = self._state[0] + self._state[1]
        return self.demand

    def histogram(self, bounds: Sequence[float], value: Callable[[State], float]) -> tuple[list[int], float]:
        """Return nanoseconds per bucket, and value times nanoseconds, over everything so far."""
        buckets, total = [0.0] * (len(bounds) + 1), 0.0
        for times in (self.past, self.times):
            for key, held in times.items():
                found = value(State(*key))
                buckets[bisect_left(bounds, found)] += held
                total += found * held
        return [round(held * 1e9) for held in buckets], total * 1e9


class Tally:
    """How many there were of something, for how long each. ``change`` is on every request's path."""

    __slots__ = ("_count", "_looked", "_times")

    def __init__(self, now: float = 0.0) -> None:
        self._count = 0
        self._looked = now
        self._times: dict[int, float] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count

    def change(self, now: float, by: int) -> None:
        """Take note of one more, or one less, from now on."""
        passed = now - self._looked
        if passed > 0.0:
            count = self._count
            self._times[count] = self._times.get(count, 0.0) + passed
            self._looked = now
        self._count += by

    def histogram(self, bounds: Sequence[float]) -> tuple[list[int], float]:
        """Return nanoseconds per bucket, and the number times nanoseconds, up to the last change."""
        buckets = [0.0] * (len(bounds) + 1)
        for count, held in self._times.items():
            buckets[bisect_left(bounds, count)] += held
        total = sum(count * held for count, held in self._times.items())
        return [round(held * 1e9) for held in buckets], total * 1e9
