"""One step of a DaemonSet: a pod on every node that should have one, updated in turn. Pure.

Source: apps/v1 DaemonSet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.apimachinery.intstr import scaled
from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate
from tiphys.controllers.daemonset.placement import should_run, target_node
from tiphys.controllers.history import pod_hash


@dataclass(slots=True)
class Plan:
    """``create`` holds node names."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    """Those of ``delete`` that failed by themselves: to be told, and replaced with backoff."""
    status: Object = field(default_factory=dict)
    recheck_s: float | None = None


def plan(owner: Object, nodes: Sequence[Object], pods: Sequence[Object], digest: str, now: datetime) -> Plan:
    """Plan; ``digest`` is the hash of the present template's revision."""
    result = Plan()
    by_node: dict[str, list[Object]] = {}
    for pod in pods:
        by_node.setdefault(target_node(pod), []).append(pod)
    wanted: list[str] = []
    for node in nodes:
        name = node["metadata"]["name"]
        start, stay = should_run(owner["spec"]["template"], node)
        if start:
            wanted.append(name)
        _plan_node(result, name, by_node.get(name, []), start=start, stay=stay)
    if podstate.is_deleting(owner):
        return Plan(status=_status(owner, nodes, wanted, by_node, digest, now))
    _plan_update(result, owner, wanted, by_node, digest, now)
    result.status = _status(owner, nodes, wanted, by_node, digest, now)
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    result.recheck_s = podstate.earliest(podstate.available_in_s(pod, min_ready_s, now) for pod in pods)
    return result


def _plan_node(result: Plan, node: str, pods: list[Object], *, start: bool, stay: bool) -> None:
    live = [pod for pod in pods if not podstate.is_deleting(pod)]
    if not stay:
        result.delete += live
        return
    failed = [pod for pod in live if podstate.phase(pod) == "Failed"]
    result.failed += failed
    result.delete += failed
    running = [pod for pod in live if pod not in failed]
    if not pods and start:
        result.create.append(node)
    # Of several, the one that runs longest stays; two of different revisions are a surge, judged later.
    if len(running) > 1 and len({pod_hash(pod) for pod in running}) == 1:
        running.sort(
            key=lambda pod: (not podstate.is_ready(pod), pod["metadata"].get("creationTimestamp") or "")
        )
        result.delete += running[1:]


def _plan_update(
    result: Plan,
    owner: Object,
    wanted: list[str],
    by_node: dict[str, list[Object]],
    digest: str,
    now: datetime,
) -> None:
    strategy = owner["spec"].get("updateStrategy") or {}
    if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
        return
    settings = strategy.get("rollingUpdate") or {}
    surge = scaled(settings.get("maxSurge") or 0, len(wanted), round_up=True)
    allowed = scaled(settings.get("maxUnavailable", 1), len(wanted), round_up=True)
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    if surge:
        _plan_surge(result, wanted, by_node, digest, surge, min_ready_s, now)
        return
    unavailable, old_up = 0, []
    for node in wanted:
        pods = [pod for pod in by_node.get(node, []) if pod not in result.delete]
        up = [pod for pod in pods if _is_available(pod, min_ready_s, now)]
        old = [pod for pod in pods if pod_hash(pod) != digest and not podstate.is_deleting(pod)]
        if not up:
            unavailable += 1
            # An old pod that is down anyway costs nothing to replace.
            result.delete += old
        else:
            old_up += old
    result.delete += old_up[: max(allowed - unavailable, 0)]


def _plan_surge(
    result: Plan,
    wanted: list[str],
    by_node: dict[str, list[Object]],
    digest: str,
    surge: int,
    min_ready_s: int,
    now: datetime,
) -> None:
    """Start the new pod beside the old one; stop the old one when the new is available."""
    waiting: list[str] = []
    for node in wanted:
        pods = [
            pod for pod in by_node.get(node, []) if pod not in result.delete and not podstate.is_deleting(pod)
        ]
        new = [pod for pod in pods if pod_hash(pod) == digest]
        old = [pod for pod in pods if pod_hash(pod) != digest]
        if new and old:
            if any(_is_available(pod, min_ready_s, now) for pod in new):
                result.delete += old
            else:
                surge -= 1
        elif old:
            if any(_is_available(pod, min_ready_s, now) for pod in old):
                waiting.append(node)
            else:
                result.create.append(node)
    result.create += waiting[: max(surge, 0)]


def _status(
    owner: Object,
    nodes: Sequence[Object],
    wanted: list[str],
    by_node: dict[str, list[Object]],
    digest: str,
    now: datetime,
) -> Object:
    min_ready_s = owner["spec"].get("minReadySeconds") or 0
    names, chosen = [node["metadata"]["name"] for node in nodes], set(wanted)
    counts = dict.fromkeys(("current", "missched", "ready", "available", "updated"), 0)
    for name in names:
        pods = [pod for pod in by_node.get(name, []) if podstate.is_active(pod)]
        if not pods:
            continue
        if name not in chosen:
            counts["missched"] += 1
            continue
        counts["current"] += 1
        counts["ready"] += any(podstate.is_ready(pod) for pod in pods)
        counts["available"] += any(_is_available(pod, min_ready_s, now) for pod in pods)
        counts["updated"] += any(pod_hash(pod) == digest for pod in pods)
    status: Object = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["missched"],
        "desiredNumberScheduled": len(wanted),
        "numberReady": counts["ready"],
    }
    optional = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": len(wanted) - counts["available"],
        "collisionCount": (owner.get("status") or {}).get("collisionCount"),
    }
    return {**status, **{key: value for key, value in optional.items() if value}}


def _is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    return podstate.is_active(pod) and podstate.available_in_s(pod, min_ready_s, now) == 0
