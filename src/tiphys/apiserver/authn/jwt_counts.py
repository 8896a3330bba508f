"""How tokens of issuers fared and when their keys were fetched, with upstream's metric names.

What is counted of an issuer goes on while its configuration changes, and goes when no configuration names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from tiphys.apimachinery import featuregates
from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.controlplane.identity import hash_of, own_hash
from tiphys.apiserver.observe.durations import DurationsBy

SUCCESS: Final = "success"
FAILURE: Final = "failure"
_PREFIX: Final = "apiserver_authentication_jwt_authenticator"
_KEYS_GATE: Final = "StructuredAuthenticationConfigurationJWKSMetrics"
_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf")
)  # fmt: skip


class KeyFetches:
    """When one issuer's keys were asked for, and which came."""

    def __init__(self, issuer: str, clock: Clock) -> None:
        self.issuer_hash = hash_of(issuer)
        self._clock = clock
        self.last_s: dict[str, float] = {}
        self.key_set_hash = ""
        self.times: DurationsBy[str] = DurationsBy(_BUCKETS)
        """How long it took to check tokens that were not remembered, by result."""

    def succeeded(self, key_set: bytes) -> None:
        """Note that these keys came."""
        self.key_set_hash = f"sha256:{hashlib.sha256(key_set).hexdigest()}"
        self._note(SUCCESS)

    def failed(self) -> None:
        """Note that none came."""
        self._note(FAILURE)

    def _note(self, result: str) -> None:
        self.last_s[result] = self._clock.now().timestamp()

    def checked(self, result: str, seconds: float) -> None:
        """Note how long it took to check a token that names this issuer."""
        self.times[result].observe(seconds)


def collect(issuers: Iterable[KeyFetches]) -> Iterator[Metric]:
    """Yield the families of these issuers as they stand."""
    latency = HistogramMetricFamily(
        f"{_PREFIX}_latency_seconds",
        "[ALPHA] Latency of jwt authentication operations in seconds. This is the time spent authenticating "
        "a token for cache miss only (i.e. when the token is not found in the cache).",
        labels=["result", "jwt_issuer_hash"],
    )
    issuers = tuple(issuers)
    for issuer in issuers:
        for result, times in issuer.times.items():
            times.add_to(latency, (result, issuer.issuer_hash))
    yield latency
    if featuregates.on(_KEYS_GATE):
        yield from _fetches(issuers)


def _fetches(issuers: Iterable[KeyFetches]) -> Iterator[Metric]:
    server = own_hash()
    last = GaugeMetricFamily(
        f"{_PREFIX}_jwks_fetch_last_timestamp_seconds",
        "[ALPHA] Timestamp of the last successful or failed JWKS fetch split by result, api server identity "
        "and jwt issuer for the JWT authenticator.",
        labels=["result", "jwt_issuer_hash", "apiserver_id_hash"],
    )
    info = GaugeMetricFamily(
        f"{_PREFIX}_jwks_fetch_last_key_set_info",
        "[ALPHA] Information about the last JWKS fetched by the JWT authenticator with hash as label, split "
        "by api server identity and jwt issuer.",
        labels=["jwt_issuer_hash", "apiserver_id_hash", "hash"],
    )
    for issuer in issuers:
        for result, moment in issuer.last_s.items():
            last.add_metric([result, issuer.issuer_hash, server], moment)
        if issuer.key_set_hash:
            info.add_metric([issuer.issuer_hash, server, issuer.key_set_hash], 1)
    yield from (last, info)
