"""What the server counts of itself, with upstream's metric names.

Counting is on every request's path, so it is bare additions (one event loop, no locks); what Prometheus'
library makes of them is computed when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, float("inf"),
)  # fmt: skip
_LABELS = ("verb", "group", "version", "resource", "subresource")
Labels = tuple[str, str, str, str, str]


class _Series:
    """How many answers of one kind there were, by code, and how many took how long, each bucket by itself."""

    __slots__ = ("buckets", "codes", "total_s")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * len(_BUCKETS)
        self.total_s = 0.0


class Metrics(Collector):
    """One server's metrics, in a registry of its own."""

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._series: dict[Labels, _Series] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, labels: Labels, code: int, seconds: float) -> None:
        """Count one answered request."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(_BUCKETS, seconds) if seconds > _BUCKETS[0] else 0] += 1
        series.total_s += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand."""
        total = CounterMetricFamily("apiserver_request", "Requests served.", labels=[*_LABELS, "code"])
        for labels, series in self._series.items():
            for code, count in series.codes.items():
                total.add_metric([*labels, str(code)], count)
        yield total
        seconds = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Time to answer.", labels=_LABELS
        )
        for labels, series in self._series.items():
            running, buckets = 0, []
            for bound, count in zip(_BUCKETS, series.buckets, strict=True):
                running += count
                buckets.append((_text(bound), running))
            seconds.add_metric(labels, buckets, series.total_s)
        yield seconds

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)


def _text(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
