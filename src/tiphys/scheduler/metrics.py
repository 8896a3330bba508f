"""What a scheduler counts of itself, with upstream's names (``scheduler_*``), in its process' registry.

An attempt costs two clock readings and a few additions; how many pods wait is counted when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from weakref import WeakSet

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.client.counting import Count, Counts, HeldSpread, HeldSpreads, Levels, Spreads
from tiphys.client.metrics import registry_of
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.queue import Queued, SchedulingQueue

REGISTRY: Final = registry_of("kube-scheduler")

SCHEDULED: Final = "scheduled"
UNSCHEDULABLE: Final = "unschedulable"
ERROR: Final = "error"
_SECONDS: Final = tuple(0.001 * 2**power for power in range(15))
_LONG_SECONDS: Final = tuple(0.01 * 2**power for power in range(20))
_TRIES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
_VICTIMS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_MOST_TRIES: Final = 15
_POINT_SECONDS: Final = tuple(0.0001 * 2**power for power in range(12))
_PLUGIN_SECONDS: Final = tuple(0.00001 * 1.5**power for power in range(20))
_SAMPLED_OF: Final = 10
_HELD_AT_MOST: Final = 256
"""Decisions whose figures are held before they are looked at."""
SUCCESS: Final = "Success"
_ALONE: Final = {"Bind": "DefaultBinder"}
"""Extension points that one plugin has for itself."""
PREEMPTION: Final = "DefaultPreemption"

_ATTEMPTS = Counts(
    "scheduler_schedule_attempts", "[STABLE] Tries to place a pod.", ["result", "profile"], REGISTRY
)
_DURATIONS = HeldSpreads(
    "scheduler_scheduling_attempt_duration_seconds", "[STABLE] Time of a try, with its binding.",
    ["result", "profile"], _SECONDS, REGISTRY,
)  # fmt: skip
_DECISIONS = HeldSpreads(
    "scheduler_scheduling_algorithm_duration_seconds", "Time that a decision took.", [], _SECONDS, REGISTRY
)
_SLI = HeldSpreads(
    "scheduler_pod_scheduling_sli_duration_seconds", "[BETA] From a pod's first try until it had its place.",
    ["attempts"], _LONG_SECONDS, REGISTRY,
)  # fmt: skip
_TRIES_OF_PODS = HeldSpreads(
    "scheduler_pod_scheduling_attempts", "[STABLE] Tries until a pod had its place.", [], _TRIES, REGISTRY
)
_PREEMPTIONS = Counts("scheduler_preemption_attempts", "[STABLE] Tries to make room.", [], REGISTRY)
_PREEMPTED = Spreads(
    "scheduler_preemption_victims", "[STABLE] Pods that one had to make room for.", [], _VICTIMS, REGISTRY
)
_POINTS = HeldSpreads(
    "scheduler_framework_extension_point_duration_seconds",
    "[STABLE] Time of all plugins of an extension point.", ["extension_point", "status", "profile"],
    _POINT_SECONDS, REGISTRY,
)  # fmt: skip
_PLUGINS = HeldSpreads(
    "scheduler_plugin_execution_duration_seconds",
    "Time of one plugin at an extension point, in one of ten decisions.",
    ["plugin", "extension_point", "status"], _PLUGIN_SECONDS, REGISTRY,
)  # fmt: skip
_turns: dict[tuple[str, str, tuple[str, ...]], int] = {}
"""By profile and point: how often which plugins had something to do; added up when somebody looks."""


class _Turns:
    """Stands before the family that turns are shown in."""

    def collect(self) -> Iterator[Metric]:
        for (profile, point, plugins), times in _turns.items():
            for plugin in plugins:
                _EVALUATIONS.labels(plugin, point, profile).inc(times)
        _turns.clear()
        return iter(())


REGISTRY.register(_Turns())
_EVALUATIONS = Counts(
    "scheduler_plugin_evaluation",
    "Number of attempts to schedule pods by each plugin and the extension point (available only in "
    "PreFilter, Filter, PreScore, and Score).",
    ["plugin", "extension_point", "profile"],
    REGISTRY,
)
_EVENT_SECONDS = Spreads(
    "scheduler_event_handling_duration_seconds", "Event handling latency in seconds.", ["event"],
    _POINT_SECONDS, REGISTRY,
)  # fmt: skip
_HINT_SECONDS = Spreads(
    "scheduler_queueing_hint_execution_duration_seconds",
    "Duration for running a queueing hint function of a plugin.", ["plugin", "event", "hint"],
    _PLUGIN_SECONDS, REGISTRY,
)  # fmt: skip
_HINTS: Final = {True: "Queue", False: "QueueSkip"}
_AFTER_FLUSH = Counts(
    "scheduler_pod_scheduled_after_flush",
    "Number of pods that were successfully scheduled after being flushed from unschedulablePods due to "
    "timeout. This metric helps detect potential queueing hint misconfigurations or event handling issues.",
    [],
    REGISTRY,
)
_GOROUTINES = Levels(
    "scheduler_goroutines", "Number of running goroutines split by the work they do such as binding.",
    ["operation"], REGISTRY,
)  # fmt: skip
_PREEMPTING = Counts(
    "scheduler_preemption_goroutines_execution", "Number of preemption goroutines executed.", ["result"],
    REGISTRY,
)  # fmt: skip
_PREEMPTING_SECONDS = Spreads(
    "scheduler_preemption_goroutines_duration_seconds",
    "Duration in seconds for running goroutines for the preemption.", ["result"], _LONG_SECONDS, REGISTRY,
)  # fmt: skip
VOLUMES_FAILED: Final = Counts(
    "scheduler_volume_scheduling_stage_error", "Volumes that could not be had, by the step that failed.",
    ["operation"], REGISTRY,
)  # fmt: skip
_CLAIMS = Counts(
    "scheduler_resourceclaim_creates", "Number of ResourceClaims creation requests within scheduler",
    ["status"], REGISTRY,
)  # fmt: skip


class _Events(dict[str, Callable[[float], None]]):
    """Where the times of events go, by what they are called. They are not held: events come without end."""

    def __missing__(self, event: str) -> Callable[[float], None]:
        observe = self[event] = _EVENT_SECONDS.labels(event).observe
        return observe


class _Hints(dict[tuple[str, str, bool], Callable[[float], None]]):
    """Where the times of hints go, by plugin, event and what they said."""

    def __missing__(self, key: tuple[str, str, bool]) -> Callable[[float], None]:
        plugin, event, helps = key
        observe = self[key] = _HINT_SECONDS.labels(plugin, event, _HINTS[helps]).observe
        return observe


_events: Final = _Events()
_hints: Final = _Hints()


def handled(event: str, seconds: float) -> None:
    """Count an event that pods which wait were told of."""
    _events[event](seconds)


def timed_hint(
    hint: Callable[[str, PodInfo], bool], event: str, clock: Clock
) -> Callable[[str, PodInfo], bool]:
    """Return what asks a plugin's hint about an event, and counts how long that took and what it said."""

    now = clock.monotonic

    def ask(plugin: str, info: PodInfo) -> bool:
        began = now()
        helps = hint(plugin, info)
        _hints[plugin, event, helps](now() - began)
        return helps

    return ask


BINDING: Final = _GOROUTINES.labels("binding")
"""How many bindings are under way."""


@contextmanager
def making_claim() -> Iterator[None]:
    """Count a claim that is asked for a pod's extended resources."""
    status = "failure"
    try:
        yield
        status = "success"
    finally:
        _CLAIMS.labels(status).inc()


class Outcome:
    """How something went; badly unless it is said."""

    good = False


@contextmanager
def preempting(clock: Clock) -> Iterator[Outcome]:
    """Count the removal of pods that another one needs the room of, which goes on beside decisions."""
    began, outcome = clock.monotonic(), Outcome()
    try:
        yield outcome
    finally:
        result = "success" if outcome.good else "error"
        _PREEMPTING.labels(result).inc()
        _PREEMPTING_SECONDS.labels(result).observe(clock.monotonic() - began)


class _Took(Protocol):
    """Takes how long an extension point took, and its plugin where it has one alone."""

    def __call__(self, point: str, status: str, seconds: float, plugin: str = "") -> None: ...


class Times:
    """Times the parts of one profile's decisions as they go on; see ``framework.Laps``."""

    def __init__(self, profile: str, clock: Clock) -> None:
        self._profile = profile
        self._now = clock.monotonic
        self._began = self._last = 0.0
        self._turn = -1
        self.sampled = False
        """Whether plugins are timed in this decision: one of ten, as clocks cost as much as some of them."""
        self._bindings = 0
        self._good: dict[str, Callable[[float], None]] = {}
        """Where points that went well are held, by name; of others, by name and status too: ``_points``."""
        self._points: dict[tuple[str, str], HeldSpread] = {}
        self._plugins: dict[tuple[str, str, str], Callable[[float], None]] = {}

    def begin(self) -> Times:
        """Begin with a decision."""
        self._turn += 1
        self.sampled = self._turn % _SAMPLED_OF == 0
        if self._turn % _HELD_AT_MOST == 0:
            fold()
        self._began = self._last = self._now()
        return self

    def plugin(self, point: str, plugin: str) -> None:
        """Time a plugin that has had its turn."""
        now = self._now()
        self._ran(point, plugin, SUCCESS, now - self._last)
        self._last = now

    def _ran(self, point: str, plugin: str, status: str, seconds: float) -> None:
        found = self._plugins.get((plugin, point, status))
        if found is None:
            found = self._plugins[plugin, point, status] = _PLUGINS.labels(plugin, point, status).hold
        found(seconds)

    def point(
        self, point: str, *, good: bool, bad: str = "Unschedulable", plugins: tuple[str, ...] = ()
    ) -> None:
        """Count an extension point that is behind the pod, and the plugins that had something to do there."""
        now = self._now()
        hold = self._good.get(point) if good else None
        if hold is None:
            hold = self._hold(point, SUCCESS if good else bad)
        hold(now - self._began)
        self._began = self._last = now
        if plugins:
            turns = (self._profile, point, plugins)
            _turns[turns] = _turns.get(turns, 0) + 1

    def _hold(self, point: str, status: str) -> Callable[[float], None]:
        found = self._points.get((point, status))
        if found is None:
            found = self._points[point, status] = _POINTS.labels(point, status, self._profile)
            if status == SUCCESS:
                self._good[point] = found.hold
        return found.hold

    def again(self) -> None:
        """Go on after a wait that is no extension point's."""
        self._began = self._last = self._now()

    def binding(self) -> Binding:
        """Begin with the binding of a pod; many are under way at once, one of ten has its plugin timed."""
        self._bindings += 1
        return Binding(self.took, self._now, sampled=self._bindings % _SAMPLED_OF == 1)

    def took(self, point: str, status: str, seconds: float, plugin: str = "") -> None:
        """Count an extension point that took so long, and its ``plugin`` where it has one alone."""
        if plugin:
            self._ran(point, plugin, status, seconds)
        hold = self._good.get(point) if status == SUCCESS else None
        (hold or self._hold(point, status))(seconds)


def fold() -> None:
    """Look at what is held: by every so many decisions, so that it never is much."""
    for family in (_DURATIONS, _DECISIONS, _SLI, _TRIES_OF_PODS, _POINTS, _PLUGINS):
        family.fold()


class Binding:
    """Times one binding: what is written before it (PreBind), itself (Bind), what comes of it (PostBind).

    Where it fails, giving back what was reserved is timed (Unreserve).
    """

    __slots__ = ("_now", "_point", "_sampled", "_since", "_took")

    def __init__(self, took: _Took, now: Callable[[], float], *, sampled: bool) -> None:
        self._took = took
        self._sampled = sampled
        self._now = now
        self._point = "PreBind"
        self._since = now()

    def prepared(self) -> None:
        """Count what came before."""
        now = self._now()
        self._took("PreBind", SUCCESS, now - self._since)
        self._since = now
        self._point = "Bind"

    def end(self, status: str) -> None:
        """Count the point that it has come to."""
        now = self._now()
        plugin = _ALONE.get(self._point, "") if self._sampled else ""
        self._took(self._point, status, now - self._since, plugin)
        self._since = now
        self._point = "PostBind" if status == SUCCESS else "Unreserve"


class SchedulerMetrics:
    """The counts of one scheduler; several in a process add up."""

    def __init__(self, queue: SchedulingQueue, columns: Columns | None = None) -> None:
        self.queue = queue
        self.columns = columns or Columns()
        self._attempts: dict[tuple[str, str], tuple[Count, Callable[[float], None]]] = {}
        self.decided: Callable[[float], None] = _DECISIONS.labels().hold
        """Count one decision and how long it took."""
        self._tries = _TRIES_OF_PODS.labels().hold
        self._sli = {tries: _SLI.labels(str(tries)).hold for tries in (1, 2)}
        _PREEMPTIONS.labels()
        _RUNNING.add(self)

    def tried(self, result: str, profile: str, seconds: float) -> None:
        """Count one try and how long it took."""
        found = self._attempts.get((result, profile))
        if found is None:
            found = _ATTEMPTS.labels(result, profile), _DURATIONS.labels(result, profile).hold
            self._attempts[result, profile] = found
        found[0].value += 1
        found[1](seconds)

    def placed(self, attempts: int, seconds: float, *, flushed: bool = False) -> None:
        """Count a pod that has its place, after so many tries and so long since the first.

        ``flushed``: it was tried again because it had waited long.
        """
        if flushed:
            _AFTER_FLUSH.labels().inc()
        self._tries(attempts)
        hold = self._sli.get(attempts)
        if hold is None:
            hold = _SLI.labels(str(attempts) if attempts < _MOST_TRIES else f"{_MOST_TRIES}+").hold
        hold(seconds)

    @staticmethod
    def preempted(victims: int) -> None:
        """Count a try to make room for a pod; no victims: there was none to be made."""
        _PREEMPTIONS.labels().inc()
        if victims:
            _PREEMPTED.labels().observe(victims)


class _Queues:
    def collect(self) -> Iterator[Metric]:
        pending = GaugeMetricFamily("scheduler_pending_pods", "[STABLE] Pods that wait.", labels=["queue"])
        incoming = CounterMetricFamily(
            "scheduler_queue_incoming_pods",
            "[STABLE] Pods that came into a queue.",
            labels=["queue", "event"],
        )
        waiting: dict[str, int] = {}
        came: dict[tuple[str, str], int] = {}
        for one in _RUNNING:
            for name, count in one.queue.waiting().items():
                waiting[name] = waiting.get(name, 0) + count
            for key, count in one.queue.incoming.items():
                came[key] = came.get(key, 0) + count
        pending.add_all(waiting)
        yield from _States.of(_RUNNING)
        incoming.add_all(came)
        yield pending
        yield incoming


class _States:
    """What schedulers hold at the moment somebody scrapes."""

    @staticmethod
    def of(running: Iterable[SchedulerMetrics]) -> Iterator[Metric]:
        cache = GaugeMetricFamily(
            "scheduler_cache_size", "Nodes, pods and assumed pods that are known.", labels=["type"]
        )
        stuck = GaugeMetricFamily(
            "scheduler_unschedulable_pods", "Pods that a plugin keeps waiting.", labels=["plugin", "profile"]
        )
        sizes = {"nodes": 0, "pods": 0, "assumed_pods": 0}
        kept: dict[tuple[str, str], int] = {}
        for one in running:
            placed = one.columns.placed
            sizes["nodes"] += len(one.columns.rows)
            sizes["pods"] += len(placed)
            sizes["assumed_pods"] += sum(not info.pod["spec"].get("nodeName") for info, _ in placed.values())
            for queued in one.queue.failed():
                for plugin in queued.plugins:
                    key = (plugin, _profile(queued))
                    kept[key] = kept.get(key, 0) + 1
        cache.add_all(sizes)
        stuck.add_all(kept)
        yield from (cache, stuck)


def _profile(queued: Queued) -> str:
    return str(queued.info.pod["spec"].get("schedulerName") or "default-scheduler")


_RUNNING: WeakSet[SchedulerMetrics] = WeakSet()
REGISTRY.register(_Queues())
