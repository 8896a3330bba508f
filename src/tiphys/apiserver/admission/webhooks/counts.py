"""What webhooks were asked and how it went: upstream's ``apiserver_admission_webhook_*``."""

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

_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0, float("inf"))
_MOST: Final = 600
"""Codes beyond are counted as this one."""
_PREFIX: Final = "apiserver_admission_webhook"


class HookCounts:
    """All webhooks of one server. ``kind`` is ``admit`` or ``validating``."""

    def __init__(self) -> None:
        self._times: DurationsBy[tuple[str, str, str, str]] = DurationsBy(_BUCKETS)
        self._requests: Counter[tuple[str, str, str, str, str]] = Counter()
        self._rejections: Counter[tuple[str, str, str, str, str]] = Counter()
        self._open: Counter[tuple[str, str]] = Counter()

    def answered(
        self, name: str, kind: str, operation: str, seconds: float, *, refused_with: int = 0
    ) -> None:
        """Count a verdict; ``refused_with`` is the code of a refusal, 0: it was allowed."""
        rejected = "true" if refused_with else "false"
        refused_with = min(refused_with, _MOST)
        self._observe((name, kind, operation, rejected), seconds, str(refused_with or 200))
        if refused_with:
            self._rejections[name, kind, operation, "no_error", str(refused_with)] += 1

    def failed(
        self, name: str, kind: str, operation: str, seconds: float, code: int, *, ignored: bool
    ) -> None:
        """Count a webhook that gave no verdict, and what ``failurePolicy`` made of it."""
        self._observe((name, kind, operation, "false" if ignored else "true"), seconds, str(code))
        if ignored:
            self._open[name, kind] += 1
        else:
            self._rejections[name, kind, operation, "calling_webhook_error", str(code)] += 1

    def broken(self, name: str, kind: str, operation: str, seconds: float) -> None:
        """Count a webhook that could not be asked, or whose patch could not be applied."""
        self._observe((name, kind, operation, "true"), seconds, "0")
        self._rejections[name, kind, operation, "apiserver_internal_error", "0"] += 1

    def _observe(self, key: tuple[str, str, str, str], seconds: float, code: str) -> None:
        self._times[key].observe(seconds)
        name, kind, operation, rejected = key
        self._requests[name, kind, operation, code, rejected] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand."""
        times = HistogramMetricFamily(
            f"{_PREFIX}_admission_duration_seconds", "[STABLE] Time of a webhook.",
            labels=("name", "type", "operation", "rejected"),
        )  # fmt: skip
        for key, durations in self._times.items():
            durations.add_to(times, key)
        yield times
        requests = CounterMetricFamily(
            f"{_PREFIX}_request", "Webhooks asked.", labels=("name", "type", "operation", "code", "rejected")
        )
        rejections = BareCounterMetricFamily(
            f"{_PREFIX}_rejection_count", "Writes that webhooks stopped.",
            labels=("name", "type", "operation", "error_type", "rejection_code"),
        )  # fmt: skip
        opened = BareCounterMetricFamily(
            f"{_PREFIX}_fail_open_count", "Failed webhooks that let writes pass.", labels=("name", "type")
        )
        requests.add_all(self._requests)
        rejections.add_all(self._rejections)
        opened.add_all(self._open)
        yield from (requests, rejections, opened)
