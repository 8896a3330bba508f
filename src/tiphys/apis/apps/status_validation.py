"""Rules of what controllers write into the statuses of workloads."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import not_negative

StatusRule = Callable[[Object, Object], list[FieldError]]


def _rule(
    counts: tuple[str, ...],
    within: tuple[str, ...] = (),
    *,
    ready: str = "",
    collisions: bool = True,
) -> StatusRule:
    """Make a kind's rule: its counts, those that are part of ``replicas``, how ``ready`` is named."""

    def check(new: Object, old: Object) -> list[FieldError]:
        status = peek(new, "status")
        faults = not_negative(status, "status", *counts)
        total = status.get("replicas") or 0
        for key in within:
            if (status.get(key) or 0) > total:
                text = "cannot be greater than status.replicas"
                faults.append(invalid(f"status.{key}", status.get(key) or 0, text))
        available = status.get("availableReplicas") or 0
        if ready and available > (status.get("readyReplicas") or 0):
            faults.append(invalid("status.availableReplicas", available, f"cannot be greater than {ready}"))
        return faults + (_collisions(status, peek(old, "status")) if collisions else [])

    return check


def _collisions(status: Object, before: Object) -> list[FieldError]:
    count, earlier = status.get("collisionCount"), before.get("collisionCount")
    if earlier is None or (count is not None and count >= earlier):
        return []
    return [invalid("status.collisionCount", count or 0, "cannot be decremented")]


validate_deployment_status = _rule(
    ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
     "unavailableReplicas", "terminatingReplicas", "collisionCount"),
    ("updatedReplicas", "readyReplicas", "availableReplicas"),
    ready="readyReplicas",
)  # fmt: skip
validate_replica_set_status = _rule(
    ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration",
     "terminatingReplicas"),
    ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    ready="readyReplicas",
    collisions=False,
)  # fmt: skip
validate_stateful_set_status = _rule(
    ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
     "observedGeneration", "collisionCount"),
    ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    ready="status.readyReplicas",
)  # fmt: skip
validate_daemon_set_status = _rule(
    ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
     "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
     "collisionCount"),
)  # fmt: skip
validate_replication_controller_status = validate_replica_set_status
