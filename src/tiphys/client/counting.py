"""Metrics that cost next to nothing to count: bare additions until somebody scrapes.

One event loop, no locks. A family without labels is there from the start, with nothing counted; of others
each set of labels' values once it was asked for. ``name`` of counters is without ``_total``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from tiphys.apimachinery.families import (
    BareCounterMetricFamily,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    Registry,
    bound_texts,
)

_INFINITE = float("inf")


class Count:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, times: int = 1) -> None:
        self.value += times


class Level:
    """How much there is of something."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value


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


class HeldSpread(Spread):
    """One whose values are held as they come, and looked at together: what is counted very often.

    Whoever counts sees to it that they are from time to time (``fold``); who scrapes does so too.
    """

    __slots__ = ("_held", "hold")

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self._held: list[float] = []
        self.hold: Callable[[float], None] = self._held.append

    def fold(self) -> None:
        """Look at what is held."""
        held, buckets, bounds = self._held, self.buckets, self._bounds
        for value in held:
            buckets[bisect_left(bounds, value)] += 1
        self.total += sum(held)
        held.clear()


_One = TypeVar("_One", bound=Count | Level | Spread)


class _Labelled(ABC, Generic[_One]):
    """One of them for each set of labels' values."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], make: Callable[[], _One], registry: Registry
    ) -> None:
        self.name, self._text, self.label_names = name, text, tuple(labels)
        self._make: Callable[[], _One] = make
        self._all: dict[tuple[str, ...], _One] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> _One:
        """Return the one of these labels' values; whoever counts often keeps it."""
        found = self._all.get(values)
        if found is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {', '.join(self.label_names)}")
            found = self._all[values] = self._make()
        return found

    def remove(self, *values: str) -> None:
        """Forget these labels' values, where they are known."""
        self._all.pop(values, None)

    @abstractmethod
    def collect(self) -> Iterator[Metric]:
        """Return the family, as it stands."""


class Counts(_Labelled[Count]):
    """A counter for each set of labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: Registry, *, bare: bool = False
    ) -> None:
        """``bare``: its samples have the very name that is given, without ``_total``."""
        self._family = BareCounterMetricFamily if bare else CounterMetricFamily
        super().__init__(name, text, labels, Count, registry)

    def collect(self) -> Iterator[Metric]:
        family = self._family(self.name, self._text, labels=self.label_names)
        for values, count in self._all.items():
            family.add_metric(values, count.value)
        yield family


class Levels(_Labelled[Level]):
    """A gauge for each set of labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: Registry) -> None:
        super().__init__(name, text, labels, Level, registry)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self.name, self._text, labels=self.label_names)
        for values, level in self._all.items():
            family.add_metric(values, level.value)
        yield family


_Spread = TypeVar("_Spread", bound=Spread)


class _Spreads(_Labelled[_Spread]):
    """A histogram for each set of labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: Registry,
        *,
        kind: Callable[[Sequence[float]], _Spread],
    ) -> None:
        self.bounds = tuple(bounds)
        self._all_bounds = (*bounds, _INFINITE)
        super().__init__(name, text, labels, lambda: kind(self._all_bounds), registry)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.name, self._text, labels=self.label_names)
        for values, spread in self._all.items():
            running, buckets = 0, []
            for bound, count in zip(bound_texts(self._all_bounds), spread.buckets, strict=True):
                running += count
                buckets.append((bound, running))
            family.add_metric(values, buckets, spread.total)
        yield family


class Spreads(_Spreads[Spread]):
    """A histogram for each set of labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: Registry
    ) -> None:
        super().__init__(name, text, labels, bounds, registry, kind=Spread)


class HeldSpreads(_Spreads[HeldSpread]):
    """One whose values are held until somebody looks."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: Registry
    ) -> None:
        super().__init__(name, text, labels, bounds, registry, kind=HeldSpread)

    def fold(self) -> None:
        """Look at all that is held."""
        for spread in self._all.values():
            spread.fold()

    def collect(self) -> Iterator[Metric]:
        self.fold()
        return super().collect()
