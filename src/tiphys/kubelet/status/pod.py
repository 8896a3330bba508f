"""The status of a pod as its kubelet reports it: phase, conditions, addresses, containers. Pure.

Source: "Pod Lifecycle": phases and conditions; API reference, PodStatus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import Rejection, finished
from tiphys.kubelet.allocation.plan import ERROR, RESIZE_IN_PROGRESS, RESIZE_PENDING, ResizeState
from tiphys.kubelet.allocation.resize import Resources, changed_resources
from tiphys.kubelet.cm.qos import qos_class
from tiphys.kubelet.cm.resources import is_sidecar, pod_requests
from tiphys.kubelet.lifecycle import PodState
from tiphys.kubelet.restarts import may_restart_all, restart_epoch, restarting_all, should_restart
from tiphys.kubelet.runtime import ContainerState, RuntimePod
from tiphys.kubelet.status.container import ContainerStatuses, close_statuses

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
ALL_RESTARTING = "AllContainersRestarting"
KUBELET_CONDITIONS = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ALL_RESTARTING, RESIZE_PENDING, RESIZE_IN_PROGRESS,
)  # fmt: skip
"""Those that are the kubelet's alone: one that it does not say is not there."""
OWN_CONDITIONS = (*KUBELET_CONDITIONS, "DisruptionTarget")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition before its times are known."""

    type: str
    value: bool
    reason: str = ""
    message: str = ""
    generation: int | None = None
    """That of the pod it speaks of, where that is not the newest."""


def phase_of(pod: Object, runtime: RuntimePod, statuses: Mapping[str, dict[str, Any]]) -> str:
    """Return the phase that the containers amount to; ``statuses`` by container name."""
    spec = pod["spec"]
    never = (spec.get("restartPolicy") or "Always") == "Never"
    for container in spec.get("initContainers") or ():
        status = statuses[container["name"]]
        if is_sidecar(container):
            if not status["started"] and not _main_ran(spec, statuses) and not _ended(status):
                return PENDING
            continue
        ended = status["state"].get("terminated")
        if ended is not None and ended["exitCode"] == 0:
            continue
        latest = runtime.latest(container["name"])
        lost = latest is None and never
        if ended is not None and (lost or not should_restart(pod, container, latest, init=True)):
            return FAILED
        if not _main_ran(spec, statuses):
            return PENDING
    return _main_phase(pod, runtime, statuses)


def _ended(status: Mapping[str, Any]) -> bool:
    return "terminated" in status["state"]


def _main_ran(spec: Mapping[str, Any], statuses: Mapping[str, dict[str, Any]]) -> bool:
    for container in spec["containers"]:
        status = statuses[container["name"]]
        if "waiting" not in status["state"] or status["lastState"].get("terminated"):
            return True
    return False


def _main_phase(pod: Object, runtime: RuntimePod, statuses: Mapping[str, dict[str, Any]]) -> str:
    running = stopped = waiting = failed = restarting = 0
    for container in pod["spec"]["containers"]:
        status = statuses[container["name"]]
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            failed += state["terminated"]["exitCode"] != 0
            latest = runtime.latest(container["name"])
            restarting += latest is not None and should_restart(pod, container, latest)
        elif status["lastState"].get("terminated"):
            stopped += 1
            restarting += 1
        else:
            waiting += 1
    sidecars = [item["name"] for item in pod["spec"].get("initContainers") or () if is_sidecar(item)]
    running += any("running" in statuses[name]["state"] for name in sidecars) and not waiting
    if waiting:
        return PENDING
    if running or restarting:
        return RUNNING
    if not stopped:
        return PENDING
    return FAILED if failed else SUCCEEDED


def _initialized(pod: Object, statuses: Sequence[dict[str, Any]], phase: str, *, ran: bool) -> Condition:
    if phase == SUCCEEDED:
        return Condition("Initialized", True, "PodCompleted")
    by_name = {item["name"]: item for item in statuses}
    incomplete = []
    for container in pod["spec"].get("initContainers") or ():
        status = by_name[container["name"]]
        done = status["started"] if is_sidecar(container) else status["ready"]
        if not done and not ran:
            incomplete.append(container["name"])
    if incomplete:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return Condition("Initialized", False, "ContainersNotInitialized", text)
    return Condition("Initialized", True)


def _containers_ready(pod: Object, statuses: Mapping[str, dict[str, Any]], phase: str) -> Condition:
    kind = "ContainersReady"
    if phase == FAILED:
        return Condition(kind, False, "PodFailed")
    if phase == SUCCEEDED:
        return Condition(kind, False, "PodCompleted")
    sidecars = [item for item in pod["spec"].get("initContainers") or () if is_sidecar(item)]
    names = [item["name"] for item in [*sidecars, *pod["spec"]["containers"]]]
    unready = [name for name in names if not statuses[name]["ready"]]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return Condition(kind, False, "ContainersNotReady", text)
    return Condition(kind, True)


def _ready(pod: Object, containers: Condition) -> Condition:
    if not containers.value:
        return Condition("Ready", False, containers.reason, containers.message)
    known = {
        item.get("type"): item.get("status") for item in (pod.get("status") or {}).get("conditions") or ()
    }
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in known:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif known[kind] != "True":
            problems.append(f'the status of pod readiness gate "{kind}" is not "True", but {known[kind]}')
    if problems:
        return Condition("Ready", False, "ReadinessGatesNotReady", ", ".join(problems))
    return Condition("Ready", True)


def _disruption(state: PodState) -> list[Condition]:
    if state.rejection is None or not state.rejection.disruption:
        return []
    told = state.rejection.condition or state.rejection.message
    return [Condition("DisruptionTarget", True, "TerminationByKubelet", told)]


def _all_restarting(pod: Object, runtime: RuntimePod, phase: str) -> list[Condition]:
    if not may_restart_all(pod):
        return []
    if phase in (SUCCEEDED, FAILED):
        reason = "PodCompleted" if phase == SUCCEEDED else "PodFailed"
        return [Condition(ALL_RESTARTING, False, reason)]
    if not restarting_all(runtime, restart_epoch(pod, runtime)):
        return [Condition(ALL_RESTARTING, False)]
    text = "container exited with restart policy rule"
    return [Condition(ALL_RESTARTING, True, "RestartAllContainersStarted", text)]


def _resize(state: ResizeState) -> list[Condition]:
    found = []
    if (pending := state.pending) is not None:
        found.append(Condition(RESIZE_PENDING, True, pending.reason, pending.message, pending.generation))
    if (progress := state.progress) is not None:
        reason = ERROR if progress.error else ""
        found.append(Condition(RESIZE_IN_PROGRESS, True, reason, progress.error, progress.generation))
    return found


def _conditions(pod: Object, wanted: Sequence[Condition], now: datetime) -> list[dict[str, Any]]:
    """Give conditions their times, and keep those that others wrote."""
    old = {item.get("type"): item for item in (pod.get("status") or {}).get("conditions") or ()}
    generation = pod["metadata"].get("generation")
    result = []
    for item in wanted:
        value = "True" if item.value else "False"
        before = old.get(item.type)
        unchanged = before is not None and before.get("status") == value
        condition: dict[str, Any] = {"type": item.type}
        observed = generation if item.generation is None else item.generation
        if observed is not None:
            condition["observedGeneration"] = observed
        condition.update(
            status=value,
            lastProbeTime=None,
            lastTransitionTime=before["lastTransitionTime"]
            if before is not None and unchanged and before.get("lastTransitionTime")
            else rfc3339(now),
        )
        if item.reason:
            condition["reason"] = item.reason
        if item.message:
            condition["message"] = item.message
        result.append(condition)
    made = {item.type for item in wanted}.union(KUBELET_CONDITIONS)
    foreign = [item for kind, item in old.items() if kind not in made]
    return foreign + result


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """What beside pod and runtime goes into a status."""

    state: PodState
    host_ips: tuple[str, ...]
    now: datetime
    stopped: bool = False
    """Nothing will be started any more."""
    whole_pods: bool = True
    """Whether it is told what the pod as a whole has."""


def make_status(pod: Object, runtime: RuntimePod, given: StatusInputs) -> dict[str, Any]:
    """Return the whole PodStatus."""
    state = given.state
    old = pod.get("status") or {}
    if _was_refused(pod, state.rejection):
        told = _told(pod, given, over=True)
        return {"phase": FAILED, "conditions": _conditions(pod, [], given.now), **told}
    maker = ContainerStatuses(pod, runtime, state, ending=given.stopped)
    init, main, ephemeral = maker.init(), maker.main(), maker.ephemeral()
    by_name = {item["name"]: item for item in [*init, *main, *ephemeral]}
    phase = _phase(pod, runtime, by_name, given)
    if given.stopped and not _is_alive(runtime):
        close_statuses(init, main)
    containers = _containers_ready(pod, by_name, phase)
    over = not _is_alive(runtime)
    sandbox = runtime.sandbox
    wanted = [
        Condition("PodReadyToStartContainers", sandbox is not None and sandbox.ready),
        _initialized(pod, init, phase, ran=_main_ran(pod["spec"], by_name)),
        _ready(pod, containers),
        containers,
        Condition("PodScheduled", True),
        *(_disruption(state) if over else ()),
        *_all_restarting(pod, runtime, phase),
        *_resize(state.resize),
    ]
    status: dict[str, Any] = {"phase": phase, "conditions": _conditions(pod, wanted, given.now)}
    status.update(_told(pod, given, over=over))
    status.update(_addresses(pod, runtime, old, given.host_ips))
    if given.whole_pods:
        status.update(_amounts(pod, state.pod_applied))
    for key, items in (
        ("initContainerStatuses", init),
        ("containerStatuses", main),
        ("ephemeralContainerStatuses", ephemeral),
    ):
        status.update({key: items} if items else {})
    for key in ("nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus", "resize"):
        if old.get(key):
            status[key] = old[key]
    return status


def _was_refused(pod: Object, rejection: Rejection | None) -> bool:
    """Whether the node never took the pod in, as this kubelet knows, or as the status that it left says."""
    if rejection is not None:
        return rejection.at_admission
    return finished(pod) and not pod["status"].get("containerStatuses")


def _told(pod: Object, given: StatusInputs, *, over: bool) -> dict[str, Any]:
    """What is said of the pod as a whole, whether it ever ran or not.

    Why it was given up is told once nothing of it runs any more, with the phase.
    """
    old = pod.get("status") or {}
    told = {key: old[key] for key in ("reason", "message") if old.get(key)}
    if (rejection := given.state.rejection) is not None and over:
        told = {"reason": rejection.reason, "message": rejection.message}
    if (generation := pod["metadata"].get("generation")) is not None:
        told["observedGeneration"] = generation
    told["startTime"] = old.get("startTime") or rfc3339(given.now)
    told["qosClass"] = old.get("qosClass") or qos_class(pod)
    return told


def _amounts(pod: Object, applied: Resources | None) -> dict[str, Any]:
    """Return what the pod was promised, and what it has where it asks for something as a whole."""
    told: dict[str, Any] = {}
    if requests := pod_requests(pod):
        told["allocatedResources"] = requests
    wanted = pod["spec"].get("resources") or {}
    # Another spelling of the same amounts is shown as it is written now.
    shown = wanted if applied is None or not changed_resources(applied, wanted) else applied
    if has := {key: dict(shown[key]) for key in ("limits", "requests") if shown.get(key)}:
        told["resources"] = has
    return told


def _is_alive(runtime: RuntimePod) -> bool:
    return any(item.state is ContainerState.RUNNING for item in runtime.containers)


def _phase(
    pod: Object, runtime: RuntimePod, statuses: Mapping[str, dict[str, Any]], given: StatusInputs
) -> str:
    """A pod that ended stays so; a rejected one fails once nothing of it runs."""
    old = (pod.get("status") or {}).get("phase")
    if old in (SUCCEEDED, FAILED):
        return str(old)
    alive = _is_alive(runtime)
    if given.state.rejection is not None:
        return (RUNNING if old == RUNNING else PENDING) if alive else FAILED
    phase = phase_of(pod, runtime, statuses)
    if given.stopped and not alive and given.state.deleted and phase in (RUNNING, PENDING):
        # Killed by its deletion: whoever waits for the pod must see that it ended.
        ended = [item for item in statuses.values() if _ended(item)]
        if ended and all(item["state"]["terminated"]["exitCode"] == 0 for item in ended):
            return SUCCEEDED
        return FAILED
    return phase


def _addresses(
    pod: Object, runtime: RuntimePod, old: Mapping[str, Any], host_ips: tuple[str, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if host_ips:
        result["hostIP"] = host_ips[0]
        result["hostIPs"] = [{"ip": ip} for ip in host_ips]
    sandbox = runtime.sandbox
    if pod["spec"].get("hostNetwork"):
        ips: tuple[str, ...] = host_ips if sandbox is not None else ()
    else:
        ips = sandbox.ips if sandbox is not None and sandbox.ready else ()
    if not ips:
        ips = tuple(item["ip"] for item in old.get("podIPs") or ())
    if ips:
        result["podIP"] = ips[0]
        result["podIPs"] = [{"ip": ip} for ip in ips]
    return result
