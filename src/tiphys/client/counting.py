"""Metrics that cost next to nothing to count: bare additions until somebody scrapes.

For what is counted with every request or pod. One event loop, no locks; Prometheus' own classes take a lock
and walk their buckets each time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_INFINITE = float("inf")


class Count:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1


class Spread:
    """How many values were how large; each bucket by itself."""

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.buckets = [0] * len(bounds)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self._bounds, value)] += 1
        self.total += value


class Counts(Collector):
    """A counter for each set of labels. ``name`` is without ``_total``."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._all: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Return the counter of these labels' values; whoever counts often keeps it."""
        return self._all.setdefault(values, Count())

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._all.items():
            family.add_metric(values, count.value)
        yield family


class Spreads(Collector):
    """A histogram for each set of labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = (*bounds, _INFINITE)
        self._all: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """Return the histogram of these labels' values; whoever observes often keeps it."""
        found = self._all.get(values)
        if found is None:
            found = self._all[values] = Spread(self._bounds)
        return found

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, spread in self._all.items():
            running, buckets = 0, []
            for bound, count in zip(self._bounds, spread.buckets, strict=True):
                running += count
                buckets.append(("+Inf" if bound == _INFINITE else str(float(bound)), running))
            family.add_metric(values, buckets, spread.total)
        yield family
