"""How many replicas a HorizontalPodAutoscaler wants: from what pods use, within bounds and pace. Pure.

Source: autoscaling/v2, "Horizontal Pod Autoscaling: algorithm details".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate

TOLERANCE = 0.1
_STABLE_DOWN_S = 300
_UP = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": 15},)

Usage = Mapping[str, Mapping[str, int]]
"""Milli-units used, by pod name and resource."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one metric proposes; ``status`` is its entry in ``currentMetrics``."""

    replicas: int
    status: Object


@dataclass(slots=True)
class Past:
    """What an autoscaler remembers between looks: proposals and changes with their times, oldest first."""

    proposals: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)


class NoMetrics(Exception):
    """A metric cannot be had; the message says why."""


def measure(metric: Object, pods: Sequence[Object], usage: Usage, replicas: int) -> Measured:
    """Propose replicas for a Resource metric. Raises NoMetrics."""
    if metric.get("type") != "Resource":
        raise NoMetrics(f"metrics of type {metric.get('type')} are not served here")
    name, target = metric["resource"]["name"], metric["resource"]["target"]
    live = [pod for pod in pods if podstate.is_active(pod)]
    if not live:
        raise NoMetrics("no pods returned by selector while calculating replica count")
    known = [pod for pod in live if name in usage.get(_name(pod), {}) and podstate.is_ready(pod)]
    if not known:
        raise NoMetrics(f"did not receive metrics for targeted pods (pods might be unready): {name}")
    used = sum(usage[_name(pod)][name] for pod in known)
    average = used // len(known)
    current: Object = {"averageValue": _milli(average)}
    if target["type"] == "Utilization":
        asked = sum(_requested(pod, name) for pod in known)
        percent = used * 100 // asked
        current["averageUtilization"] = percent
        ratio = percent / target["averageUtilization"]
    else:
        wanted = quantity.parse(str(target["averageValue"])).milli()
        ratio = average / wanted
    status = {"type": "Resource", "resource": {"name": name, "current": current}}
    return Measured(_scaled(ratio, len(known), len(live), replicas), status)


def _scaled(ratio: float, known: int, live: int, replicas: int) -> int:
    """Pods without a measure count against the change: as idle when growing, as on target when shrinking."""
    if abs(ratio - 1.0) <= TOLERANCE:
        return replicas
    unknown = live - known
    if unknown:
        filled = (ratio * known + (0.0 if ratio > 1 else 1.0) * unknown) / live
        if abs(filled - 1.0) <= TOLERANCE or (filled > 1) != (ratio > 1):
            return replicas
        return math.ceil(filled * live)
    return math.ceil(ratio * known)


def decide(scaler: Object, replicas: int, proposed: int, past: Past, now: datetime) -> tuple[int, str]:
    """Return the replicas to set and the reason for ScalingLimited (empty: unlimited)."""
    spec = scaler["spec"]
    behavior = spec.get("behavior") or {}
    past.proposals.append((now, proposed))
    up, down = behavior.get("scaleUp") or {}, behavior.get("scaleDown") or {}
    wanted = _stabilized(replicas, proposed, past, up, down, now)
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    limited = ""
    if wanted > replicas:
        ceiling = _pace(replicas, past, up, _UP, now, growing=True)
        if wanted > ceiling:
            wanted, limited = ceiling, "ScaleUpLimit"
    elif wanted < replicas:
        floor = _pace(replicas, past, down, _DOWN, now, growing=False)
        if wanted < floor:
            wanted, limited = floor, "ScaleDownLimit"
    if wanted > most:
        return most, "TooManyReplicas"
    if wanted < least:
        return least, "TooFewReplicas"
    return wanted, limited


def _stabilized(replicas: int, proposed: int, past: Past, up: Object, down: Object, now: datetime) -> int:
    """Shrink to no less than the highest recent proposal; grow to no more than the lowest."""
    up_s = up.get("stabilizationWindowSeconds", 0)
    down_s = down.get("stabilizationWindowSeconds", _STABLE_DOWN_S)
    oldest = now - timedelta(seconds=max(up_s, down_s))
    past.proposals = [item for item in past.proposals if item[0] >= oldest]
    lowest = min(value for at, value in past.proposals if at >= now - timedelta(seconds=up_s))
    highest = max(value for at, value in past.proposals if at >= now - timedelta(seconds=down_s))
    if proposed > replicas:
        return max(lowest, replicas)
    return min(max(highest, proposed), replicas)


def _pace(
    replicas: int, past: Past, rules: Object, default: Sequence[Object], now: datetime, *, growing: bool
) -> int:
    """How far the policies let go now, counting what was changed within each one's period."""
    choice = rules.get("selectPolicy") or "Max"
    if choice == "Disabled":
        return replicas
    limits = []
    for policy in rules.get("policies") or default:
        since = now - timedelta(seconds=policy["periodSeconds"])
        changed = sum(by for at, by in past.changes if at >= since and (by > 0) == growing)
        start = replicas - changed
        if policy["type"] == "Pods":
            limits.append(start + policy["value"] if growing else start - policy["value"])
        elif growing:
            limits.append(math.ceil(start * (1 + policy["value"] / 100)))
        else:
            limits.append(math.floor(start * (1 - policy["value"] / 100)))
    furthest = (max if growing else min)(limits)
    nearest = (min if growing else max)(limits)
    return max(int(furthest if choice == "Max" else nearest), 0)


def _requested(pod: Object, name: str) -> int:
    total = 0
    for container in pod["spec"].get("containers") or ():
        asked = ((container.get("resources") or {}).get("requests") or {}).get(name)
        if asked is None:
            where = f"container {container['name']} of Pod {_name(pod)}"
            raise NoMetrics(f"missing request for {name} in {where}")
        total += quantity.parse(str(asked)).milli()
    return total


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _milli(amount: int) -> str:
    return str(quantity.from_milli(amount))
