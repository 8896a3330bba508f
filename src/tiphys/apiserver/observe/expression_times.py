"""How long expressions took and what came of them, under upstream's names.

Owns: ``apiserver_cel_*`` (rules of custom kinds), ``apiserver_admission_match_condition_*`` and the checks of
validating and mutating policies. Whoever evaluates notes it here; one server has one of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import Durations, DurationsBy

_END: Final = float("inf")
_DEFAULT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, _END)
_CHECKS: Final = (0.0000005, 0.001, 0.01, 0.1, 1.0, _END)
_CONDITIONS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, _END)
_CONDITION: Final = "apiserver_admission_match_condition"
_POLICY_LABELS: Final = ("policy", "policy_binding", "error_type")

NO_ERROR: Final = "no_error"


def error_type(text: str) -> str:
    """Return the kind of a failure by its text: that of an expression, or what a validation says."""
    if text.startswith("compilation"):
        return "compile_error"
    if text.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


class Conditioned(NamedTuple):
    """Whose conditions: ``kind`` is webhook or policy, ``type`` admit or validate."""

    name: str
    kind: str
    type: str
    operation: str


class ExpressionTimes:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._compiled = Durations(_DEFAULT)
        self._evaluated = Durations(_DEFAULT)
        self._conditions: DurationsBy[Conditioned] = DurationsBy(_CONDITIONS)
        self._failed: Counter[Conditioned] = Counter()
        self._excluded: Counter[Conditioned] = Counter()
        self._validated: DurationsBy[tuple[str, ...]] = DurationsBy(_CHECKS)
        self._mutated: DurationsBy[tuple[str, ...]] = DurationsBy(_CHECKS)

    def compiled(self, seconds: float) -> None:
        """Note that the rules of a definition were compiled."""
        self._compiled.observe(seconds)

    def evaluated(self, seconds: float) -> None:
        """Note that the rules of a custom object were evaluated."""
        self._evaluated.observe(seconds)

    def conditions(self, whose: Conditioned, seconds: float, errors: int, *, excluded: bool = False) -> None:
        """Note that conditions were evaluated, how many failed, and whether a webhook was left out."""
        self._conditions[whose].observe(seconds)
        if errors:
            self._failed[whose] += errors
        if excluded:
            self._excluded[whose] += 1

    def validated(self, policy: str, binding: str, error: str, action: str, seconds: float) -> None:
        """Note what was done about one expression of a validating policy (``action``: allow, deny ...)."""
        self._validated[policy, binding, error, action].observe(seconds)

    def mutated(self, policy: str, binding: str, error: str, seconds: float) -> None:
        """Note one mutation of a policy."""
        self._mutated[policy, binding, error].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand."""
        for name, durations in (("compilation", self._compiled), ("evaluation", self._evaluated)):
            family = HistogramMetricFamily(
                f"apiserver_cel_{name}_duration_seconds", f"[BETA] CEL {name} time in seconds.", labels=()
            )
            durations.add_to(family, ())
            yield family
        yield from self._condition_families()
        labels = (*_POLICY_LABELS, "enforcement_action")
        yield from _check_families("validating", "[BETA] ", labels, self._validated)
        yield from _check_families("mutating", "", _POLICY_LABELS, self._mutated)

    def _condition_families(self) -> Iterator[Metric]:
        labels = Conditioned._fields
        times = HistogramMetricFamily(
            f"{_CONDITION}_evaluation_seconds", "Time of conditions.", labels=labels
        )
        for whose, durations in self._conditions.items():
            durations.add_to(times, whose)
        yield times
        for name, what, counts in (
            ("evaluation_errors", "Conditions that failed.", self._failed),
            ("exclusions", "Writes that webhooks were not asked about.", self._excluded),
        ):
            family = CounterMetricFamily(f"{_CONDITION}_{name}", what, labels=labels)
            family.add_all(counts)
            yield family


def _check_families(
    kind: str, stability: str, labels: Sequence[str], kept: Mapping[tuple[str, ...], Durations]
) -> Iterator[Metric]:
    prefix = f"apiserver_{kind}_admission_policy_check"
    total = CounterMetricFamily(prefix, f"{stability}Checks of {kind} policies.", labels=labels)
    times = HistogramMetricFamily(
        f"{prefix}_duration_seconds", f"{stability}Time of one expression.", labels=labels
    )
    for key, durations in kept.items():
        total.add_metric(key, sum(durations.buckets))
        durations.add_to(times, key)
    yield total
    yield times
