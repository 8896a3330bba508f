"""What is counted of a KMS plugin: calls, the keys under which values lie, and seeds at hand.

Owns: upstream's metric names. Keys are told by the hash of their ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.controlplane.identity import hash_of, own_hash
from tiphys.apiserver.encryption.kms_client import KmsFailed
from tiphys.apiserver.observe.durations import DurationsBy

TO_STORAGE: Final = "to_storage"
FROM_STORAGE: Final = "from_storage"
_PREFIX: Final = "apiserver_envelope_encryption"
_BUCKETS: Final = (*(0.0001 * 2**power for power in range(20)), float("inf"))
_CODE: Final = re.compile(r"code = (\w+)")


class KmsCounts:
    """Of one plugin. Values are opened and sealed often: that is bare additions."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self.cached = 0
        """Seeds at hand."""
        self.uses: Counter[tuple[str, str]] = Counter()
        """By key and direction."""
        self.last_use: dict[tuple[str, str], float] = {}
        self.last_told: dict[str, float] = {}
        self.invalid: Counter[str] = Counter()
        self.times: DurationsBy[tuple[str, str]] = DurationsBy(_BUCKETS)

    def used(self, key_id: str, direction: str) -> None:
        """Note that a value was sealed or opened under a key."""
        use = (key_id, direction)
        self.uses[use] += 1
        self.last_use[use] = self._clock.now().timestamp()

    def told(self, key_id: str) -> None:
        """Note which key the plugin names."""
        self.last_told[key_id] = self._clock.now().timestamp()

    def invalid_key_id(self, fault: str) -> None:
        """Note that the plugin named no key that can be one."""
        self.invalid["empty" if "is empty" in fault else "too_long"] += 1

    @contextmanager
    def timing(self, method: str) -> Iterator[None]:
        """Time a call, by how it ends."""
        began, code = self._clock.monotonic(), "OK"
        try:
            yield
        except KmsFailed as error:
            found = _CODE.search(str(error))
            code = found[1] if found else "unknown-non-grpc"
            raise
        finally:
            self.times[method, code].observe(self._clock.monotonic() - began)


def collect(plugins: Sequence[KmsCounts]) -> Iterator[Metric]:
    """Yield the families of all plugins."""
    if not plugins:
        return
    cached = GaugeMetricFamily(
        f"{_PREFIX}_dek_source_cache_size",
        "[ALPHA] Number of records in data encryption key (DEK) source cache. On a restart, this value is an "
        "approximation of the number of decrypt RPC calls the server will make to the KMS plugin.",
        labels=["provider_name"],
    )
    times = HistogramMetricFamily(
        f"{_PREFIX}_kms_operations_latency_seconds",
        "[ALPHA] KMS operation duration with gRPC error code status total.",
        labels=["provider_name", "method_name", "grpc_status_code"],
    )
    for plugin in plugins:
        cached.add_metric([plugin.name], plugin.cached)
        for (method, code), durations in plugin.times.items():
            durations.add_to(times, [plugin.name, method, code])
    yield from (cached, times)
    yield from _keys(plugins, own_hash())


def _keys(plugins: Sequence[KmsCounts], server: str) -> Iterator[Metric]:
    labels = ["transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash"]
    uses = CounterMetricFamily(
        f"{_PREFIX}_key_id_hash",
        "[ALPHA] Number of times a keyID is used split by transformation type, provider, and apiserver "
        "identity.",
        labels=labels,
    )
    last = GaugeMetricFamily(
        f"{_PREFIX}_key_id_hash_last_timestamp_seconds",
        "[ALPHA] The last time in seconds when a keyID was used.",
        labels=labels,
    )
    told = GaugeMetricFamily(
        f"{_PREFIX}_key_id_hash_status_last_timestamp_seconds",
        "[ALPHA] The last time in seconds when a keyID was returned by the Status RPC call.",
        labels=labels[1:],
    )
    invalid = CounterMetricFamily(
        f"{_PREFIX}_invalid_key_id_from_status",
        "[ALPHA] Number of times an invalid keyID is returned by the Status RPC call split by error.",
        labels=["provider_name", "error"],
    )
    for plugin in plugins:
        for (key_id, direction), count in plugin.uses.items():
            shown = [direction, plugin.name, hash_of(key_id), server]
            uses.add_metric(shown, count)
            last.add_metric(shown, plugin.last_use[key_id, direction])
        for key_id, at in plugin.last_told.items():
            told.add_metric([plugin.name, hash_of(key_id), server], at)
        for fault, count in plugin.invalid.items():
            invalid.add_metric([plugin.name, fault], count)
    yield from (uses, last, told, invalid)
