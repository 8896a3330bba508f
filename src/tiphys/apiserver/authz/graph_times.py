"""How long the node authorizer's graph takes to follow what changes.

Owns: ``node_authorizer_graph_actions_duration_seconds``. What leaves the graph as it is costs no look at the
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import DurationsBy
from tiphys.apiserver.registry.objects import Cached

_BUCKETS: Final = (*(0.0001 * 2**power for power in range(12)), float("inf"))
Handler = Callable[[Cached | None, Cached | None], None]
Place = Callable[[Cached], object]
"""Says of an object where it is in the graph; nothing: it is not in it."""


class GraphTimes:
    """One graph's."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._times: DurationsBy[str] = DurationsBy(_BUCKETS)

    def around(self, kind: str, handler: Handler, place: Place) -> Handler:
        """Return what handles changes of objects of a kind, timing those that change their place."""

        def timed(old: Cached | None, new: Cached | None) -> None:
            before = place(old) if old is not None else None
            after = place(new) if new is not None else None
            if (before or None) == (after or None):
                handler(old, new)
                return
            began = self._now()
            handler(old, new)
            self._times[f"{'Add' if after else 'Delete'}{kind}"].observe(self._now() - began)

        return timed

    def collect(self) -> Iterator[Metric]:
        """Yield the family as it stands."""
        family = HistogramMetricFamily(
            "node_authorizer_graph_actions_duration_seconds",
            "[ALPHA] Histogram of duration of graph actions in node authorizer.",
            labels=["operation"],
        )
        for operation, durations in self._times.items():
            durations.add_to(family, [operation])
        yield family
