"""What a ReplicaSet wants: how many pods to make, which to delete, what its status says. Pure.

Source: apps/v1 ReplicaSet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions, podstate
from tiphys.controllers.removal import rank_for_deletion

BURST = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """``create`` pods and ``delete`` these; never both."""

    create: int = 0
    delete: list[Object] = field(default_factory=list)


def plan(
    owner: Object, pods: Sequence[Object], related: Sequence[Object] = (), now: datetime | None = None
) -> Plan:
    """Compare the wish with the active pods. ``related``: pods of the same application, for spreading."""
    active = [pod for pod in pods if podstate.is_active(pod)]
    surplus = len(active) - _replicas(owner)
    if podstate.is_deleting(owner) or surplus == 0:
        return Plan()
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    return Plan(delete=rank_for_deletion(active, related or active, now)[: min(surplus, BURST)])


def age_ratios(pods: Sequence[Object], chosen: Sequence[Object], now: datetime) -> list[int]:
    """Return how old the ready ones of the pods chosen to go are, by the age of the youngest ready one.

    Whole numbers, as upstream reckons them; where all are to go there is nothing to choose.
    """
    active = [pod for pod in pods if podstate.is_active(pod)]
    if not chosen or len(chosen) == len(active):
        return []
    ready = [_age_ms(pod, now) for pod in active if podstate.is_ready(pod)]
    youngest_ms = min(ready, default=0)
    return [_age_ms(pod, now) // youngest_ms for pod in chosen if podstate.is_ready(pod) and youngest_ms > 0]


def _age_ms(pod: Object, now: datetime) -> int:
    return int((now - parse_time(pod["metadata"]["creationTimestamp"])).total_seconds() * 1000)


def plan_status(
    owner: Object, pods: Sequence[Object], now: datetime, failure: str = "", failed_on: str = "FailedCreate"
) -> Object:
    """Count the pods. ``failure`` is the text of what went wrong on this run, empty for nothing."""
    status: Object = dict(owner.get("status") or {})
    spec = owner["spec"]
    active = [pod for pod in pods if podstate.is_active(pod)]
    wanted = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready_s = spec.get("minReadySeconds") or 0
    found: list[Object] = list(status.get("conditions") or ())
    has_failure = conditions.find(found, "ReplicaFailure") is not None
    if failure and not has_failure:
        found.append(conditions.make("ReplicaFailure", "True", failed_on, failure, now))
    elif not failure and has_failure:
        found = conditions.remove(found, "ReplicaFailure")
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(_has_labels(pod, wanted) for pod in active),
        "readyReplicas": sum(podstate.is_ready(pod) for pod in active),
        "availableReplicas": sum(podstate.available_in_s(pod, min_ready_s, now) == 0 for pod in active),
        "terminatingReplicas": sum(
            podstate.is_deleting(pod) and not podstate.is_terminal(pod) for pod in pods
        ),
    }
    # Zeroes are left out as the API's omitempty fields are, except the one that is always there.
    status = {"replicas": counts.pop("replicas"), **{key: value for key, value in counts.items() if value}}
    status["terminatingReplicas"] = counts["terminatingReplicas"]
    status["observedGeneration"] = owner["metadata"].get("generation", 0)
    if found:
        status["conditions"] = found
    return status


def recheck_s(owner: Object, pods: Sequence[Object], now: datetime) -> float | None:
    """When the next ready pod becomes available, so that the status must be counted again."""
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    if not min_ready_s:
        return None
    return podstate.earliest(
        podstate.available_in_s(pod, min_ready_s, now) for pod in pods if podstate.is_active(pod)
    )


def _replicas(owner: Object) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _has_labels(pod: Object, wanted: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())
