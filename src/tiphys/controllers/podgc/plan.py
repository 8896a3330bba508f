"""Which pods nobody will ever clean up otherwise. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.controllers import conditions, podstate

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
ORPHANED = "orphaned"


@dataclass(slots=True)
class Plan:
    """Pods to mark Failed, where they have not ended, and to delete; each with why."""

    sweep: list[tuple[Object, str]] = field(default_factory=list)


def plan(
    pods: Sequence[Object], nodes: Collection[str], out_of_service: Collection[str], threshold: int
) -> Plan:
    """Find pods of missing nodes, those on their way out on a node that is out of service or on none at all,
    and the oldest of too many finished ones, evicted ones first (``threshold`` <= 0: never)."""
    result = Plan()
    finished: list[Object] = []
    for pod in pods:
        node, deleting = podstate.node_name(pod), podstate.is_deleting(pod)
        if node and node not in nodes:
            result.sweep.append((pod, ORPHANED))
        elif deleting and node in out_of_service:
            result.sweep.append((pod, "out-of-service"))
        elif not node and deleting:
            result.sweep.append((pod, "unscheduled"))
        elif podstate.is_terminal(pod):
            finished.append(pod)
    surplus = len(finished) - threshold
    if threshold > 0 and surplus > 0:
        finished.sort(key=_seniority)
        result.sweep += [(pod, "terminated") for pod in finished[:surplus]]
    return result


def is_out_of_service(node: Object) -> bool:
    """True for a node that somebody declared lost and that is indeed not ready."""
    taints = (node.get("spec") or {}).get("taints") or ()
    ready = (get_condition(node, "Ready") or {}).get("status") == "True"
    return not ready and any(taint.get("key") == OUT_OF_SERVICE for taint in taints)


def failed_status(pod: Object, reason: str, now: datetime) -> Object:
    """Return the status of a pod that will not run on; one whose node is gone bears why."""
    status = {**(pod.get("status") or {}), "phase": "Failed"}
    if reason != ORPHANED:
        return status
    told = conditions.make("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists", now)
    others = [item for item in status.get("conditions") or () if item.get("type") != told["type"]]
    return {**status, "conditions": [*others, told]}


def _seniority(pod: Object) -> tuple[bool, str, str]:
    meta = pod["metadata"]
    evicted = (pod.get("status") or {}).get("reason") == "Evicted"
    return not evicted, meta.get("creationTimestamp") or "", meta["name"]
