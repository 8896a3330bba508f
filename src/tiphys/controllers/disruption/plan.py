"""How many pods a PodDisruptionBudget lets go now. Pure. Source: policy/v1 PodDisruptionBudget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.intstr import scaled
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions, podstate

EVICTION_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Plan:
    status: Object
    recheck_s: float | None = None


def plan(budget: Object, pods: Sequence[Object], expected: int, now: datetime) -> Plan:
    """Plan the status. ``pods`` match the selector; ``expected`` is how many their controllers want."""
    spec, before = budget["spec"], budget.get("status") or {}
    live = [pod for pod in pods if not podstate.is_terminal(pod)]
    minimum = spec.get("minAvailable")
    if spec.get("maxUnavailable") is not None:
        desired = max(expected - scaled(spec["maxUnavailable"], expected, round_up=True), 0)
    elif isinstance(minimum, int) or minimum is None:
        desired, expected = minimum or 0, len(live)
    else:
        desired = scaled(minimum, expected, round_up=True)
    evicted, recheck_s = _pending(before, live, now)
    names = set(evicted)
    healthy = sum(
        podstate.is_ready(pod) and not podstate.is_deleting(pod) and pod["metadata"]["name"] not in names
        for pod in live
    )
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    told = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    condition = conditions.make("DisruptionAllowed", *told, "", now)
    condition["observedGeneration"] = budget["metadata"].get("generation", 0)
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "conditions": conditions.put(list(before.get("conditions") or ()), condition),
    }
    if evicted:
        status["disruptedPods"] = evicted
    return Plan(status, recheck_s)


def _pending(before: Object, pods: Sequence[Object], now: datetime) -> tuple[dict[str, str], float | None]:
    """Evictions that were granted but whose pods are not going yet; they are believed for two minutes."""
    live = {pod["metadata"]["name"] for pod in pods if not podstate.is_deleting(pod)}
    kept: dict[str, str] = {}
    waits: list[float | None] = []
    for name, granted in (before.get("disruptedPods") or {}).items():
        left_s = (parse_time(granted) + timedelta(seconds=EVICTION_TIMEOUT_S) - now).total_seconds()
        if name in live and left_s > 0:
            kept[name] = granted
            waits.append(left_s)
    return kept, podstate.earliest(waits)
