"""How often it was remembered whom a token names, and how asking went otherwise, with upstream's names.

Owns: ``authentication_token_cache_*``, counted by who asks remote services about tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.metrics import Durations

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
_PREFIX: Final = "authentication_token_cache"
_STATUS: Final = ("status",)


class TokenCacheCounts:
    """The counts of one cache."""

    def __init__(self) -> None:
        self.hits, self.misses = Durations(_BUCKETS), Durations(_BUCKETS)
        self.fetching = 0
        """Questions under way."""
        self.blocked = 0
        """Requests that wait for these."""
        self._fetched = {"ok": 0, "error": 0}

    def fetched(self, *, good: bool) -> None:
        """Count a question that was under way as answered or failed."""
        self.fetching -= 1
        self._fetched["ok" if good else "error"] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        total = CounterMetricFamily(f"{_PREFIX}_request", "[ALPHA] Requests by who knew.", labels=_STATUS)
        took = HistogramMetricFamily(
            f"{_PREFIX}_request_duration_seconds", "[ALPHA] Time of these.", labels=_STATUS
        )
        for status, times in (("hit", self.hits), ("miss", self.misses)):
            if count := sum(times.buckets):
                total.add_metric([status], count)
                times.add_to(took, [status])
        fetched = CounterMetricFamily(f"{_PREFIX}_fetch", "[ALPHA] Questions by their end.", labels=_STATUS)
        for status, count in self._fetched.items():
            if count:
                fetched.add_metric([status], count)
        active = GaugeMetricFamily(
            f"{_PREFIX}_active_fetch_count", "[ALPHA] Questions under way, and who waits.", labels=_STATUS
        )
        if fetched.samples or self.fetching:
            active.add_metric(["in_flight"], self.fetching)
            active.add_metric(["blocked"], self.blocked)
        yield from (total, took, fetched, active)
