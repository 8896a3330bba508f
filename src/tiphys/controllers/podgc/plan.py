"""Which pods nobody will ever clean up otherwise. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate


@dataclass(slots=True)
class Plan:
    """Pods, each with why; ``orphaned`` ones are first marked Failed, the others only deleted."""

    orphaned: list[tuple[Object, str]] = field(default_factory=list)
    delete: list[tuple[Object, str]] = field(default_factory=list)


def plan(
    pods: Sequence[Object], nodes: Collection[str], out_of_service: Collection[str], threshold: int
) -> Plan:
    """Find pods of missing nodes or of nodes declared out of service, unscheduled ones on their way out, and
    the oldest of too many finished ones (``threshold`` <= 0: never)."""
    result = Plan()
    for pod in pods:
        node = _node(pod)
        deleting = podstate.is_deleting(pod)
        if node and node not in nodes:
            result.orphaned.append((pod, "orphaned"))
        elif deleting and node in out_of_service:
            result.orphaned.append((pod, "out-of-service"))
        elif not node and deleting and not podstate.is_terminal(pod):
            result.delete.append((pod, "unscheduled"))
    finished = [pod for pod in pods if podstate.is_terminal(pod) and _node(pod) in nodes]
    surplus = len(finished) - threshold
    if threshold > 0 and surplus > 0:
        finished.sort(
            key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"])
        )
        result.delete += [(pod, "terminated") for pod in finished[:surplus]]
    return result


def failed_status(pod: Object, condition: Object) -> Object:
    """Return the status of a pod whose node is gone."""
    status = dict(pod.get("status") or {})
    others = [item for item in status.get("conditions") or () if item.get("type") != condition["type"]]
    return {**status, "phase": "Failed", "conditions": [*others, condition]}


def _node(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")
