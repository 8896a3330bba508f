"""What a component's process counts of itself, with upstream's names: its queues and its API calls.

Owns: the process' registry. Queues and transports count here; ``client.endpoint`` serves it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.compatibility import Effective
from tiphys.apimachinery.families import Collector, CounterMetricFamily, GaugeMetricFamily, Metric, Registry
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.release import PLATFORM, RELEASE
from tiphys.client import call_counts, exposition
from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.client.process_figures import ProcessFigures

_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_INFORMED = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REGISTRY = Registry()
"""What every component shows."""
CLIENTS = Registry()
"""The part of it that the API server shows too: what is counted of those who call, lead, follow and queue."""
CLIENTS.register(call_counts.REGISTRY)
_COMPONENTS: dict[str, Registry] = {}
REGISTRY.register(ProcessFigures())

BUILD = Levels(
    "kubernetes_build_info", "[BETA] What this is.",
    ["major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler",
     "platform"], REGISTRY,
)  # fmt: skip
BUILD.labels("1", "36", RELEASE, "", "clean", "", "", platform.python_implementation(), PLATFORM).set(1)

LEADING = Levels("leader_election_master_status", "[ALPHA] 1 while this process leads.", ["name"], CLIENTS)
SLOW_PATHS = Counts(
    "leader_election_slowpath", "[ALPHA] Leases renewed after they were read again.", ["name"], CLIENTS
)
INFORMED_SECONDS = Spreads(
    "informer_processing_latency_seconds", "[ALPHA] Time that it took to take in a change.",
    ["name", "group", "version", "resource"], _INFORMED, CLIENTS,
)  # fmt: skip
QUEUE_SECONDS = Spreads(
    "workqueue_queue_duration_seconds", "[BETA] Time that a key waited.", ["name"], _BUCKETS, CLIENTS
)
WORK_SECONDS = Spreads(
    "workqueue_work_duration_seconds", "[BETA] Time that work on a key took.", ["name"], _BUCKETS, CLIENTS
)

_REVIEWS = {"authentication": "apiserver_delegated_authn", "authorization": "apiserver_delegated_authz"}
"""What the API server is asked about those who come to a component's own endpoint."""
REVIEWED = {
    group: Counts(
        f"{name}_request", "[ALPHA] Number of HTTP requests partitioned by status code.", ["code"], CLIENTS
    )
    for group, name in _REVIEWS.items()
}
REVIEW_SECONDS = {
    group: Spreads(
        f"{name}_request_duration_seconds",
        "[ALPHA] Request latency in seconds. Broken down by status code.",
        ["code"],
        (0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0),
        CLIENTS,
    )
    for group, name in _REVIEWS.items()
}


class QueueCounts:
    """The plain counts of one queue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.adds = 0
        self.retries = 0
        self.depth = 0
        self.running: Callable[[], Iterable[float]] = tuple
        """Gives for how many seconds each key has been worked on."""
        self.waited = QUEUE_SECONDS.labels(name)
        self.worked = WORK_SECONDS.labels(name)
        QUEUES.add(self)


class KeyWork:
    """Counts work on keys as if they came from a queue: they wait in none, as each is done once it is due."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        self.counts = QueueCounts(name)
        self.counts.running = self._running

    def _running(self) -> list[float]:
        now = self._clock.monotonic()
        return [now - began for began in self._began.values()]

    @contextmanager
    def working(self, key: str) -> Iterator[None]:
        """Count one piece of work; no other is done on the key meanwhile."""
        began = self._began[key] = self._clock.monotonic()
        self.counts.adds += 1
        self.counts.waited.observe(0.0)
        try:
            yield
        finally:
            self._began.pop(key, None)
            self.counts.worked.observe(self._clock.monotonic() - began)

    def again(self) -> None:
        """Count that work has failed, and will be tried again."""
        self.counts.retries += 1


class _Queues:
    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "[BETA] Keys that wait.", labels=["name"])
        adds = CounterMetricFamily("workqueue_adds", "[BETA] Keys added.", labels=["name"])
        retries = CounterMetricFamily("workqueue_retries", "[BETA] Keys added again.", labels=["name"])
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "[BETA] Seconds of work that has not ended.",
            labels=["name"],
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "[BETA] Seconds of the oldest such work.",
            labels=["name"],
        )  # fmt: skip
        totals: dict[str, list[float]] = {}
        for queue in QUEUES:
            running = list(queue.running())
            total = totals.setdefault(queue.name, [0, 0, 0, 0.0, 0.0])
            for at, value in enumerate((queue.depth, queue.adds, queue.retries, sum(running))):
                total[at] += value
            total[4] = max(total[4], *running, 0.0)
        families: tuple[Any, ...] = (depth, adds, retries, unfinished, longest)
        for name, values in totals.items():
            for family, value in zip(families, values, strict=True):
                family.add_metric([name], value)
        yield from families


class _Features:
    """The feature gates of this process."""

    gates: FeatureGates = DEFAULTS

    def collect(self) -> Iterator[Metric]:
        yield feature_family(self.gates)
        yield version_family(self.gates.effective)


def feature_family(gates: FeatureGates) -> GaugeMetricFamily:
    """Return ``kubernetes_feature_enabled``: each feature with its stage."""
    family = GaugeMetricFamily(
        "kubernetes_feature_enabled", "[BETA] Whether a feature is enabled.", labels=["name", "stage"]
    )
    for gate in gates.known.values():
        family.add_metric([gate.name, gate.stage], float(gates.enabled(gate.name)))
    return family


def version_family(effective: Effective) -> GaugeMetricFamily:
    """Return ``version_info``: as which versions a component behaves."""
    family = GaugeMetricFamily(
        "version_info", "[ALPHA] The versions of this component, and those it behaves as.",
        labels=("binary", "component", "emulation", "min_compat"),
    )  # fmt: skip
    emulated, compatible = (".".join(map(str, one)) for one in (effective.emulated, effective.compatible))
    family.add_metric([RELEASE.removeprefix("v"), "kube", emulated, compatible], 1)
    return family


def show_features(gates: FeatureGates) -> None:
    """Tell which feature gates this process was started with."""
    _FEATURES.gates = gates


QUEUES: WeakSet[QueueCounts] = WeakSet()
CLIENTS.register(_Queues())
REGISTRY.register(CLIENTS)
_FEATURES = _Features()
REGISTRY.register(_FEATURES)


def registry_of(component: str) -> Registry:
    """Return where a component registers families that others, forked from the same process, do not show."""
    return _COMPONENTS.setdefault(component, Registry())


def render(component: str, *more: Collector) -> bytes:
    """Return the text that Prometheus scrapes of a component, with what it has ``more`` than its registry."""
    shown = Registry()
    for part in (REGISTRY, registry_of(component), *more):
        shown.register(part)
    return exposition.render(shown)
