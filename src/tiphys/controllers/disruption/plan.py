"""How many pods a PodDisruptionBudget lets go now. Pure. Source: policy/v1 PodDisruptionBudget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.go_text import label_selector
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
    if minimum is None and spec.get("maxUnavailable") is None:
        desired, expected = 0, 0  # it says nothing: nothing may go
    elif counts_pods(budget):
        desired, expected = minimum or 0, len(live)
    elif spec.get("maxUnavailable") is not None:
        desired = max(expected - scaled(spec["maxUnavailable"], expected, round_up=True), 0)
    else:
        desired = scaled(minimum or 0, expected, round_up=True)
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
        "conditions": conditions.put(list(before.get("conditions") or ()), condition, on_message=True),
    }
    if evicted:
        status["disruptedPods"] = evicted
    return Plan(status, recheck_s)


def counts_pods(budget: Object) -> bool:
    """True if the budget is a number of pods: it does not matter then what their controllers want."""
    spec = budget["spec"]
    minimum = spec.get("minAvailable")
    return spec.get("maxUnavailable") is None and (minimum is None or isinstance(minimum, int))


def failed_status(budget: Object, message: str, now: datetime) -> Object:
    """Return the status of a budget for which it is not known how many pods are wanted."""
    before = budget.get("status") or {}
    condition = conditions.make("DisruptionAllowed", "False", "SyncFailed", message, now)
    condition["observedGeneration"] = before.get("observedGeneration", 0)
    found = conditions.put(list(before.get("conditions") or ()), condition, on_message=True)
    return {**before, "disruptionsAllowed": 0, "conditions": found}


def events(budget: Object, pods: Sequence[Object], unmanaged: int) -> list[tuple[str, str, str]]:
    """Return what people should know of the pods; ``unmanaged`` is how many have no controller."""
    if not pods:
        return [("Normal", "NoPods", "No matching pods found")]
    if not unmanaged or counts_pods(budget):
        return []
    selector = label_selector(budget["spec"].get("selector") or {})
    text = (
        f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be "
        "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
        'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to '
        "an integer value."
    )
    return [("Warning", "UnmanagedPods", text)]


def overdue(budget: Object, pods: Sequence[Object], now: datetime) -> list[Object]:
    """Return the pods whose eviction was granted so long ago that it is not believed any more."""
    granted = (budget.get("status") or {}).get("disruptedPods") or {}
    return [
        pod
        for pod in pods
        if pod["metadata"]["name"] in granted
        and not podstate.is_deleting(pod)
        and parse_time(granted[pod["metadata"]["name"]]) + timedelta(seconds=EVICTION_TIMEOUT_S) < now
    ]


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
