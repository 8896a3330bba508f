"""What clients count of their calls, with upstream's names (``rest_client_*``), whatever process they are in.

Owns: the families, and what one host's calls come to. Transports count here, and the API server's webhooks.
Clients do not hold themselves back, and run no foreign programs for credentials: of those nothing is counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tiphys.apimachinery.families import Registry
from tiphys.client.counting import Count, Counts, Levels, Spread, Spreads

REGISTRY: Final = Registry()
FAILED: Final = "<error>"
"""The code of a call that nobody has answered."""

_SIZES = (64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_HOUR, _DAY = 3600.0, 86400.0
_ROTATIONS = (
    600.0, 1800.0, _HOUR, 4 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 180 * _DAY, 360 * _DAY, 1440 * _DAY
)  # fmt: skip

REQUESTS = Counts("rest_client_requests", "[ALPHA] API calls made.", ["code", "method", "host"], REGISTRY)
RETRIES = Counts(
    "rest_client_request_retries", "[ALPHA] API calls made once more.", ["code", "verb", "host"], REGISTRY
)
REQUEST_SECONDS = Spreads(
    "rest_client_request_duration_seconds", "[ALPHA] Time that API calls took.", ["verb", "host"],
    _SECONDS, REGISTRY,
)  # fmt: skip
RESOLVER_SECONDS = Spreads(
    "rest_client_dns_resolution_duration_seconds", "[ALPHA] Time that looking up hosts took.", ["host"],
    _SECONDS[:-1], REGISTRY,
)  # fmt: skip
REQUEST_BYTES = Spreads(
    "rest_client_request_size_bytes", "[ALPHA] Bytes of what was sent.", ["verb", "host"], _SIZES, REGISTRY
)
RESPONSE_BYTES = Spreads(
    "rest_client_response_size_bytes", "[ALPHA] Bytes of what was answered.", ["verb", "host"], _SIZES,
    REGISTRY,
)  # fmt: skip
_TRANSPORTS = Counts(
    "rest_client_transport_create_calls", "[ALPHA] Transports made: each client has one of its own.",
    ["result"], REGISTRY,
)  # fmt: skip
Levels(
    "rest_client_transport_cache_entries", "[ALPHA] Transports kept for others: there are none.", [], REGISTRY
)
_EXEC_TTL = Levels(
    "rest_client_exec_plugin_ttl_seconds",
    "[ALPHA] Gauge of the shortest TTL (time-to-live) of the client certificate(s) managed by the auth exec "
    "plugin. The value is in seconds until certificate expiry (negative if already expired). If auth exec "
    "plugins are unused or manage no TLS certificates, the value will be +INF.",
    [],
    REGISTRY,
)
_EXEC_TTL.labels().set(float("inf"))  # as there are no such plugins here
Spreads(
    "rest_client_exec_plugin_certificate_rotation_age",
    "[ALPHA] Histogram of the number of seconds the last auth exec plugin client certificate lived before "
    "being rotated. If auth exec plugin client certificates are unused, histogram will contain no data.",
    [], _ROTATIONS, REGISTRY,
)  # fmt: skip


class CallCounts:
    """The calls of one client to one host (with its port, as URLs have it)."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._requests: dict[tuple[str, str], Count] = {}
        self._spreads: dict[str, tuple[Spread, Spread, Spread]] = {}

    def answered(self, method: str, code: str, seconds: float, sent: int, received: int) -> None:
        """Count a call whose answer has been read, and the bytes of the bodies."""
        self.began(method, code)
        took, sizes, answers = self._spreads_of(method)
        took.observe(seconds)
        sizes.observe(sent)
        answers.observe(received)

    def failed(self, method: str, seconds: float, sent: int) -> None:
        """Count a call that nobody has answered."""
        self.began(method, FAILED)
        took, sizes, _ = self._spreads_of(method)
        took.observe(seconds)
        sizes.observe(sent)

    def began(self, method: str, code: str) -> None:
        """Count a call alone: all that is known of one whose answer goes on, as that of a watch."""
        count = self._requests.get((code, method))
        if count is None:
            count = self._requests[code, method] = REQUESTS.labels(code, method, self._host)
        count.value += 1

    def again(self, method: str, code: str) -> None:
        """Count a call that is made once more as it was answered with ``code``."""
        RETRIES.labels(code, method, self._host).inc()

    def _spreads_of(self, method: str) -> tuple[Spread, Spread, Spread]:
        spreads = self._spreads.get(method)
        if spreads is None:
            took, sizes, answers = (
                family.labels(method, self._host)
                for family in (REQUEST_SECONDS, REQUEST_BYTES, RESPONSE_BYTES)
            )
            spreads = self._spreads[method] = (took, sizes, answers)
        return spreads


@lru_cache(maxsize=256)
def calls_to(host: str) -> CallCounts:
    """Return where calls to a host are counted, for those who have no transport to it of their own."""
    return CallCounts(host)


def made() -> None:
    """Count a transport that was made for one client alone."""
    _TRANSPORTS.labels("uncacheable").inc()


def resolved(host: str, seconds: float) -> None:
    """Count a look-up of a host by its name, whatever came of it."""
    RESOLVER_SECONDS.labels(host).observe(seconds)
