"""How long filters took and how authorization ended, with upstream's names.

Owns: ``apiserver_request_filter_duration_seconds`` of the filters that find out who asks, note it, take them
for another, have them wait for their turn and find out whether they may; ``authorization_attempts_total`` and
``authorization_duration_seconds``. Requests like an earlier one are not asked about anew: they are counted as
having taken no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.observe.durations import Durations

_FILTERS: Final = (
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 10.0, 15.0, 30.0, float("inf")
)  # fmt: skip
_DECISIONS: Final = (*(0.001 * 2**power for power in range(15)), float("inf"))
_ALLOWED: Final = "allowed"
_RESULTS: Final = (_ALLOWED, "denied", "no-opinion", "error")


class FilterTimes:
    """One server's."""

    def __init__(self, attempts: Attempts, *, audits: bool = False, queues: bool = False) -> None:
        self._attempts = attempts
        self._audits, self._queues = audits, queues
        self._noted, self._spoken_for, self._turns = (Durations(_FILTERS) for _ in range(3))
        self._who = Durations(_FILTERS)
        self._whether = Durations(_FILTERS)
        self._decided = {result: Durations(_DECISIONS) for result in _RESULTS}
        self.allowed_at_once = 0
        """Requests that were known to be allowed. On their path: an addition."""
        self.as_themselves = 0
        """Requests of users who had to be found out, and who spoke for nobody else."""
        self.entered = 0
        """Requests that did not wait for their turn, but for the quick ones."""
        self.quick = 0
        """Requests that were answered without the chain: known, allowed, their turn."""

    def identified(self, seconds: float) -> None:
        """Note that it was found out who asks, or that nobody knows."""
        self._who.observe(seconds)

    def noted(self, seconds: float) -> None:
        """Note that the audit has heard of a request."""
        self._noted.observe(seconds)

    def spoke_for(self, seconds: float) -> None:
        """Note that a user may act as another."""
        self._spoken_for.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Note that a request's turn came at last."""
        self._turns.observe(seconds)

    def decided(self, decision: Decision | None, seconds: float) -> None:
        """Note that authorizers were asked; None: they could not tell."""
        if decision is not None and decision.allowed:
            self._whether.observe(seconds)
        self._decided[_result(decision)].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        at_once = self.allowed_at_once + self.quick
        attempts = CounterMetricFamily(
            "authorization_attempts",
            "[ALPHA] Counter of authorization attempts broken down by result. It can be either 'allowed', "
            "'denied', 'no-opinion' or 'error'.",
            labels=("result",),
        )
        took = HistogramMetricFamily(
            "authorization_duration_seconds",
            "[ALPHA] Authorization duration in seconds broken out by result.",
            labels=("result",),
        )
        for result, durations in self._decided.items():
            times = durations.plus(0, at_once) if result == _ALLOWED else durations
            if count := sum(times.buckets):
                attempts.add_metric([result], count)
                times.add_to(took, [result])
        yield from (self._filters(), attempts, took)

    def _filters(self) -> Metric:
        """Return how long each filter took of those that it let pass."""
        filters = HistogramMetricFamily(
            "apiserver_request_filter_duration_seconds", "[ALPHA] Time of filters.", labels=("filter",)
        )
        asked = self._attempts
        known = max(asked.total - sum(self._who.buckets), 0)
        unnoted = 0 if self._audits else asked.succeeded
        self._who.plus(0, known).add_to(filters, ["authentication"])
        self._noted.plus(0, unnoted).add_to(filters, ["audit"])
        self._spoken_for.plus(0, asked.at_once + self.as_themselves).add_to(filters, ["impersonation"])
        if self._queues:
            self._turns.plus(0, self.entered + self.quick).add_to(filters, ["priorityandfairness"])
        self._whether.plus(0, self.allowed_at_once + self.quick).add_to(filters, ["authorization"])
        return filters


def _result(decision: Decision | None) -> str:
    if decision is None:
        return "error"
    if decision.allowed:
        return _ALLOWED
    if decision.error:
        return "error"
    return "denied" if decision.denied else "no-opinion"
