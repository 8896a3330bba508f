"""Is a node alive, what taints follow, and when must its pods go? Pure.

Source: core/v1 NodeCondition, "Taints and tolerations", and upstream's node lifecycle controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.meta import Object, get_condition

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_HEARTBEATS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OURS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()}


@dataclass(frozen=True, slots=True)
class Health:
    """When a node last gave a sign of life, as this controller saw it (its own steady clock, in seconds)."""

    sign: str
    seen_at: float


def sign_of_life(node: Object, lease: Object | None) -> str:
    """Return a text that changes with every heartbeat, be it the Lease or the Ready condition."""
    ready = get_condition(node, "Ready") or {}
    renewed = ((lease or {}).get("spec") or {}).get("renewTime") or ""
    return f"{ready.get('lastHeartbeatTime', '')}|{renewed}"


def observe(health: Health | None, sign: str, now_s: float) -> Health:
    """Note a heartbeat if there is a new one."""
    return health if health is not None and health.sign == sign else Health(sign, now_s)


def silent_conditions(node: Object, now: datetime) -> list[Object] | None:
    """Return the conditions of a node that went silent, None if they already say so."""
    found: list[Object] = list((node.get("status") or {}).get("conditions") or ())
    changed = False
    for type_ in _HEARTBEATS:
        present = next((item for item in found if item.get("type") == type_), None)
        if present is not None and present.get("status") == "Unknown":
            continue
        changed = True
        moment = rfc3339(now)
        if present is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            heartbeat = node["metadata"].get("creationTimestamp") or moment
        else:
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            heartbeat = present.get("lastHeartbeatTime") or moment
        fresh = {
            "type": type_,
            "status": "Unknown",
            "lastHeartbeatTime": heartbeat,
            "lastTransitionTime": moment,
            "reason": reason,
            "message": message,
        }
        found = [fresh if item is present else item for item in found] if present else [*found, fresh]
    return found if changed else None


def plan_taints(
    node: Object, now: datetime, *, may_evict: Callable[[], bool] = lambda: True, spare: bool = False
) -> list[Object] | None:
    """Return the node's taints as they should be, None if they are. Other people's taints stay.

    ``may_evict`` is asked before a taint that evicts is added; with ``spare`` there is to be none of ours.
    """
    present: list[Object] = list((node.get("spec") or {}).get("taints") or ())
    wanted = _wanted(node)
    evicting = {one for one in wanted if one[1] == "NoExecute"}
    given_up = {(item["key"], item["effect"]) for item in present} & {
        (key, "NoExecute") for key in (NOT_READY, UNREACHABLE)
    }
    # A node that was given up already stays so, whichever of the two reasons holds now.
    if spare or (evicting and not given_up and not may_evict()):
        wanted -= evicting
    kept = [item for item in present if item["key"] not in _OURS or (item["key"], item["effect"]) in wanted]
    have = {(item["key"], item["effect"]) for item in kept}
    for key, effect in sorted(wanted - have):
        taint = {"key": key, "effect": effect}
        if effect == "NoExecute":
            taint["timeAdded"] = rfc3339(now)
        kept.append(taint)
    return kept if kept != present else None


def _wanted(node: Object) -> set[tuple[str, str]]:
    ready = (get_condition(node, "Ready") or {}).get("status", "Unknown")
    wanted: set[tuple[str, str]] = set()
    if ready != "True":
        key = NOT_READY if ready == "False" else UNREACHABLE
        wanted |= {(key, "NoSchedule"), (key, "NoExecute")}
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    for type_, key in _PRESSURES.items():
        if (get_condition(node, type_) or {}).get("status") == "True":
            wanted.add((key, "NoSchedule"))
    return wanted


def undated(taints: Sequence[Object], seen: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    """Return when the NoExecute taints were seen first that do not say when they were added."""
    found = (taint_id(one) for one in taints if one.get("effect") == "NoExecute" and not one.get("timeAdded"))
    return {key: seen.get(key, now) for key in found}


def taint_id(taint: Object) -> str:
    """Return a taint as kubectl writes it."""
    return f"{taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')}"


def evict_at(
    pod: Object, taints: Sequence[Object], now: datetime, seen: Mapping[str, datetime]
) -> datetime | None:
    """When a pod must leave for its node's NoExecute taints; None: never, ``now`` or earlier: at once.

    A taint that is not tolerated at all evicts at once; of limited tolerations the shortest counts, from
    the moment the taint was added or, if it does not say, ``seen``; for later pods from their creation.
    """
    created = (pod.get("metadata") or {}).get("creationTimestamp")
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    times: list[datetime] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        matching = [item for item in tolerations if tolerates(item, taint)]
        if not matching:
            return now
        limits = [item["tolerationSeconds"] for item in matching if item.get("tolerationSeconds") is not None]
        if limits:
            added = taint.get("timeAdded")
            since = parse_time(added) if added else seen.get(taint_id(taint), now)
            since = max(since, parse_time(created)) if created else since
            times.append(since + timedelta(seconds=max(min(limits), 0)))
    return min(times, default=None)


def tolerates(toleration: Object, taint: Object) -> bool:
    """Source: core/v1 Toleration."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def not_ready_status(pod: Object, now: datetime) -> Object | None:
    """Return the status of a pod on a silent node: Ready False; None if it says so already."""
    status = pod.get("status") or {}
    ready = get_condition(pod, "Ready")
    if ready is None or ready.get("status") == "False":
        return None
    fresh = {**ready, "status": "False", "lastTransitionTime": rfc3339(now)}
    return {
        **status,
        "conditions": [fresh if item.get("type") == "Ready" else item for item in status["conditions"]],
    }
