"""What an autoscaler does with a proposal: within bounds, at its pace, after calm. Pure.

Source: autoscaling/v2, "Configurable scaling behavior".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime, timedelta

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers.podautoscaler.replicas import TOLERANCE, Tolerance

_STABLE_DOWN_S = 300
_DOUBLE, _AT_LEAST = 2, 4
"""Without rules of its own an autoscaler grows to twice its size, or to four."""
_UP = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": 15},)
_LIMITED = {
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
}


@dataclass(slots=True)
class Past:
    """What an autoscaler remembers between looks: proposals and changes with their times, oldest first."""

    proposals: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The replicas to set; ``able`` and ``limited`` are (status, reason, message) of those conditions."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


def tolerance_of(scaler: Object) -> Tolerance:
    """Return how far a ratio may be off, as the rules say."""
    behavior = scaler["spec"].get("behavior") or {}

    def of(rules: Object) -> float:
        text = rules.get("tolerance")
        return TOLERANCE if text is None else float(quantity.parse(str(text)).amount)

    return Tolerance(of(behavior.get("scaleUp") or {}), of(behavior.get("scaleDown") or {}))


def decide(scaler: Object, replicas: int, proposed: int, past: Past, now: datetime) -> Verdict:
    """Return what to do with a proposal, which is remembered."""
    spec = scaler["spec"]
    past.proposals.append((now, proposed))
    if spec.get("behavior") is None:
        calm = _highest(proposed, past, now)
    else:
        calm = _stabilized(spec["behavior"], replicas, proposed, past, now)
    wanted, limited = _paced(spec, replicas, calm, past, now)
    if limited:
        why = ("True", limited, _LIMITED[limited])
    else:
        why = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
    return Verdict(wanted, _able(proposed, calm), why)


def _able(proposed: int, calm: int) -> tuple[str, str, str]:
    if calm < proposed:
        text = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return "True", "ScaleUpStabilized", text
    if calm > proposed:
        text = (
            "recent recommendations were higher than current one, applying the highest recent recommendation"
        )
        return "True", "ScaleDownStabilized", text
    return "True", "ReadyForNewScale", "recommended size matches current size"


def _paced(spec: Object, replicas: int, calm: int, past: Past, now: datetime) -> tuple[int, str]:
    behavior = spec.get("behavior")
    rules = behavior or {}
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    wanted, limited = calm, ""
    if calm > replicas:
        ceiling = max(_DOUBLE * replicas, _AT_LEAST)
        if behavior is not None:
            pace = _pace(replicas, past, rules.get("scaleUp") or {}, _UP, now, growing=True)
            ceiling = max(pace, replicas)
        if wanted > ceiling and ceiling < most:
            wanted, limited = ceiling, "ScaleUpLimit"
    elif calm < replicas and behavior is not None:
        pace = _pace(replicas, past, rules.get("scaleDown") or {}, _DOWN, now, growing=False)
        floor = min(pace, replicas)
        if wanted < floor and floor > least:
            wanted, limited = floor, "ScaleDownLimit"
    if wanted > most:
        return most, "TooManyReplicas"
    if wanted < least:
        return least, "TooFewReplicas"
    return wanted, limited


def _highest(proposed: int, past: Past, now: datetime) -> int:
    """Without rules the highest recent proposal counts, also where it is more than there is now."""
    oldest = now - timedelta(seconds=_STABLE_DOWN_S)
    past.proposals = [item for item in past.proposals if item[0] >= oldest]
    return max((value for _, value in past.proposals), default=proposed)


def _stabilized(rules: Object, replicas: int, proposed: int, past: Past, now: datetime) -> int:
    """Shrink to no less than the highest recent proposal; grow to no more than the lowest."""
    up_s = (rules.get("scaleUp") or {}).get("stabilizationWindowSeconds") or 0
    down_s = (rules.get("scaleDown") or {}).get("stabilizationWindowSeconds", _STABLE_DOWN_S)
    oldest = now - timedelta(seconds=max(up_s, down_s))
    past.proposals = [item for item in past.proposals if item[0] >= oldest]
    recent = [(now - at, value) for at, value in past.proposals]
    # What an autoscaler starts from is a proposal of this very moment: a window of nothing has it not.
    lowest = min((value for age, value in recent if age < timedelta(seconds=up_s)), default=proposed)
    highest = max((value for age, value in recent if age < timedelta(seconds=down_s)), default=proposed)
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
        changed = sum(by for at, by in past.changes if at > since)
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
