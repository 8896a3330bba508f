"""One step of a DaemonSet: a pod on every node that should have one, updated in turn. Pure.

Source: apps/v1 DaemonSet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
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
    """Those of ``delete`` that failed by themselves: to be told, and to be waited for the next time."""
    succeeded: list[Object] = field(default_factory=list)
    """Those of ``delete`` that came to an end that daemons should not have."""
    status: Object = field(default_factory=dict)
    recheck_s: float | None = None


def plan(
    owner: Object,
    nodes: Sequence[Object],
    pods: Sequence[Object],
    digest: str,
    now: datetime,
    *,
    waits: Mapping[str, float] = {},
) -> Plan:
    """Plan; ``digest`` is the hash of the present template's revision.

    ``waits``: seconds for which a failed daemon of a node is left as it is, lest it fails again and again.
    """
    result = Plan()
    by_node: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=_seniority):
        if not (podstate.is_terminal(pod) and podstate.is_deleting(pod)):
            by_node.setdefault(target_node(pod), []).append(pod)
    wanted: list[str] = []
    surges = bool(_surge(owner, 100))
    for node in nodes:
        name = node["metadata"]["name"]
        start, stay = should_run(owner["spec"]["template"], node)
        if start:
            wanted.append(name)
        fits = _Fits(start, stay, surges, waits.get(name, 0.0))
        _plan_node(result, name, by_node.get(name, []), fits, digest)
    result.delete += _without_node(by_node, nodes)
    fleet = _Fleet(owner, wanted, by_node, digest, now)
    if podstate.is_deleting(owner):
        return Plan(status=_status(fleet, nodes))
    _plan_update(result, fleet)
    result.status = _status(fleet, nodes)
    soon = [podstate.available_in_s(pod, fleet.min_ready_s, now) for pod in pods]
    result.recheck_s = podstate.earliest([result.recheck_s, *soon])
    return result


def _without_node(by_node: Mapping[str, Sequence[Object]], nodes: Sequence[Object]) -> list[Object]:
    """Return the pods that wait for a node which is gone: nobody else takes them away."""
    present = {node["metadata"]["name"] for node in nodes}
    return [
        pod
        for name, pods in by_node.items()
        if name not in present
        for pod in pods
        if not (pod.get("spec") or {}).get("nodeName") and not podstate.is_deleting(pod)
    ]


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The daemons there are by node, and the names of the nodes that should have one."""

    owner: Object
    wanted: list[str]
    by_node: dict[str, list[Object]]
    digest: str
    now: datetime

    @property
    def nodes(self) -> list[str]:
        """Nodes that should have a daemon, and those that have one."""
        return [*self.wanted, *(node for node in self.by_node if node and node not in self.wanted)]

    @property
    def min_ready_s(self) -> int:
        return self.owner["spec"].get("minReadySeconds") or 0

    def staying(self, node: str, plan: Plan) -> list[Object]:
        """Return the daemons of a node that nobody takes away."""
        return [
            pod
            for pod in self.by_node.get(node, [])
            if pod not in plan.delete and not podstate.is_deleting(pod)
        ]

    def is_new(self, pod: Object) -> bool:
        return pod_hash(pod) == self.digest

    def is_available(self, pod: Object) -> bool:
        return podstate.is_active(pod) and podstate.available_in_s(pod, self.min_ready_s, self.now) == 0


@dataclass(frozen=True, slots=True)
class _Fits:
    """What is to be on a node: may a daemon start, may it stay, may there be two, must a failed one wait."""

    start: bool
    stay: bool
    surges: bool
    wait_s: float


def _seniority(pod: Object) -> tuple[bool, str, str]:
    """Bound ones first, then the oldest."""
    meta = pod["metadata"]
    return not (pod.get("spec") or {}).get("nodeName"), meta.get("creationTimestamp") or "", meta["name"]


def _plan_node(result: Plan, node: str, pods: list[Object], fits: _Fits, digest: str) -> None:
    live = [pod for pod in pods if not podstate.is_deleting(pod)]
    if not fits.stay:
        result.delete += live
        return
    running = [pod for pod in live if not podstate.is_terminal(pod)]
    for pod in live:
        if podstate.phase(pod) == "Succeeded":
            result.succeeded.append(pod)
        elif podstate.phase(pod) == "Failed" and fits.wait_s > 0:
            result.recheck_s = podstate.earliest([result.recheck_s, fits.wait_s])
            continue
        elif podstate.phase(pod) == "Failed":
            result.failed.append(pod)
        else:
            continue
        result.delete.append(pod)
    if not pods and fits.start:
        result.create.append(node)
    if not fits.surges:
        result.delete += running[1:]  # the oldest stays
        return
    # The oldest of each kind: which of the two goes is judged with the update.
    for kind in (True, False):
        result.delete += [pod for pod in running if (pod_hash(pod) == digest) is kind][1:]


def _surge(owner: Object, nodes: int) -> int:
    strategy = owner["spec"].get("updateStrategy") or {}
    if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
        return 0
    return scaled((strategy.get("rollingUpdate") or {}).get("maxSurge") or 0, nodes, round_up=True)


def _plan_update(result: Plan, fleet: _Fleet) -> None:
    strategy = fleet.owner["spec"].get("updateStrategy") or {}
    if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
        return
    settings = strategy.get("rollingUpdate") or {}
    surge = _surge(fleet.owner, len(fleet.wanted))
    # Of neither would never move.
    allowed = scaled(settings.get("maxUnavailable", 1), len(fleet.wanted), round_up=True)
    if surge:
        _plan_surge(result, fleet, surge)
        return
    unavailable, old_up = 0, []
    for node in fleet.nodes:
        pods = fleet.staying(node, result)
        if len(pods) != 1:
            unavailable += 1
            continue
        up = fleet.is_available(pods[0])
        if fleet.is_new(pods[0]):
            unavailable += not up
        elif up:
            old_up.append(pods[0])
        else:
            # An old pod that is down anyway costs nothing to replace.
            result.delete.append(pods[0])
    result.delete += old_up[: max(max(allowed, 1) - unavailable, 0)]


def _plan_surge(result: Plan, fleet: _Fleet, surge: int) -> None:
    """Start the new pod beside the old one; stop the old one when the new is available, or it is not ready.

    Old ones where no new one may start go as others are available in their place.
    """
    waiting: list[str] = []
    superfluous: list[Object] = []
    available = 0
    for node in fleet.nodes:
        pods = fleet.staying(node, result)
        new = [pod for pod in pods if fleet.is_new(pod)]
        old = [pod for pod in pods if not fleet.is_new(pod)]
        available += any(map(fleet.is_available, old or new))
        if new and old:
            if any(map(fleet.is_available, new)) or not any(map(podstate.is_ready, old)):
                result.delete += old
            else:
                surge -= 1
        elif old and node not in fleet.wanted:
            superfluous += old
        elif old:
            if any(map(fleet.is_available, old)):
                waiting.append(node)
            else:
                result.create.append(node)
    result.create += waiting[: max(surge, 0)]
    result.delete += superfluous[: max(available - len(fleet.wanted), 0)]


def _status(fleet: _Fleet, nodes: Sequence[Object]) -> Object:
    owner, wanted = fleet.owner, fleet.wanted
    names, chosen = [node["metadata"]["name"] for node in nodes], set(wanted)
    counts = dict.fromkeys(("current", "missched", "ready", "available", "updated"), 0)
    for name in names:
        pods = fleet.by_node.get(name)
        if not pods:
            continue
        if name not in chosen:
            counts["missched"] += 1
            continue
        # Of two (an update may surge) the older one is told of.
        counts["current"] += 1
        counts["ready"] += podstate.is_ready(pods[0])
        counts["available"] += podstate.available_in_s(pods[0], fleet.min_ready_s, fleet.now) == 0
        counts["updated"] += fleet.is_new(pods[0])
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
        **{key: (owner.get("status") or {}).get(key) for key in ("collisionCount", "conditions")},
    }
    return {**status, **{key: value for key, value in optional.items() if value}}
