"""What a component's process counts of itself, with upstream's names: its queues and its API calls.

Owns: the process' registry. Queues and transports count here; ``client.endpoint`` serves it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from weakref import WeakSet

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tiphys.client.counting import Counts, Spreads

_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

_CALL_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

REGISTRY = CollectorRegistry()
for _collector in (ProcessCollector, PlatformCollector, GCCollector):
    _collector(registry=REGISTRY)

BUILD = Gauge(
    "kubernetes_build_info", "What this is.",
    ["major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler",
     "platform"], registry=REGISTRY,
)  # fmt: skip
BUILD.labels("1", "36", "v1.36.0", "", "clean", "", "", platform.python_implementation(), "linux").set(1)

REQUESTS = Counts("rest_client_requests", "API calls made.", ["code", "method", "host"], REGISTRY)
REQUEST_SECONDS = Spreads(
    "rest_client_request_duration_seconds", "Time that API calls took.", ["verb", "host"], _CALL_BUCKETS,
    REGISTRY,
)  # fmt: skip
QUEUE_SECONDS = Spreads(
    "workqueue_queue_duration_seconds", "Time that a key waited.", ["name"], _BUCKETS, REGISTRY
)
WORK_SECONDS = Spreads(
    "workqueue_work_duration_seconds", "Time that work on a key took.", ["name"], _BUCKETS, REGISTRY
)


class QueueCounts:
    """The plain counts of one queue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.adds = 0
        self.retries = 0
        self.depth = 0
        self.waited = QUEUE_SECONDS.labels(name)
        self.worked = WORK_SECONDS.labels(name)
        QUEUES.add(self)


class _Queues(Collector):
    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait.", labels=["name"])
        adds = CounterMetricFamily("workqueue_adds", "Keys added.", labels=["name"])
        retries = CounterMetricFamily("workqueue_retries", "Keys added again.", labels=["name"])
        totals: dict[str, list[int]] = {}
        for queue in QUEUES:
            total = totals.setdefault(queue.name, [0, 0, 0])
            for at, value in enumerate((queue.depth, queue.adds, queue.retries)):
                total[at] += value
        for name, values in totals.items():
            depth.add_metric([name], values[0])
            adds.add_metric([name], values[1])
            retries.add_metric([name], values[2])
        yield from (depth, adds, retries)


QUEUES: WeakSet[QueueCounts] = WeakSet()
REGISTRY.register(_Queues())


def render() -> bytes:
    """Return the text that Prometheus scrapes."""
    return generate_latest(REGISTRY)
