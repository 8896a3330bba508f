"""A deployment's status: counts, and the conditions Available, Progressing, ReplicaFailure. Pure.

Source: apps/v1 DeploymentStatus; reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions
from tiphys.controllers.deployment.revisions import replicas_of
from tiphys.controllers.deployment.scaling import available, bounds, total

COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"


def has_deadline(deployment: Object) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, 2**31 - 1)


def base_conditions(deployment: Object, now: datetime) -> list[Object]:
    """Return the present conditions, with pausing and resuming noted in Progressing."""
    found: list[Object] = list((deployment.get("status") or {}).get("conditions") or ())
    progressing = conditions.find(found, "Progressing") or {}
    if not has_deadline(deployment) or progressing.get("reason") == TIMED_OUT:
        return found
    paused = bool(deployment["spec"].get("paused"))
    noted = progressing.get("reason") == PAUSED
    if paused and not noted:
        return _progressing(found, "Unknown", PAUSED, "Deployment is paused", now)
    if noted and not paused:
        return _progressing(found, "Unknown", RESUMED, "Deployment is resumed", now)
    return found


def note_new_set(
    deployment: Object, found: list[Object], name: str, now: datetime, *, created: bool
) -> list[Object]:
    """Start the clock of the rollout: a new set was made, or an old one found to fit."""
    if not has_deadline(deployment):
        return found
    if created:
        return _progressing(found, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', now)
    if conditions.find(found, "Progressing") is None:
        return _progressing(found, "True", "FoundNewReplicaSet", f'Found new replica set "{name}"', now)
    return found


def counts(
    deployment: Object, new: Object | None, olds: Sequence[Object], found: list[Object], now: datetime
) -> Object:
    """Return the status without judging progress."""
    sets = [*olds, *([new] if new else [])]
    ready = available(sets)
    status = deployment.get("status") or {}
    result: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": ready,
        "unavailableReplicas": max(total(sets) - ready, 0),
    }
    result = {key: value for key, value in result.items() if value}
    if all(map(_tells_of_leaving, sets)):
        result["terminatingReplicas"] = _sum(sets, "terminatingReplicas")
    if status.get("collisionCount"):
        result["collisionCount"] = status["collisionCount"]
    if ready >= replicas_of(deployment) - bounds(deployment).unavailable:
        told = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        told = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    result["conditions"] = conditions.put_last(found, conditions.make("Available", *told, now, updated=True))
    return result


def _tells_of_leaving(rs: Object) -> bool:
    """Whether it is known how many pods of a set are leaving: a set that nobody looked at yet has none."""
    status = rs.get("status") or {}
    return status.get("terminatingReplicas") is not None or not status.get("observedGeneration")


def rollout(
    deployment: Object, new: Object | None, olds: Sequence[Object], found: list[Object], now: datetime
) -> Object:
    """Return the status with Progressing and ReplicaFailure judged."""
    status = counts(deployment, new, olds, found, now)
    listed: list[Object] = status["conditions"]
    if has_deadline(deployment):
        listed = _judge(deployment, new, status, listed, now)
    else:
        listed = conditions.remove(listed, "Progressing")
    failure = _replica_failure(new, olds)
    if failure is not None:
        listed = conditions.put_last(listed, {**failure, "lastUpdateTime": failure["lastTransitionTime"]})
    else:
        listed = conditions.remove(listed, "ReplicaFailure")
    return {**status, "conditions": listed}


def _judge(
    deployment: Object, new: Object | None, status: Object, listed: list[Object], now: datetime
) -> list[Object]:
    current = conditions.find(listed, "Progressing")
    settled = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if settled and current is not None and current.get("reason") == COMPLETE:
        return listed
    who = (
        f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status):
        return _progressing(listed, "True", COMPLETE, f"{who} has successfully progressed.", now)
    if _moved(deployment.get("status") or {}, status):
        fresh = conditions.make(
            "Progressing", "True", "ReplicaSetUpdated", f"{who} is progressing.", now, updated=True
        )
        if current is not None and current["status"] == "True":
            fresh["lastTransitionTime"] = current["lastTransitionTime"]
        return [*conditions.remove(listed, "Progressing"), fresh]
    if _timed_out(deployment, current, now):
        return _progressing(listed, "False", TIMED_OUT, f"{who} has timed out progressing.", now)
    return listed


def is_complete(deployment: Object, status: Object) -> bool:
    """True when every wanted pod is new and available, and no old one is left."""
    wanted = replicas_of(deployment)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return seen and all(status.get(name, 0) == wanted for name in fields)


def recheck_s(deployment: Object, status: Object, now: datetime) -> float | None:
    """When a rollout that does not move must be judged again, in seconds."""
    current = conditions.find(status.get("conditions") or [], "Progressing")
    if not has_deadline(deployment) or current is None or deployment["spec"].get("paused"):
        return None
    if is_complete(deployment, status) or current.get("reason") in (TIMED_OUT, COMPLETE):
        return None
    since = parse_time(current.get("lastUpdateTime") or current["lastTransitionTime"])
    until = since + timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"] + 1)
    return max((until - now).total_seconds(), 0.0) or None


def _moved(before: Object, after: Object) -> bool:
    def old_pods(status: Object) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    grew = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return any(after.get(name, 0) > before.get(name, 0) for name in grew) or old_pods(after) < old_pods(
        before
    )


def _timed_out(deployment: Object, current: Object | None, now: datetime) -> bool:
    if current is None or current.get("reason") in (COMPLETE, PAUSED):
        return False
    if current.get("reason") == TIMED_OUT:
        return True
    since = parse_time(current.get("lastUpdateTime") or current["lastTransitionTime"])
    return now > since + timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])


def _replica_failure(new: Object | None, olds: Sequence[Object]) -> Object | None:
    for rs in [*([new] if new else []), *olds]:
        found = conditions.find((rs.get("status") or {}).get("conditions") or [], "ReplicaFailure")
        if found is not None:
            return found
    return None


def _progressing(found: list[Object], status: str, reason: str, message: str, now: datetime) -> list[Object]:
    new = conditions.make("Progressing", status, reason, message, now, updated=True)
    return conditions.put_last(found, new)


def _sum(sets: Sequence[Object], name: str) -> int:
    return sum((rs.get("status") or {}).get(name) or 0 for rs in sets)
