"""What is counted of values that were sealed and opened, by resource and cipher, with upstream's names.

Owns: ``apiserver_storage_transformation_*``. Refuses: the calls of plugins (``kms_counts``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import DurationsBy

TO_STORAGE: Final = "to_storage"
FROM_STORAGE: Final = "from_storage"
IDENTITY: Final = "identity"
UNKNOWN: Final = "unknown"
"""For a prefix: none of the ciphers is meant."""
_FAILED: Final = "unknown-non-grpc"
_BUCKETS: Final = (*(5e-6 * 2**power for power in range(25)), float("inf"))
_LABELS: Final = ("resource", "transformation_type", "transformer_prefix")


class Transformations:
    """One server's. Values are opened and sealed often: that is an addition and an entry in a list."""

    def __init__(self) -> None:
        self._times: DurationsBy[tuple[str, str, str]] = DurationsBy(_BUCKETS)
        self._failed: Counter[tuple[str, str, str]] = Counter()

    def done(self, resource: str, direction: str, family: bytes, seconds: float) -> None:
        """Count a value that was sealed or opened."""
        self._times[resource, direction, _prefix(family)].observe(seconds)

    def failed(self, resource: str, direction: str, family: bytes | None) -> None:
        """Count one that was not; ``family`` None: nothing here has sealed it."""
        self._failed[resource, direction, UNKNOWN if family is None else _prefix(family)] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        times = HistogramMetricFamily(
            "apiserver_storage_transformation_duration_seconds",
            "[ALPHA] Latencies in seconds of value transformation operations.",
            labels=_LABELS,
        )
        counts = CounterMetricFamily(
            "apiserver_storage_transformation_operations",
            "[ALPHA] Total number of transformations. Successful transformation will have a status 'OK' and "
            "a varied status string when the transformation fails. The status, resource, and "
            "transformation_type fields can be used for alerting purposes. For example, you can monitor for "
            "encryption/decryption failures using the transformation_type (e.g., from_storage for decryption "
            "and to_storage for encryption). Additionally, these fields can be used to ensure that the "
            "correct transformers are applied to each resource.",
            labels=(*_LABELS, "status"),
        )
        for labels, durations in self._times.items():
            durations.add_to(times, labels)
            counts.add_metric((*labels, "OK"), sum(durations.buckets))
        for labels, count in self._failed.items():
            counts.add_metric((*labels, _FAILED), count)
        yield from (times, counts)


def _prefix(family: bytes) -> str:
    return family.decode() or IDENTITY
