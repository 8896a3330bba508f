"""How APIServices and discovery are counted, under upstream's names: which APIs are away, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.apiserver.aggregation.objects import is_available


class Counts:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._unavailable: Counter[tuple[str, str]] = Counter()
        self.aggregated = 0
        """Aggregated documents that were made."""
        self.peers_known = self.peers_joined = 0
        """Those of all peers: found as they were made before, and made."""
        self.without_peers = 0
        """Requests for what this server alone serves."""

    def changed(self, before: Object, after: Object) -> None:
        """Note what became of an APIService's condition: those are counted that were there until now."""
        if is_available(before) and not is_available(after):
            reason = (get_condition(after, "Available") or {}).get("reason") or "UnknownReason"
            self._unavailable[after["metadata"]["name"], reason] += 1

    def collect(self, services: Iterable[Object]) -> Iterator[Metric]:
        """Yield the numbers as they stand, with what the given APIServices say of themselves."""
        gauge = GaugeMetricFamily(
            "aggregator_unavailable_apiservice",
            "APIServices that are away (1) or there (0).",
            labels=["name"],
        )
        for service in services:
            gauge.add_metric([service["metadata"]["name"]], not is_available(service))
        yield gauge
        family = CounterMetricFamily(
            "aggregator_unavailable_apiservice",
            "Times that an APIService went away.",
            labels=["name", "reason"],
        )
        family.add_all(self._unavailable)
        yield family
        for name, text, number in (
            ("aggregation_count", "Aggregated discovery documents that were made.", self.aggregated),
            ("peer_aggregated_cache_hits", "Documents of all peers that were there.", self.peers_known),
            ("peer_aggregated_cache_misses", "Documents of all peers that were made.", self.peers_joined),
            ("nopeer_requests", "Requests for the discovery of one server alone.", self.without_peers),
        ):
            yield CounterMetricFamily(f"aggregator_discovery_{name}", text, value=number)
