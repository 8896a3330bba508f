"""How dialing through proxies went, with upstream's metric names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import (
    BareCounterMetricFamily,
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from tiphys.apiserver.observe.durations import DurationsBy

CONNECT: Final = "connect"
PROXY: Final = "proxy"
"""The stages: reaching the proxy, and being led on by it."""
_PREFIX: Final = "apiserver_egress_dialer_dial"
_TUNNELS: Final = "konnectivity_network_proxy_client"
_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 12.5, float("inf"))
_LABELLED: Final = "labeled by the protocol (http-connect or grpc)"
Way = tuple[str, str]
"""Protocol and transport, as labels."""


class DialCounts:
    """One server's."""

    def __init__(self) -> None:
        self._started: Counter[Way] = Counter()
        self._failed: Counter[tuple[str, str, str]] = Counter()
        self._times: DurationsBy[Way] = DurationsBy(_BUCKETS)
        self.packets: Counter[tuple[str, str]] = Counter()
        """By segment (``from_client``, ``to_client``) and type."""
        self.refusals: Counter[str] = Counter()
        """Of gRPC tunnels, by reason."""

    def started(self, way: Way) -> None:
        self._started[way] += 1

    def failed(self, way: Way, stage: str) -> None:
        self._failed[(*way, stage)] += 1

    def succeeded(self, way: Way, seconds: float) -> None:
        self._times[way].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        way = ["protocol", "transport"]
        times = HistogramMetricFamily(
            f"{_PREFIX}_duration_seconds",
            f"[ALPHA] Dial latency histogram in seconds, {_LABELLED}, transport (tcp or uds)",
            labels=way,
        )
        for key, durations in self._times.items():
            durations.add_to(times, key)
        failed = BareCounterMetricFamily(
            f"{_PREFIX}_failure_count",
            f"[ALPHA] Dial failure count, {_LABELLED}, transport (tcp or uds), and stage (connect or proxy). "
            "The stage indicates at which stage the dial failed",
            labels=[*way, "stage"],
        )
        failed.add_all(self._failed)
        started = CounterMetricFamily(
            f"{_PREFIX}_start",
            f"[ALPHA] Dial starts, {_LABELLED} and transport (tcp or uds).",
            labels=way,
        )
        started.add_all(self._started)
        yield from (times, failed, started)
        yield from self._tunnels()

    def _tunnels(self) -> Iterator[Metric]:
        packets = CounterMetricFamily(
            f"{_TUNNELS}_stream_packets",
            "Count of packets processed, by segment and packet type (example: from_client, DIAL_REQ)",
            labels=["segment", "packet_type"],
        )
        packets.add_all(self.packets)
        refused = CounterMetricFamily(
            f"{_TUNNELS}_dial_failure",
            "Number of dial failures observed, by reason (example: remote endpoint error)",
            labels=["reason"],
        )
        refused.add_all(self.refusals)
        yield from (packets, refused)
