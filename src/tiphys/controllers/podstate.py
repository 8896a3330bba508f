"""What controllers ask of a pod: is it active, ready, available? Pure.

Source: upstream's pod utilities (readiness, availability, activity).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object, controller_of, get_condition

TERMINAL = ("Succeeded", "Failed")


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def node_name(pod: Object) -> str:
    """Return where it runs, or is to; empty: that is not decided."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_owner(pod: Object, claim: Object) -> bool:
    """Whether a claim was made for this pod, not for another or by hand."""
    owner = controller_of(claim)
    return owner is not None and owner.get("uid") == pod["metadata"]["uid"]


def is_terminal(pod: Object) -> bool:
    return phase(pod) in TERMINAL


def is_deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_active(pod: Object) -> bool:
    """Neither finished nor on its way out: counts towards a desired number."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_ready(pod: Object) -> bool:
    condition = get_condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def ready_since(pod: Object) -> datetime | None:
    """When the Ready condition last became True."""
    condition = get_condition(pod, "Ready")
    if condition is None or condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    return parse_time(condition["lastTransitionTime"])


def available_in_s(pod: Object, min_ready_s: int, now: datetime) -> float | None:
    """Seconds until a ready pod counts as available; 0 if it does, None while it is not ready."""
    if not is_ready(pod):
        return None
    since = ready_since(pod)
    if min_ready_s == 0:
        return 0.0
    if since is None:
        return float(min_ready_s)
    return max((since + timedelta(seconds=min_ready_s) - now).total_seconds(), 0.0)


def restarts(pod: Object) -> int:
    """The highest restart count among the pod's containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((status.get("restartCount") or 0 for status in statuses), default=0)


def earliest(times: Iterable[float | None]) -> float | None:
    """The smallest positive wait, if any."""
    return min((time for time in times if time is not None and time > 0), default=None)


def node_of(pod: Object) -> list[str]:
    """Return the node that a pod runs on, for an index; ended pods are on none."""
    name = (pod.get("spec") or {}).get("nodeName")
    return [name] if name and not is_terminal(pod) else []
