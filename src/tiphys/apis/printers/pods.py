"""The row of a Pod: what its STATUS, READY and RESTARTS say is worked out from all its containers."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import since
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    NAME,
    NONE,
    Cells,
    Printer,
    Rows,
    age_of,
    column,
    condition_of,
    containers_and_images,
    format_labels,
    name_of,
)


@dataclass(slots=True)
class _Tally:
    """What has been counted so far over containers."""

    restarts: int = 0
    last_restart: str = ""
    ready: int = 0

    def add(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = peek(status, "lastState", "terminated").get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def _ended(terminated: Object) -> str:
    """Return why a container ended."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _initial_reason(pod: Object) -> str:
    status = peek(pod, "status")
    reason = str(status.get("reason") or status.get("phase") or "")
    if condition_of(pod, "PodScheduled").get("reason") == "SchedulingGated":
        return "SchedulingGated"
    return reason


def _init_reason(pod: Object, tally: _Tally, sidecar_tally: _Tally) -> str | None:
    """Return what initialization is at, or None once it is done."""
    init = {container.get("name"): container for container in each(pod, "spec", "initContainers")}
    for index, status in enumerate(each(pod, "status", "initContainerStatuses")):
        sidecar = init.get(status.get("name"), {}).get("restartPolicy") == "Always"
        tally.add(status)
        if sidecar:
            sidecar_tally.add(status)
        state = peek(status, "state")
        terminated, waiting = state.get("terminated"), peek(state, "waiting").get("reason")
        if terminated and not terminated.get("exitCode"):
            continue
        if sidecar and status.get("started"):
            sidecar_tally.ready += bool(status.get("ready"))
            continue
        if terminated:
            return "Init:" + _ended(terminated)
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(init)}"
    return None


def _running_reason(pod: Object, reason: str, tally: _Tally) -> str:
    """Return what the containers are at; the first one that has something to say decides.

    One that is done says less than another that failed.
    """
    running, failure = False, ""
    for status in reversed(list(each(pod, "status", "containerStatuses"))):
        tally.add(status)
        state = peek(status, "state")
        waiting, terminated = peek(state, "waiting").get("reason"), state.get("terminated")
        if waiting:
            reason = str(waiting)
        elif terminated is not None:
            reason = _ended(terminated)
            failure = reason if terminated.get("exitCode") else failure
        elif status.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if reason != "Completed":
        return reason
    if running and condition_of(pod, "Ready").get("status") == "True":
        return "Running"
    return failure or ("NotReady" if running else reason)


def pod_status(pod: Object) -> tuple[str, int, int, str]:
    """Return STATUS, ready containers, restarts and when the last restart was (empty: unknown)."""
    tally, sidecars = _Tally(), _Tally()
    initializing = _init_reason(pod, tally, sidecars)
    tally.ready = sidecars.ready
    reason = initializing or _initial_reason(pod)
    if initializing is None or condition_of(pod, "Initialized").get("status") == "True":
        tally = sidecars
        reason = _running_reason(pod, reason, tally)
    status = peek(pod, "status")
    if peek(pod, "metadata").get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"
    return reason, tally.ready, tally.restarts, tally.last_restart


def _readiness_gates(pod: Object) -> str:
    gates = list(each(pod, "spec", "readinessGates"))
    if not gates:
        return NONE
    passed = sum(condition_of(pod, gate.get("conditionType") or "").get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}"


def pod_row(pod: Object, now: datetime) -> Cells:
    """Return the cells of a Pod."""
    reason, ready, restarts, last = pod_status(pod)
    spec, status = peek(pod, "spec"), peek(pod, "status")
    total = len(list(each(spec, "containers"))) + sum(
        container.get("restartPolicy") == "Always" for container in each(spec, "initContainers")
    )
    addresses = [entry.get("ip") for entry in each(status, "podIPs")] or [status.get("podIP")]
    return [
        name_of(pod),
        f"{ready}/{total}",
        reason,
        f"{restarts} ({since(last, now)} ago)" if restarts and last else str(restarts),
        age_of(pod, now),
        addresses[0] or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(pod),
    ]


def pod_template_row(obj: Object, _now: datetime) -> Cells:
    """Return the cells of a PodTemplate."""
    template = peek(obj, "template")
    containers, images = containers_and_images(peek(template, "spec"))
    return [name_of(obj), containers, images, format_labels(peek(template, "metadata").get("labels"))]


_OVER = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def pod_conditions(pod: Object) -> list[Object]:
    """A pod that has ended marks its row as completed."""
    phase = peek(pod, "status").get("phase")
    if phase not in _OVER:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _OVER[phase]}]


PRINTERS: Rows = {
    ("", "Pod"): Printer(
        (
            NAME,
            column("Ready", "Containers that are ready, of all."),
            column("Status", "What the pod as a whole is at."),
            column("Restarts", "How often its containers were restarted, and when last."),
            AGE,
            column("IP", "The pod's address.", wide=True),
            column("Node", "The node it runs on.", wide=True),
            column("Nominated Node", "The node that preemption makes room on.", wide=True),
            column("Readiness Gates", "Conditions beyond its containers that are met, of all.", wide=True),
        ),
        pod_row,
        pod_conditions,
    ),
    ("", "PodTemplate"): Printer(
        (
            NAME,
            column("Containers", "Names of the template's containers."),
            column("Images", "Images of the template's containers."),
            column("Pod Labels", "Labels of the template's pods."),
        ),
        pod_template_row,
    ),
}
