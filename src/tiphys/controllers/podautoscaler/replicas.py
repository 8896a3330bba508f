"""How many replicas one metric proposes: from what pods use, or from a number that stands for all. Pure.

All amounts are milli-units. Source: "Horizontal Pod Autoscaling", algorithm details.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery import quantity
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.controllers import podstate

TOLERANCE = 0.1
INITIALIZATION = timedelta(minutes=5)
READINESS_DELAY = timedelta(seconds=30)


class NoMetrics(Exception):
    """A metric cannot be had; the message says why, and ``told`` what conditions and events say of it."""

    def __init__(self, text: str, told: str = "") -> None:
        super().__init__(text)
        self.told = told or text


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pod used, up to ``at`` (None: now) over ``window_s``."""

    value: int
    at: datetime | None = None
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a ratio may be from one, without anything being done."""

    up: float = TOLERANCE
    down: float = TOLERANCE

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replicas that a metric asks for; ``average`` is what a pod used, ``utilization`` in percent."""

    replicas: int
    average: int = 0
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """A target's pods by what their readings are worth."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(pods: Iterable[Object], readings: Mapping[str, Reading], resource: str, now: datetime) -> Groups:
    """Sort pods: those that end, that have no reading, that have only begun, and the ones that count."""
    ready = 0
    unready, missing, ignored = set[str](), set[str](), set[str]()
    for pod in pods:
        name = pod["metadata"]["name"]
        if not podstate.is_active(pod):
            ignored.add(name)
        elif podstate.phase(pod) == "Pending":
            unready.add(name)
        elif name not in readings:
            missing.add(name)
        elif resource == "cpu" and _is_young(pod, readings[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_young(pod: Object, reading: Reading, now: datetime) -> bool:
    """Whether a pod's CPU is still that of its beginning, and says nothing of its work."""
    condition = get_condition(pod, "Ready")
    started_text = (pod.get("status") or {}).get("startTime")
    if condition is None or not started_text:
        return True
    started = parse_time(started_text)
    changed_text = condition.get("lastTransitionTime")
    changed = parse_time(changed_text) if changed_text else started
    not_ready = condition.get("status") == "False"
    if started + INITIALIZATION > now:
        at = reading.at or now
        return not_ready or at < changed + timedelta(seconds=reading.window_s)
    return not_ready and started + READINESS_DELAY > changed


def requests_of(pods: Iterable[Object], resource: str, container: str = "") -> dict[str, int]:
    """Return what pods (or one container of each) request. Raises NoMetrics where one requests nothing."""
    return {pod["metadata"]["name"]: _request_of(pod, resource, container) for pod in pods}


def _request_of(pod: Object, resource: str, container: str) -> int:
    name, spec = pod["metadata"]["name"], pod["spec"]
    whole = (spec.get("resources") or {}).get("requests")
    if whole and not container:
        asked = whole.get(resource) or aggregate_requests(spec).get(resource)
        if asked is None:
            raise NoMetrics(f"missing pod-level request for {resource} in Pod {name}")
        overhead = (spec.get("overhead") or {}).get(resource, "0")
        return _milli(asked) + _milli(overhead)
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    total, seen = 0, False
    for one in [*(spec.get("containers") or ()), *sidecars]:
        if container and one["name"] != container:
            continue
        asked = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if asked is None:
            raise NoMetrics(f"missing request for {resource} in container {one['name']} of Pod {name}")
        total, seen = total + _milli(asked), True
    if container and not seen:
        raise NoMetrics(f"container {container} not found in Pod {name}")
    return total


def _milli(amount: object) -> int:
    return quantity.parse(str(amount)).milli()


@dataclass(frozen=True, slots=True)
class Case:
    """What every calculation over pods needs."""

    pods: Sequence[Object]
    readings: Mapping[str, Reading]
    replicas: int
    tolerance: Tolerance
    now: datetime
    resource: str = ""


def by_utilization(case: Case, requests: Mapping[str, int], target: int) -> Proposal:
    """Propose by the percentage of requests that is used. Raises NoMetrics."""
    groups, values = _counted(case)

    def ratio_of(used: Mapping[str, int]) -> tuple[float, int, int]:
        known = [name for name in used if name in requests]
        asked = sum(requests[name] for name in known)
        if not asked:
            raise NoMetrics("no metrics returned matched known pods")
        total = sum(used[name] for name in known)
        percent = total * 100 // asked
        return percent / target, percent, total // len(known)

    _, percent, average = ratio_of(values)
    fallback = {name: requests.get(name, 0) * max(100, target) // 100 for name in groups.missing}
    replicas = _settle(case, groups, values, fallback, lambda used: ratio_of(used)[0])
    return Proposal(replicas, average, percent)


def by_average(case: Case, target: int) -> Proposal:
    """Propose by what a pod uses on average. Raises NoMetrics."""
    groups, values = _counted(case)

    def ratio_of(used: Mapping[str, int]) -> float:
        return sum(used.values()) // len(used) / target

    fallback = dict.fromkeys(groups.missing, target)
    replicas = _settle(case, groups, values, fallback, ratio_of)
    return Proposal(replicas, sum(values.values()) // len(values))


def _counted(case: Case) -> tuple[Groups, dict[str, int]]:
    if not case.pods:
        raise NoMetrics("no pods returned by selector while calculating replica count")
    groups = group(case.pods, case.readings, case.resource, case.now)
    left_out = groups.ignored | groups.unready
    values = {name: one.value for name, one in case.readings.items() if name not in left_out}
    if not values:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")
    return groups, values


def _settle(
    case: Case,
    groups: Groups,
    values: Mapping[str, int],
    fallback: Mapping[str, int],
    ratio_of: Callable[[Mapping[str, int]], float],
) -> int:
    """Let pods without a reading count against the change, and hold still where that turns it round."""
    ratio = ratio_of(values)
    growing_young = bool(groups.unready) and ratio > 1.0
    if not growing_young and not groups.missing:
        return case.replicas if case.tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    filled = dict(values)
    if ratio < 1.0:
        filled |= fallback
    elif ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if growing_young:
        filled |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(filled)
    if case.tolerance.covers(again) or (ratio < 1.0) != (again < 1.0):
        return case.replicas
    proposed = math.ceil(again * len(filled))
    if (again < 1.0 and proposed > case.replicas) or (again > 1.0 and proposed < case.replicas):
        return case.replicas
    return proposed


def by_value(
    usage: int, target: int, replicas: int, pods: Sequence[Object], tolerance: Tolerance
) -> Proposal:
    """Propose by one number against the value that it should have. Raises NoMetrics where no pod is known."""
    ratio = usage / target
    if replicas == 0:
        return Proposal(math.ceil(ratio))
    if tolerance.covers(ratio):
        return Proposal(replicas)
    if not pods:
        text = "no pods returned by selector while calculating replica count"
        raise NoMetrics(f"unable to calculate ready pods: {text}")
    ready = sum(podstate.is_ready(pod) and podstate.phase(pod) == "Running" for pod in pods)
    return Proposal(math.ceil(ratio * ready))


def by_value_per_pod(usage: int, target: int, replicas: int, tolerance: Tolerance) -> Proposal:
    """Propose by one number divided among the pods."""
    proposed = replicas
    if not replicas or not tolerance.covers(usage / (target * replicas)):
        proposed = math.ceil(usage / target)
    return Proposal(proposed, math.ceil(usage / replicas) if replicas else 0)
