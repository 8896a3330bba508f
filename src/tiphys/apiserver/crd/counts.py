"""What custom kinds are counted by, with upstream's names.

Owns: how often definitions had OpenAPI documents made anew (``apiextensions_openapi_*``; what was served when
a server began is not counted), what webhooks that convert were asked and how long they took
(``apiserver_conversion_webhook_*``, ``apiserver_crd_conversion_webhook_duration_seconds``), and how long it
took to compare objects with what they were (``apiextensions_apiserver_validation_ratcheting_seconds``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tiphys.apimachinery.families import (
    BareCounterMetricFamily,
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from tiphys.apiserver.observe.durations import Durations, DurationsBy

_END: Final = float("inf")
_ASKED: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, _END)
_CONVERTED: Final = (*(0.001 * 2**power for power in range(15)), _END)
_COMPARED: Final = (
    0.00001, 0.00004, 0.00016, 0.00064, 0.00256, 0.01024, 0.04096, 0.16384, 0.65536, 2.62144, _END
)  # fmt: skip
_RESULT: Final = ("result", "failure_type")
_CONVERSION: Final = ("crd_name", "from_version", "to_version", "succeeded")


class Counts:
    """One server's. Documents are counted once it is ``open``."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.open = False
        self._documents: Counter[tuple[str, str]] = Counter()
        self._versions: Counter[tuple[str, str, str, str]] = Counter()
        self._asked: DurationsBy[tuple[str, str]] = DurationsBy(_ASKED)
        self._converted: DurationsBy[tuple[str, str, str, str]] = DurationsBy(_CONVERTED)
        self._compared = Durations(_COMPARED)

    def changed(self, crd: str, before: object, now: object) -> None:
        """Count a change of what a definition publishes; nothing (None) where it publishes no kinds."""
        if self.open and before != now:
            self._documents[crd, _reason(before, now)] += 1

    def versions_changed(
        self, crd: str, group: str, before: Mapping[str, object], now: Mapping[str, object]
    ) -> None:
        """Count the same of each of its versions, by what tells one state of it from others."""
        for version in dict.fromkeys((*before, *now)) if self.open else ():
            old, new = before.get(version), now.get(version)
            if old != new:
                self._versions[crd, group, version, _reason(old, new)] += 1

    def asked(self, seconds: float, failure: str = "") -> None:
        """Count a call of a webhook that converts, and why it failed."""
        self._asked["failure" if failure else "success", failure].observe(seconds)

    def converted(self, crd: str, versions: tuple[str, str], seconds: float, *, succeeded: bool) -> None:
        """Count a conversion from one version to another."""
        self._converted[crd, *versions, "true" if succeeded else "false"].observe(seconds)

    def compared(self, compare: Callable[[], bool]) -> bool:
        """Compare, and count how long that took."""
        began = self.monotonic()
        found = compare()
        self._compared.observe(self.monotonic() - began)
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        family = BareCounterMetricFamily(
            "apiextensions_openapi_v2_regeneration_count",
            "[ALPHA] Changes of the document by the definition and the reason.", labels=("crd", "reason"),
        )  # fmt: skip
        family.add_all(self._documents)
        yield family
        versions = BareCounterMetricFamily(
            "apiextensions_openapi_v3_regeneration_count",
            "[ALPHA] Changes of a version's document by the definition and the reason.",
            labels=("crd", "group", "version", "reason"),
        )
        versions.add_all(self._versions)
        yield versions
        yield from self._conversions()
        compared = HistogramMetricFamily(
            "apiextensions_apiserver_validation_ratcheting_seconds",
            "[ALPHA] Comparing an object with what it was before an update, in seconds.",
        )
        self._compared.add_to(compared, ())
        yield compared

    def _conversions(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "apiserver_conversion_webhook_request_total",
            "[ALPHA] Calls of webhooks that convert, by what came of them.", labels=_RESULT,
        )  # fmt: skip
        asked = HistogramMetricFamily(
            "apiserver_conversion_webhook_duration_seconds",
            "[ALPHA] How long webhooks that convert took, by what came of it.", labels=_RESULT,
        )  # fmt: skip
        for labels, durations in self._asked.items():
            total.add_metric(labels, sum(durations.buckets))
            durations.add_to(asked, labels)
        converted = HistogramMetricFamily(
            "apiserver_crd_conversion_webhook_duration_seconds",
            "[ALPHA] How long conversions by webhooks took, by the definition and the versions.",
            labels=_CONVERSION,
        )
        for conversion, durations in self._converted.items():
            durations.add_to(converted, conversion)
        yield from (total, asked, converted)


def _reason(before: object, now: object) -> str:
    return "add" if before is None else "remove" if now is None else "update"
