"""How a component's health checks went: ``kubernetes_healthcheck(s)``, shown at ``/metrics/slis`` too."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric, text_of


class HealthCounts:
    """The counts of one component. Source: KEP-3466."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], bool] = {}
        self._counts: dict[tuple[str, str, str], int] = {}

    def note(self, name: str, kind: str, *, good: bool) -> None:
        """Count one answer of a check, at ``kind`` (``livez``)."""
        key = (name, kind, "success" if good else "error")
        self._counts[key] = self._counts.get(key, 0) + 1
        self._last[name, kind] = good

    def collect(self) -> Iterator[Metric]:
        """Yield how the checks went when they were last asked, and how often so."""
        last = GaugeMetricFamily(
            "kubernetes_healthcheck", "[STABLE] Result of a health check.", labels=["name", "type"]
        )
        for key, good in self._last.items():
            last.add_metric(key, float(good))
        counts = CounterMetricFamily(
            "kubernetes_healthchecks", "[STABLE] Results of health checks.", labels=["name", "type", "status"]
        )
        counts.add_all(self._counts)
        yield last
        yield counts

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes at ``/metrics/slis``."""
        return text_of(self.collect())
