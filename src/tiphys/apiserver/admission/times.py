"""How long admission took, plugin by plugin: upstream's ``apiserver_admission_controller_admission_*``.

On the path of every write: a clock reading and a few additions for each plugin that is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.core import HistogramMetricFamily, Metric

from tiphys.apimachinery.errors import StatusError
from tiphys.apiserver.metrics import Durations

if TYPE_CHECKING:
    from tiphys.apiserver.admission.attributes import Attributes

Ask: TypeAlias = "Callable[[Attributes], Awaitable[None]]"
_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, float("inf"))
_LABELS: Final = ("name", "operation", "rejected", "type")


class Timed:
    """A plugin's question, and how long its answers took, by operation."""

    __slots__ = ("ask", "passed", "rejected")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.passed: dict[str, Durations] = {}
        self.rejected: dict[str, Durations] = {}


class AdmissionTimes:
    """All plugins of one chain."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Timed] = {}

    def of(self, kind: str, plugin: object, ask: Ask) -> Timed:
        """Return what times a plugin (``kind``: admit, validate): the same one whenever asked."""
        name = str(getattr(plugin, "NAME", type(plugin).__name__))
        found = self._known.get((kind, name))
        if found is None:
            found = self._known[kind, name] = Timed(ask)
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it stands."""
        family = HistogramMetricFamily(
            "apiserver_admission_controller_admission_duration_seconds", "Time of a plugin.", labels=_LABELS
        )
        for (kind, name), timed in self._known.items():
            for rejected, by_operation in (("false", timed.passed), ("true", timed.rejected)):
                for operation, durations in by_operation.items():
                    durations.add_to(family, (name, operation, rejected, kind))
        yield family


async def ask_all(asked: Sequence[Timed], attributes: Attributes) -> None:
    """Ask one plugin after the other. Raises what the first refusing one raises."""
    clock, operation = attributes.call.backend.clock, attributes.operation
    began = clock.monotonic()
    for timed in asked:
        try:
            await timed.ask(attributes)
        except StatusError:
            _note(timed.rejected, operation, clock.monotonic() - began)
            raise
        ended = clock.monotonic()
        _note(timed.passed, operation, ended - began)
        began = ended


def _note(durations: dict[str, Durations], operation: str, seconds: float) -> None:
    found = durations.get(operation)
    if found is None:
        found = durations[operation] = Durations(_BUCKETS)
    found.observe(seconds)
