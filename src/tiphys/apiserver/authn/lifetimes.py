"""How long the certificates that requests come with still hold: what tells that some are about to end.

Owns: ``apiserver_client_certificate_expiration_seconds``. A connection's later requests are not looked at one
by one: those that were counted since the last look are as far from the end as the certificate is then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import HistogramMetricFamily, Metric
from tiphys.apiserver.authn.attempts import Seen
from tiphys.apiserver.observe.durations import Durations
from tiphys.wire.client_certificates import end_of

_BUCKETS_HOURS: Final = (0, 0.5, 1, 2, 6, 12, 24, 48, 96, 168, 720, 2160, 4320, 8640, float("inf"))
_BUCKETS: Final = tuple(3600.0 * hours for hours in _BUCKETS_HOURS)


class Lifetimes:
    """One server's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = Durations(_BUCKETS)
        self._followed: dict[Seen, tuple[datetime, int]] = {}
        """Whose requests count, until when the certificate holds, and how many were told."""

    def observe(self, certificate: bytes) -> None:
        """Note a request with a certificate (DER)."""
        self._left.observe(self._left_s(end_of(certificate)))

    def follow(self, certificate: bytes, seen: Seen) -> None:
        """Note the requests that are counted there from now on as well."""
        if seen not in self._followed:
            self._followed[seen] = (end_of(certificate), seen.count)

    def collect(self) -> Iterator[Metric]:
        """Yield the family as it stands."""
        for seen, (end, told) in list(self._followed.items()):
            left_s = self._left_s(end)
            self._left.add(bisect_left(_BUCKETS, left_s), seen.count - told, left_s)
            if left_s < 0:
                del self._followed[seen]  # it is believed no more
            else:
                self._followed[seen] = (end, seen.count)
        family = HistogramMetricFamily(
            "apiserver_client_certificate_expiration_seconds",
            "[ALPHA] Distribution of the remaining lifetime on the certificate used to authenticate a "
            "request.",
        )
        self._left.add_to(family, ())
        yield family

    def _left_s(self, end: datetime) -> float:
        return (end - self._clock.now()).total_seconds()
