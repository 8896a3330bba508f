"""How authorizers decided and how their webhooks fared, with upstream's metric names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import DurationsBy

WEBHOOK: Final = "Webhook"
SUCCESS, ERROR, TIMEOUT = "success", "error", "timeout"
_PREFIX: Final = "apiserver_authorization"
_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf")
)  # fmt: skip
_CONDITION_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25, float("inf"))


@dataclass(slots=True, eq=False)
class Tally:
    """How often one authorizer has decided so. Whoever remembers its decision counts each use of it."""

    count: int = 0


class AuthorizerCounts:
    """One server's. Bare additions: they are on every request's path."""

    def __init__(self) -> None:
        self._decisions: dict[tuple[str, str, str], Tally] = {}
        self.fail_open: Counter[tuple[str, str]] = Counter()
        """By name and result: failures after which the next authorizer was asked."""
        self.excluded: Counter[str] = Counter()
        """By name: questions that its match conditions kept from a webhook."""
        self._condition_errors: Counter[str] = Counter()
        self._times: DurationsBy[tuple[str, str]] = DurationsBy(_BUCKETS)
        self._condition_times: DurationsBy[str] = DurationsBy(_CONDITION_BUCKETS)

    def tally(self, decision: str, name: str, kind: str) -> Tally:
        """Return what counts such decisions of an authorizer; only of those that had an opinion."""
        return self._decisions.setdefault((decision, name, kind), Tally())

    def asked(self, name: str, result: str, seconds: float) -> None:
        """Note that a webhook was asked."""
        self._times[name, result].observe(seconds)

    def judged(self, name: str, seconds: float, *, failed: bool) -> None:
        """Note that a webhook's match conditions were evaluated."""
        self._condition_times[name].observe(seconds)
        if failed:
            self._condition_errors[name] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        decisions = _counter(
            "decisions",
            "Total number of terminal decisions made by an authorizer split by authorizer type, name, and "
            "decision.",
            "decision", "name", "type",
        )  # fmt: skip
        for labels, tally in self._decisions.items():
            if tally.count:
                decisions.add_metric(labels, tally.count)
        yield decisions
        yield from self._webhooks()
        for name, text, counts in (
            (
                "match_condition_exclusions",
                "Total number of exclusions when an authorization webhook is skipped because match "
                "conditions exclude it.",
                self.excluded,
            ),
            (
                "match_condition_evaluation_errors",
                "Total number of errors when an authorization webhook encounters a match condition error "
                "split by authorizer type and name.",
                self._condition_errors,
            ),
        ):
            family = _counter(name, text, "name", "type")
            for webhook, count in counts.items():
                family.add_metric([webhook, WEBHOOK], count)
            yield family
        judged = HistogramMetricFamily(
            f"{_PREFIX}_match_condition_evaluation_seconds",
            "[ALPHA] Authorization match condition evaluation time in seconds, split by authorizer type and "
            "name.",
            labels=("name", "type"),
        )
        for name, durations in self._condition_times.items():
            durations.add_to(judged, (name, WEBHOOK))
        yield judged

    def _webhooks(self) -> Iterator[Metric]:
        labels = ("name", "result")
        asked = _counter("webhook_evaluations", "Round-trips to authorization webhooks.", *labels)
        times = HistogramMetricFamily(
            f"{_PREFIX}_webhook_duration_seconds", "[ALPHA] Request latency in seconds.", labels=labels
        )
        for key, durations in self._times.items():
            asked.add_metric(key, sum(durations.buckets))
            durations.add_to(times, key)
        opened = _counter(
            "webhook_evaluations_fail_open", "NoOpinion results due to webhook timeout or error.", *labels
        )
        opened.add_all(self.fail_open)
        yield from (asked, times, opened)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_{name}", f"[ALPHA] {text}", labels=labels)
