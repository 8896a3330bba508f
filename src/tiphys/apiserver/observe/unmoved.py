"""Families that upstream's server shows from its start and that nothing here moves.

They are about plugins of KMS v1, which are not built: they stay as upstream's do where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import Durations

_GENERATING: Final = (*(5e-6 * 2**power for power in range(14)), float("inf"))


def unmoved() -> Iterator[Metric]:
    """Yield them."""
    yield GaugeMetricFamily(
        "apiserver_envelope_encryption_dek_cache_fill_percent",
        "[ALPHA] Percent of the cache slots currently occupied by cached DEKs.",
        value=0,
    )
    yield CounterMetricFamily(
        "apiserver_storage_data_key_generation_failures",
        "[ALPHA] Total number of failed data encryption key(DEK) generation operations.",
        value=0,
    )
    yield CounterMetricFamily(
        "apiserver_storage_envelope_transformation_cache_misses",
        "[ALPHA] Total number of cache misses while accessing key decryption key(KEK).",
        value=0,
    )
    generating = HistogramMetricFamily(
        "apiserver_storage_data_key_generation_duration_seconds",
        "[ALPHA] Latencies in seconds of data encryption key(DEK) generation operations.",
    )
    Durations(_GENERATING).add_to(generating, ())
    yield generating
