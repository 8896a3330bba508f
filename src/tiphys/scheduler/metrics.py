"""What a scheduler counts of itself, with upstream's names (``scheduler_*``), in its process' registry.

An attempt costs two clock readings and a few additions; how many pods wait is counted when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from weakref import WeakSet

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tiphys.client.metrics import REGISTRY
from tiphys.scheduler.queue import SchedulingQueue

SCHEDULED: Final = "scheduled"
UNSCHEDULABLE: Final = "unschedulable"
ERROR: Final = "error"
_SECONDS: Final = tuple(0.001 * 2**power for power in range(15))
_TRIES: Final = (1, 2, 4, 8, 16)
_VICTIMS: Final = (1, 2, 4, 8, 16, 32, 64)

_ATTEMPTS = Counter(
    "scheduler_schedule_attempts", "Tries to place a pod.", ["result", "profile"], registry=REGISTRY
)
_DURATIONS = Histogram(
    "scheduler_scheduling_attempt_duration_seconds", "Time of a try, with its binding.",
    ["result", "profile"], buckets=_SECONDS, registry=REGISTRY,
)  # fmt: skip
_TRIES_OF_PODS = Histogram(
    "scheduler_pod_scheduling_attempts", "Tries until a pod had its place.", buckets=_TRIES,
    registry=REGISTRY,
)  # fmt: skip
_PREEMPTIONS = Counter("scheduler_preemption_attempts", "Tries to make room.", registry=REGISTRY)
_PREEMPTED = Histogram(
    "scheduler_preemption_victims", "Pods that one had to make room for.", buckets=_VICTIMS,
    registry=REGISTRY,
)  # fmt: skip


class SchedulerMetrics:
    """The counts of one scheduler; several in a process add up."""

    def __init__(self, queue: SchedulingQueue) -> None:
        self.queue = queue
        self._attempts: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        _RUNNING.add(self)

    def tried(self, result: str, profile: str, seconds: float) -> None:
        """Count one try and how long it took."""
        found = self._attempts.get((result, profile))
        if found is None:
            found = _ATTEMPTS.labels(result, profile), _DURATIONS.labels(result, profile)
            self._attempts[result, profile] = found
        found[0].inc()
        found[1].observe(seconds)

    @staticmethod
    def placed(attempts: int) -> None:
        """Count a pod that has its place, after so many tries."""
        _TRIES_OF_PODS.observe(attempts)

    @staticmethod
    def preempted(victims: int) -> None:
        """Count a try to make room for a pod; no victims: there was none to be made."""
        _PREEMPTIONS.inc()
        if victims:
            _PREEMPTED.observe(victims)


class _Queues(Collector):
    def collect(self) -> Iterator[Metric]:
        pending = GaugeMetricFamily("scheduler_pending_pods", "Pods that wait.", labels=["queue"])
        incoming = CounterMetricFamily(
            "scheduler_queue_incoming_pods", "Pods that came into a queue.", labels=["queue", "event"]
        )
        waiting: dict[str, int] = {}
        came: dict[tuple[str, str], int] = {}
        for one in _RUNNING:
            for name, count in one.queue.waiting().items():
                waiting[name] = waiting.get(name, 0) + count
            for key, count in one.queue.incoming.items():
                came[key] = came.get(key, 0) + count
        for name, count in waiting.items():
            pending.add_metric([name], count)
        for key, count in came.items():
            incoming.add_metric(key, count)
        yield pending
        yield incoming


_RUNNING: WeakSet[SchedulerMetrics] = WeakSet()
REGISTRY.register(_Queues())
