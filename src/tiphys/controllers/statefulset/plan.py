"""One step of a StatefulSet: pods in order, one at a time unless Parallel; updates from the top. Pure.

Source: apps/v1 StatefulSet, "StatefulSet Basics" (ordering guarantees, partitioned updates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate
from tiphys.controllers.history import pod_hash
from tiphys.controllers.statefulset.pods import first_ordinal, identity, ordinal_of, replicas_of

MAX_UNAVAILABLE = 1
"""Pods that an update takes at once, whatever `maxUnavailable` of the set says: v1.36 has the gate
MaxUnavailableStatefulSet off."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """Names: ``current`` is what the set ran before the update in progress, ``update`` what it shall run."""

    current: str
    update: str


@dataclass(slots=True)
class Plan:
    """``create`` pairs ordinals with the name of the revision to make them at."""

    create: list[tuple[int, str]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    rename: list[Object] = field(default_factory=list)
    """Pods whose labels do not say any more which ones they are."""
    claimless: list[int] = field(default_factory=list)
    """Ordinals of pods that wait, maybe for claims that somebody deleted."""
    status: Object = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    recheck_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Replicas:
    """The pods of a set by their ordinals, and the ordinals that it should have."""

    owner: Object
    by_ordinal: dict[int, Object]
    wanted: range
    revisions: Revisions
    now: datetime

    @property
    def ordered(self) -> bool:
        return (self.owner["spec"].get("podManagementPolicy") or "OrderedReady") == "OrderedReady"

    @property
    def condemned(self) -> list[int]:
        """Ordinals that are too many, the highest first."""
        return sorted((number for number in self.by_ordinal if number not in self.wanted), reverse=True)

    def is_available(self, pod: Object) -> bool:
        min_ready_s = self.owner["spec"].get("minReadySeconds") or 0
        return _runs(pod) and podstate.available_in_s(pod, min_ready_s, self.now) == 0


def _runs(pod: Object) -> bool:
    return podstate.phase(pod) == "Running" and not podstate.is_deleting(pod)


def plan(owner: Object, pods: Sequence[Object], revisions: Revisions, now: datetime) -> Plan:
    """Plan the next step. ``pods`` are all pods of the set, whatever their state."""
    by_ordinal = {number: pod for pod in pods if (number := ordinal_of(owner, pod)) is not None}
    start = first_ordinal(owner)
    replicas = _Replicas(owner, by_ordinal, range(start, start + replicas_of(owner)), revisions, now)
    result = Plan(status=_status(replicas))
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    result.recheck_s = podstate.earliest(podstate.available_in_s(pod, min_ready_s, now) for pod in pods)
    if podstate.is_deleting(owner):
        return result
    if not _plan_wanted(result, replicas) and not _plan_condemned(result, replicas):
        _plan_update(result, replicas)
    return result


def _plan_wanted(result: Plan, replicas: _Replicas) -> bool:
    """Make what is missing; True when the step ends here."""
    for number in replicas.wanted:
        pod = replicas.by_ordinal.get(number)
        if pod is None:
            revision = _revision_for(replicas.owner, number, replicas.revisions)
            result.create.append((number, revision))
        elif podstate.is_terminal(pod) and not podstate.is_deleting(pod):
            result.delete.append(pod)
            result.events.append(_recreating(replicas.owner, pod))
        else:
            _keep_identity(result, pod, number)
            if not podstate.is_deleting(pod) and replicas.is_available(pod):
                continue
        if replicas.ordered:
            return True
    return False


def _keep_identity(result: Plan, pod: Object, number: int) -> None:
    """See to it that a pod is known by its labels, and that what it waits for is there."""
    labels = pod["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in identity(pod).items()):
        result.rename.append(pod)
    if podstate.phase(pod) in ("", "Pending") and not podstate.is_deleting(pod):
        result.claimless.append(number)


def _recreating(owner: Object, pod: Object) -> tuple[str, str, str]:
    who = f"StatefulSet {owner['metadata']['namespace']}/{owner['metadata']['name']}"
    name = pod["metadata"]["name"]
    if podstate.phase(pod) == "Failed":
        return "Warning", "RecreatingFailedPod", f"{who} is recreating failed Pod {name}"
    return "Normal", "RecreatingTerminatedPod", f"{who} is recreating terminated Pod {name}"


def _plan_condemned(result: Plan, replicas: _Replicas) -> bool:
    """Take away what is too many, from the top; True when the step ends here.

    In order, only the lowest of the unhealthy may go while it is unhealthy: the others are waited for.
    """
    by_ordinal, condemned, ordered = replicas.by_ordinal, replicas.condemned, replicas.ordered
    unhealthy = [number for number in condemned if not replicas.is_available(by_ordinal[number])]
    for number in condemned:
        pod = by_ordinal[number]
        if ordered and number in unhealthy[:-1] and not podstate.is_terminal(pod):
            return True
        if podstate.is_deleting(pod):
            if ordered:
                return True
            continue
        result.delete.append(pod)
        if ordered:
            return True
    return False


def _plan_update(result: Plan, replicas: _Replicas) -> None:
    wanted = replicas.wanted
    strategy = replicas.owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete" or result.create or result.delete:
        return
    least = wanted.start + int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    for number in reversed([n for n in wanted if n >= least]):
        pod = replicas.by_ordinal.get(number)
        if pod is None:
            continue
        if pod_hash(pod) != replicas.revisions.update and not podstate.is_deleting(pod):
            result.delete.append(pod)
            return
        if not replicas.is_available(pod):
            return


def _revision_for(owner: Object, number: int, revisions: Revisions) -> str:
    """New pods below the partition keep the former revision."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return revisions.update
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    return revisions.current if number < first_ordinal(owner) + partition else revisions.update


def _status(replicas: _Replicas) -> Object:
    owner, revisions = replicas.owner, replicas.revisions
    pods = list(replicas.by_ordinal.values())
    live = [pod for pod in pods if not podstate.is_deleting(pod)]
    ready = [pod for pod in pods if podstate.is_ready(pod) and podstate.phase(pod) == "Running"]
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    counts = {
        "currentReplicas": sum(pod_hash(pod) == revisions.current for pod in live),
        "updatedReplicas": sum(pod_hash(pod) == revisions.update for pod in live),
        "readyReplicas": len(ready),
    }
    current = revisions.current
    done = counts["updatedReplicas"] == replicas_of(owner) == len(pods) == counts["readyReplicas"]
    rolling = (owner["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    if done and rolling and current != revisions.update:
        current = revisions.update
        counts["currentReplicas"] = counts["updatedReplicas"]
    status: Object = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": len(pods),
        **{key: value for key, value in counts.items() if value},
        "availableReplicas": sum(
            podstate.available_in_s(pod, min_ready_s, replicas.now) == 0 for pod in ready
        ),
        "currentRevision": current,
        "updateRevision": revisions.update,
        "collisionCount": (owner.get("status") or {}).get("collisionCount") or 0,
    }
    return status
