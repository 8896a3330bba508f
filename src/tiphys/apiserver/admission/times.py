"""How long admission took, by plugin (upstream's ``apiserver_admission_controller_admission_*``) and webhook.

On the path of every write: a clock reading and a few additions for each plugin that is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.families import HistogramMetricFamily, Metric, SummaryMetricFamily
from tiphys.apiserver.admission.webhooks.counts import HookCounts
from tiphys.apiserver.observe.durations import Durations
from tiphys.apiserver.observe.expression_times import ExpressionTimes
from tiphys.apiserver.observe.quantiles import Quantiles

if TYPE_CHECKING:
    from tiphys.apiserver.admission.attributes import Attributes

Ask: TypeAlias = "Callable[[Attributes], Awaitable[None]]"
Idle: TypeAlias = "Callable[[Attributes | None], bool]"
_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, float("inf"))
_LABELS: Final = ("name", "operation", "rejected", "type")


class Timed:
    """A plugin's question about one operation, and how long its answers took."""

    __slots__ = ("ask", "idle", "passed", "rejected", "spared", "unique")

    def __init__(self, ask: Ask, idle: Idle | None, *, unique: bool) -> None:
        self.ask = ask
        self.idle = idle
        """True where it need not be asked (``chain.Plugin``)."""
        self.spared = 0
        """How often it was not: that took no time."""
        self.unique = unique
        """What it did to one object says nothing of the next."""
        self.passed = Durations(_BUCKETS)
        self.rejected = Durations(_BUCKETS)

    def settle(self) -> None:
        """Count the times that it was spared as passed."""
        self.passed.add(0, self.spared)
        self.spared = 0


class Step:
    """All plugins together, of one kind of question and operation: how long they took."""

    __slots__ = ("passed", "rejected")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.passed = Quantiles(_BUCKETS, monotonic)
        self.rejected = Quantiles(_BUCKETS, monotonic)


class Round:
    """Those who are asked about one kind of write, in order."""

    __slots__ = ("_step", "plugins", "unique")

    def __init__(self, plugins: Sequence[Timed], step: Step) -> None:
        self.plugins = plugins
        self.unique = tuple(plugin for plugin in plugins if plugin.unique)
        self._step = step

    async def ask(self, attributes: Attributes) -> None:
        """Ask one plugin after the other. Raises what the first refusing one raises."""
        monotonic = attributes.call.backend.clock.monotonic
        opened = began = monotonic()
        for timed in self.plugins:
            idle = timed.idle
            if idle is not None and idle(attributes):
                timed.spared += 1
                continue
            if timed.unique and attributes.reads is not None:
                attributes.reads.complete = False
            try:
                await timed.ask(attributes)
            except StatusError:
                ended = monotonic()
                timed.rejected.observe(ended - began)
                self._step.rejected.observe(ended - opened)
                raise
            ended = monotonic()
            timed.passed.observe(ended - began)
            began = ended
        self._step.passed.observe(began - opened)


class AdmissionTimes:
    """All plugins of one chain."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._steps: dict[tuple[str, str], Step] = {}
        self._known: dict[tuple[str, str, str], Timed] = {}
        self.hooks = HookCounts()
        self.expressions = ExpressionTimes()

    def of(self, kind: str, operation: str, plugin: object, ask: Ask) -> Timed:
        """Return what times a plugin (``kind``: admit, validate): the same one whenever asked."""
        name = str(getattr(plugin, "NAME", type(plugin).__name__))
        found = self._known.get((name, operation, kind))
        if found is None:
            unique = kind == "admit" and not getattr(plugin, "REPEATS", False)
            found = Timed(ask, getattr(plugin, "idle", None), unique=unique)
            self._known[name, operation, kind] = found
        return found

    def step(self, kind: str, operation: str) -> Step:
        """Return what times all plugins together (``kind``: admit, validate)."""
        found = self._steps.get((operation, kind))
        if found is None:
            found = self._steps[operation, kind] = Step(self._clock.monotonic)
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms as they stand."""
        family = HistogramMetricFamily(
            "apiserver_admission_controller_admission_duration_seconds", "[STABLE] Time of a plugin.",
            labels=_LABELS,
        )  # fmt: skip
        steps = HistogramMetricFamily(
            "apiserver_admission_step_admission_duration_seconds", "[STABLE] Time of all plugins.",
            labels=_LABELS[1:],
        )  # fmt: skip
        summary = SummaryMetricFamily(
            "apiserver_admission_step_admission_duration_seconds_summary",
            "[ALPHA] Admission sub-step latency summary in seconds, broken out for each operation and API "
            "resource and step type (validate or admit).",
            labels=_LABELS[1:],
        )
        for (operation, kind), step in self._steps.items():
            for rejected, taken in (("false", step.passed), ("true", step.rejected)):
                if any(taken.buckets):
                    taken.add_to(steps, (operation, rejected, kind))
                    taken.add_quantiles_to(summary, (operation, rejected, kind))
        for (name, operation, kind), timed in self._known.items():
            timed.settle()
            for rejected, durations in (("false", timed.passed), ("true", timed.rejected)):
                if any(durations.buckets):
                    durations.add_to(family, (name, operation, rejected, kind))
        yield family
        yield steps
        yield summary
        yield from self.hooks.collect()
        yield from self.expressions.collect()
