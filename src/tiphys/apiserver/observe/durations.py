"""Histograms of how long things took, cheap enough for every request's path.

Owns: buckets, and when what was observed comes into them. Refuses: names and labels of families, which are
their owners'. For one event loop: no locks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from tiphys.apimachinery import families
from tiphys.apimachinery.families import HistogramMetricFamily

Key = TypeVar("Key", bound=Hashable)
OF_REQUESTS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, float("inf"),
)  # fmt: skip
"""Upper bounds in seconds, as upstream has them for requests."""


class Durations:
    """How many took how long, each bucket by itself.

    A request notes some of these on its way, so that is no more than an entry in a list. They come into their
    buckets when somebody looks, or some thousands at once (``settle_all``).
    """

    __slots__ = ("_buckets", "_fresh", "_total_s", "bounds", "observe")

    def __init__(self, bounds: Sequence[float] = OF_REQUESTS) -> None:
        self.bounds = bounds
        self._buckets = [0] * len(bounds)
        self._total_s = 0.0
        self._fresh: list[float] = []
        self.observe: Callable[[float], None] = self._observe_first

    def _observe_first(self, seconds: float) -> None:
        self.observe = self._fresh.append
        self.observe(seconds)
        _unsettled.append(self)

    @property
    def buckets(self) -> list[int]:
        self.settle()
        return self._buckets

    @property
    def total_s(self) -> float:
        self.settle()
        return self._total_s

    def add_all(self, other: Durations, sign: int = 1) -> None:
        """Count what another counts as well, or take it back; both have the same bounds."""
        for bucket, count in enumerate(other.buckets):
            self._buckets[bucket] += sign * count
        self._total_s += sign * other.total_s

    def from_bucket(self, first: int) -> Durations:
        """Return these with all buckets up to one as that one."""
        coarse = Durations(self.bounds[first:])
        buckets = self.buckets
        coarse._buckets = [sum(buckets[: first + 1]), *buckets[first + 1 :]]
        coarse._total_s = self._total_s
        return coarse

    def add(self, bucket: int, count: int, each: float = 0.0) -> None:
        """Count some that took the same, given where they belong."""
        self._buckets[bucket] += count
        self._total_s += count * each

    def plus(self, bucket: int, count: int, each: float = 0.0) -> Durations:
        """Return these and some more."""
        more = Durations(self.bounds)
        more._buckets, more._total_s = list(self.buckets), self._total_s
        more.add(bucket, count, each)
        return more

    def settle(self) -> None:
        """Put what was observed into its buckets."""
        if not self._fresh:
            return
        taken = self._fresh[:]
        del self._fresh[: len(taken)]  # another thread may have added to it
        self._total_s += sum(taken)
        taken.sort()
        self._put(taken)

    def _put(self, taken: list[float]) -> None:
        """Put values, in order, into their buckets."""
        done = 0
        for index, bound in enumerate(self.bounds):
            upto = bisect_right(taken, bound, done)
            self._buckets[index] += upto - done
            done = upto

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Put these numbers into a family, cumulative as Prometheus wants them."""
        running, buckets = 0, []
        for bound, count in zip(families.bound_texts(tuple(self.bounds)), self.buckets, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric(labels, buckets, self.total_s)


class DurationsBy(dict[Key, Durations]):
    """Durations by the values of their labels; those of new ones are made when they are asked for."""

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__()
        self._bounds = bounds

    def __missing__(self, labels: Key) -> Durations:
        made = self[labels] = Durations(self._bounds)
        return made


_unsettled: list[Durations] = []
"""Those that have observed something since the last ``settle_all``."""


def settle_all() -> None:
    """Put all that was observed into its buckets, so that it does not pile up."""
    while _unsettled:
        durations = _unsettled.pop()
        durations.observe = durations._observe_first
        durations.settle()
