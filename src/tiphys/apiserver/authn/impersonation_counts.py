"""How attempts to speak as another fared, with upstream's metric names.

Owns: what is counted of each attempt and of each right that was asked for on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.durations import DurationsBy

ALLOWED: Final = "allowed"
DENIED: Final = "denied"
_PREFIX: Final = "apiserver_impersonation"
_LABELS: Final = ("mode", "decision")
_BUCKETS: Final = (*(0.001 * 2**power for power in range(15)), float("inf"))
_Times = DurationsBy[tuple[str, str]]


class Decides(Protocol):
    """Says whether a user may do something."""

    async def decide(self, user: User, info: RequestInfo) -> Decision: ...


class ImpersonationCounts:
    """One server's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: _Times = DurationsBy(_BUCKETS)
        self._checks: _Times = DurationsBy(_BUCKETS)

    def attempted(self, mode: str, decision: str, seconds: float) -> None:
        """Note an attempt; one that failed is of no mode."""
        self._attempts[mode, decision].observe(seconds)

    def asking(self, authorizer: Decides, mode: str) -> Decides:
        """Return an authorizer that notes what it is asked on behalf of a mode."""
        return _Asking(authorizer, mode, self._checks, self._clock)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        for times, name, what in (
            (self._attempts, "attempts", "impersonation attempts"),
            (
                self._checks,
                "authorization_attempts",
                "authorization checks made by the impersonation handler",
            ),
        ):
            total = CounterMetricFamily(
                f"{_PREFIX}_{name}",
                f"[ALPHA] Total number of {what} split by mode and decision.",
                labels=_LABELS,
            )
            spread = HistogramMetricFamily(
                f"{_PREFIX}_{name}_duration_seconds",
                f"[ALPHA] Latency of {what} in seconds split by mode and decision.",
                labels=_LABELS,
            )
            for labels, durations in times.items():
                total.add_metric(labels, sum(durations.buckets))
                durations.add_to(spread, labels)
            yield total
            yield spread


class _Asking:
    def __init__(self, authorizer: Decides, mode: str, times: _Times, clock: Clock) -> None:
        self._now = clock.monotonic
        self._authorizer = authorizer
        self._mode = mode
        self._times = times

    async def decide(self, user: User, info: RequestInfo) -> Decision:
        began = self._now()
        decision = await self._authorizer.decide(user, info)
        self._times[self._mode, ALLOWED if decision.allowed else DENIED].observe(self._now() - began)
        return decision
