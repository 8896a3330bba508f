"""Durations of which quantiles of late are shown as well, as upstream's summaries show them.

Owns: which quantiles, over which time. A value is told to a hundredth of itself: as wide is a bin of values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from tiphys.apimachinery.families import SummaryMetricFamily
from tiphys.apiserver.observe.durations import Durations

_SHOWN: Final = (0.5, 0.9, 0.99)
_PARTS: Final = 5
_PART_S: Final = 3600.0
"""Five hours, of which the oldest is forgotten as a whole."""
_LOG_WIDTH: Final = math.log(1.02)
_LEAST_S: Final = 1e-9


class Quantiles(Durations):
    """Durations, and the quantiles of those of the last hours."""

    __slots__ = ("_bins", "_monotonic")

    def __init__(self, bounds: Sequence[float], monotonic: Callable[[], float]) -> None:
        super().__init__(bounds)
        self._monotonic = monotonic
        self._bins: dict[int, Counter[int]] = {}
        """By the part of time, how many values were in each bin."""

    def _put(self, taken: list[float]) -> None:
        super()._put(taken)
        newest = self._recent().setdefault(self._part(), Counter())
        for seconds in taken:
            newest[math.ceil(math.log(max(seconds, _LEAST_S)) / _LOG_WIDTH)] += 1

    def _part(self) -> int:
        return int(self._monotonic() / _PART_S)

    def _recent(self) -> dict[int, Counter[int]]:
        """Return what is young enough, and forget the rest."""
        oldest = self._part() - _PARTS
        self._bins = {part: bins for part, bins in self._bins.items() if part > oldest}
        return self._bins

    def quantiles(self) -> list[float]:
        """Return the values of the quantiles that are shown; not a number where there was nothing of late."""
        self.settle()
        bins: Counter[int] = sum(self._recent().values(), Counter())
        total, running, found = bins.total(), 0, []
        places = sorted(bins.items())
        for wanted in _SHOWN:
            while places and running + places[0][1] < wanted * total:
                running += places.pop(0)[1]
            # The middle of a bin: half its width off at most.
            found.append(math.exp((places[0][0] - 0.5) * _LOG_WIDTH) if places else math.nan)
        return found

    def add_quantiles_to(self, family: SummaryMetricFamily, labels: Sequence[str]) -> None:
        """Put these numbers into a family."""
        shown = list(zip(map(str, _SHOWN), self.quantiles(), strict=True))
        family.add_metric(labels, shown, sum(self.buckets), self.total_s)
