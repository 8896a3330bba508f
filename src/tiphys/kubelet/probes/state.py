"""From single answers of a probe to its verdict, by its thresholds. Pure.

Source: "Configure Liveness, Readiness and Startup Probes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """When to ask, and how many equal answers make a verdict."""

    initial_delay_s: float
    period_s: float
    timeout_s: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> ProbeTimes:
        """Read a probe; what is not set has the API's defaults."""
        return cls(
            initial_delay_s=float(probe.get("initialDelaySeconds") or 0),
            period_s=float(probe.get("periodSeconds") or 10),
            timeout_s=float(probe.get("timeoutSeconds") or 1),
            success_threshold=int(probe.get("successThreshold") or 1),
            failure_threshold=int(probe.get("failureThreshold") or 3),
        )


@dataclass(frozen=True, slots=True)
class ProbeState:
    """A verdict and the run of equal answers so far; None is no verdict yet."""

    verdict: bool | None
    last: bool | None = None
    run: int = 0


INITIAL: dict[str, bool | None] = {"liveness": True, "readiness": False, "startup": None}


def step(state: ProbeState, times: ProbeTimes, *, answer: bool) -> ProbeState:
    """Return the state after one more answer."""
    run = state.run + 1 if state.last is answer else 1
    threshold = times.success_threshold if answer else times.failure_threshold
    verdict = answer if run >= threshold else state.verdict
    return ProbeState(verdict, answer, run)
