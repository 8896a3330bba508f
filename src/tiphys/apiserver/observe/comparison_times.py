"""How long it took to find out whether a write changes anything, with upstream's names.

Owns: ``apiserver_request_timestamp_comparison_time``, by how that was found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import DurationsBy

_BUCKETS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, float("inf"))


class ComparisonTimes:
    """One server's."""

    def __init__(self) -> None:
        self._times: DurationsBy[str] = DurationsBy(_BUCKETS)

    def took(self, path: str, seconds: float) -> None:
        """Count one comparison."""
        self._times[path].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the family as it stands."""
        family = HistogramMetricFamily(
            "apiserver_request_timestamp_comparison_time",
            "[ALPHA] Time taken for comparison of old vs new objects in UPDATE or PATCH requests",
            labels=("code_path",),
        )
        for path, times in self._times.items():
            times.add_to(family, (path,))
        yield family
