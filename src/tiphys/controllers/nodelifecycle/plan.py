"""Is a node alive, and what taints follow? Pure.

Source: core/v1 NodeCondition, "Taints and tolerations", and upstream's node lifecycle controller.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.dataclass import dataclass
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
_OLD_LABELS = {
    "kubernetes.io/os": "beta.kubernetes.io/os",
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
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


def lasting_labels(node: Object) -> dict[str, str] | None:
    """Return the labels that say system and architecture the old way as well, None if all do."""
    labels: dict[str, str] = (node.get("metadata") or {}).get("labels") or {}
    said = {**labels, **{old: labels[key] for key, old in _OLD_LABELS.items() if key in labels}}
    return said if said != labels else None


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
    ready = get_condition(node, "Ready")
    wanted: set[tuple[str, str]] = set()
    # Of a node that never said anything nothing is known until its first minute is over.
    if ready is not None and ready.get("status") != "True":
        key = NOT_READY if ready.get("status") == "False" else UNREACHABLE
        wanted |= {(key, "NoSchedule"), (key, "NoExecute")}
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    for type_, key in _PRESSURES.items():
        if (get_condition(node, type_) or {}).get("status") == "True":
            wanted.add((key, "NoSchedule"))
    return wanted


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
