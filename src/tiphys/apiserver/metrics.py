"""What the server counts of itself, with upstream's metric names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_BUCKETS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)


class Metrics:
    """One server's metrics, in a registry of its own."""

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["verb", "group", "version", "resource", "subresource"]
        self._total = Counter(
            "apiserver_request", "Requests served.", [*labels, "code"], registry=self._registry
        )
        self._duration = Histogram(
            "apiserver_request_duration_seconds", "Time to answer.", labels, buckets=_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._inflight = Gauge(
            "apiserver_current_inflight_requests", "Requests being served.", ["request_kind"],
            registry=self._registry,
        )  # fmt: skip
        self._counters: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self.reading = self._inflight.labels("readOnly")
        self.mutating = self._inflight.labels("mutating")

    def observe(self, labels: tuple[str, str, str, str, str], code: int, seconds: float) -> None:
        """Count one answered request."""
        key = (*labels, str(code))
        found = self._counters.get(key)
        if found is None:
            found = self._counters[key] = (self._total.labels(*key), self._duration.labels(*labels))
        found[0].inc()
        found[1].observe(seconds)

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)
