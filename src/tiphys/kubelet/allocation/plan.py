"""What a node has promised to a pod, and whether it can promise what the pod asks for now. Pure.

A resize changes what a pod asks for; the kubelet takes it over into the allocation once the node has room for
it, and only the allocation is carried out. Until then the resize is pending: Deferred while other pods are in
the way, Infeasible when it can never be.
Source: "Resize CPU and Memory Resources assigned to Containers": resize status, priority of resizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import NodeCapacity, admit
from tiphys.kubelet.allocation.resize import Resources, changed_resources
from tiphys.kubelet.cm.qos import GUARANTEED, qos_class, spec_containers
from tiphys.kubelet.cm.resources import pod_amount, pod_limits_known

DEFERRED, INFEASIBLE, ERROR = "Deferred", "Infeasible", "Error"
RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
_CONFIG_SOURCE = "kubernetes.io/config.source"
_NEVER = "9999"


@dataclass(frozen=True, slots=True)
class Allocation:
    """Resources by container name, and those of the pod as a whole."""

    containers: Mapping[str, Resources] = field(default_factory=dict)
    pod: Resources | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Why what the pod asks for is not allocated."""

    reason: str
    message: str
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """An allocation that is being carried out, and what went wrong with it."""

    generation: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ResizeState:
    """How far a pod's resize has come; nothing set: what it asks for is what it has."""

    pending: Pending | None = None
    progress: Progress | None = None


def allocation_of(pod: Object) -> Allocation:
    """Return the allocation that gives a pod all it asks for."""
    containers = {item["name"]: item.get("resources") or {} for item in spec_containers(pod)}
    return Allocation(containers, pod["spec"].get("resources"))


def allocated(pod: Object, allocation: Allocation) -> Object:
    """Return the pod with the resources it was allocated: itself when it asks for nothing else."""
    spec = dict(pod["spec"])
    changed = False
    for key in ("initContainers", "containers"):
        containers = []
        for container in spec.get(key) or ():
            given = allocation.containers.get(container["name"])
            if given is not None and changed_resources(given, container.get("resources") or {}):
                container = {**container, "resources": given}
                changed = True
            containers.append(container)
        if containers:
            spec[key] = containers
    if changed_resources(allocation.pod or {}, spec.get("resources") or {}):
        spec["resources"] = allocation.pod or {}
        changed = True
    return {**pod, "spec": spec} if changed else pod


def obstacle(pod: Object, others: Iterable[Object], node: NodeCapacity) -> Pending | None:
    """Return why a pod cannot have what it asks for beside what others were allocated."""
    generation = pod["metadata"].get("generation")
    source = (pod["metadata"].get("annotations") or {}).get(_CONFIG_SOURCE, "api")
    if source != "api":
        return Pending(INFEASIBLE, "In-place resize of static-pods is not supported", generation)
    for name in ("memory", "cpu"):
        capacity = node.allocatable.get(name)
        requested = pod_amount(pod, "requests", name)
        if capacity is not None and requested > capacity:
            text = f"Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
            return Pending(INFEASIBLE, text, generation)
    refused = admit(pod, others, node)
    return Pending(DEFERRED, refused.message, generation) if refused else None


def resize_order(pod: Object, allocation: Allocation) -> tuple[bool, int, bool, str]:
    """Return the sort key of a pending resize: what grows nothing, priority, class, how long it waits."""
    now = allocated(pod, allocation)
    grows = any(
        pod_amount(pod, "requests", name) > pod_amount(now, "requests", name) for name in ("cpu", "memory")
    )
    since = next(
        (
            str(item.get("lastTransitionTime") or _NEVER)
            for item in (pod.get("status") or {}).get("conditions") or ()
            if item.get("type") == RESIZE_PENDING
        ),
        _NEVER,
    )
    priority = int(pod["spec"].get("priority") or 0)
    return grows, -priority, qos_class(pod) != GUARANTEED, since


def resize_message(prefix: str, pod: Object, generation: int | None, error: str = "") -> str:
    """Return what events say of a resize: the resources asked for, as JSON."""
    summary: dict[str, Any] = {}
    for key in ("initContainers", "containers"):
        items = [
            {"name": item["name"], "resources": _sorted(item.get("resources") or {})}
            for item in pod["spec"].get(key) or ()
        ]
        if items:
            summary[key] = items
    summary["generation"] = generation or 0
    if error:
        summary["error"] = error
    return f"{prefix}: {orjson.dumps(summary).decode()}"


def _sorted(resources: Resources) -> dict[str, Any]:
    return {key: dict(sorted(resources[key].items())) for key in ("limits", "requests") if resources.get(key)}


def memory_faults(
    pod: Object,
    usage: Mapping[str, int],
    running: Mapping[str, Resources],
    pod_usage: int | None,
    given: Resources | None = None,
) -> str:
    """Return why memory limits may not shrink as the allocation says, or "".

    ``running`` has the resources that containers to be changed in place run with, by name; ``usage`` the
    memory they use, ``given`` what the whole pod has. The pod's own limit is looked at when any shrinks.
    """
    whole, before = (_memory_limit(item) for item in (pod["spec"].get("resources") or {}, given or {}))
    faults, shrinks = [], given is not None and _shrinks(whole, before)
    for container in spec_containers(pod):
        name = container["name"]
        if name not in running:
            continue
        new, old = (_memory_limit(item) for item in (container.get("resources") or {}, running[name]))
        if new is None or not _shrinks(new, old):
            continue
        shrinks = True
        if name in usage and new < usage[name]:
            limit = f'container "{name}" memory limit ({new})'
            faults.append(f"attempting to set {limit} below current usage ({usage[name]})")
    most = pod_amount(pod, "limits", "memory") if pod_limits_known(pod, "memory") else None
    if shrinks and pod_usage is not None and most is not None and most < pod_usage:
        faults.insert(0, f"attempting to set pod memory limit ({most}) below current usage ({pod_usage})")
    if not faults:
        return ""
    told = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return f"cannot decrease memory limits: {told}"


def _shrinks(new: int | None, old: int | None) -> bool:
    return new is not None and (old is None or new < old)


def _memory_limit(resources: Resources) -> int | None:
    text = (resources.get("limits") or {}).get("memory")
    return None if text is None else pod_amount({"spec": {"resources": resources}}, "limits", "memory")
