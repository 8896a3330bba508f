"""The Node object as its kubelet states it. Pure.

Source: "Node status"; well-known labels; "Reserve Compute Resources" for allocatable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity, parse
from tiphys.apimachinery.release import RELEASE
from tiphys.kubelet.nodestatus.machine import Machine
from tiphys.kubelet.options import KubeletOptions
from tiphys.kubelet.runtime import Image, RuntimeInfo

_FEATURES = ("RestartAllContainersOnContainerExits",)
"""What not every kubelet can."""
_GATED_FEATURES = ("ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling")
_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
"""Taken away by the cloud's controller, which looks after no node that does not bear it."""
_PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
_MAX_IMAGES = 50
_MAX_NAMES = 5
_PRESSURES = (
    (
        "MemoryPressure",
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    (
        "DiskPressure",
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    (
        "PIDPressure",
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
)


@dataclass(frozen=True, slots=True)
class NodeFindings:
    """What changes while the node runs. ``runtime`` None: it does not answer."""

    runtime: RuntimeInfo | None
    images: Sequence[Image] = ()
    problem: str = ""
    """Why the runtime does not answer."""
    shutting_down: bool = False
    pressures: frozenset[str] = frozenset()
    """The conditions that say that something is short."""
    devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """How many there are of each resource of device plugins, and how many are healthy."""


def capacity(machine: Machine, options: KubeletOptions) -> dict[str, str]:
    """Return the node's capacity."""
    found = {
        "cpu": str(machine.cpus),
        "ephemeral-storage": f"{machine.storage_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(options.max_pods),
    }
    return {**found, **options.capacity}


def allocatable(total: Mapping[str, str], options: KubeletOptions) -> dict[str, str]:
    """Return what is left for pods: without what is reserved, and what must be left (hard thresholds)."""
    result = dict(total)
    for reserved in options.reserved:
        for name, text in reserved.items():
            if name in result:
                result[name] = str(_less(parse(result[name]), parse(text)))
    for signal, name in (("memory.available", "memory"), ("nodefs.available", "ephemeral-storage")):
        hard = [item for item in options.thresholds if item.signal == signal and item.grace_s is None]
        capacity = parse(total[name]).value()
        left = parse(result[name]).value() - max((item.least(capacity) for item in hard), default=0)
        # Storage is told in bytes, memory in KiB, as its capacity is.
        result[name] = f"{max(left, 0) // 1024}Ki" if name == "memory" else str(max(left, 0))
    return result


def extended_allocatable(old: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str | None]:
    """Return what must change for pods to get the extended resources that somebody wrote into capacity.

    ``own`` are the resources that the node counts itself. None: it is no longer there.
    """
    there, given = (
        {name: amount for name, amount in (old.get(field) or {}).items() if name not in own and "/" in name}
        for field in ("capacity", "allocatable")
    )
    changed: dict[str, str | None] = {name: there[name] for name in there if given.get(name) != there[name]}
    return changed | {name: None for name in given if name not in there}


def _less(have: Quantity, taken: Quantity) -> Quantity:
    left = have - taken
    return left if left.amount > 0 else parse("0")


def node_labels(machine: Machine, options: KubeletOptions) -> dict[str, str]:
    """Return the labels that the node itself sets."""
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": options.node_name,
        "kubernetes.io/os": "linux",
        **options.labels,
    }


def new_node(machine: Machine, options: KubeletOptions) -> Object:
    """Return the object to register with."""
    spec: dict[str, Any] = {}
    taints = [dict(taint) for taint in options.taints]
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if options.cloud:
        taints.append({"key": _UNINITIALIZED, "value": "true", "effect": "NoSchedule"})
        if options.addresses_given:
            annotations[_PROVIDED_IP] = ",".join(options.node_ips)
    if taints:
        spec["taints"] = taints
    if options.provider_id:
        spec["providerID"] = options.provider_id
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": options.node_name,
            "labels": node_labels(machine, options),
            "annotations": annotations,
        },
        "spec": spec,
    }


def node_status(
    machine: Machine, options: KubeletOptions, found: NodeFindings, old: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return what the kubelet owns of NodeStatus; ``old`` gives conditions their transition times."""
    total = capacity(machine, options)
    runtime_version = "containerd://unknown"
    if found.runtime is not None:
        runtime_version = f"{found.runtime.name}://{found.runtime.version}"
    return {
        "capacity": {**total, **{name: str(count) for name, (count, _) in found.devices.items()}},
        "allocatable": {
            **allocatable(total, options),
            **{name: str(healthy) for name, (_, healthy) in found.devices.items()},
        },
        "conditions": _conditions(found, old, now),
        "addresses": _addresses(options, old),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": options.server.port if options.server else 0}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": runtime_version,
            "kubeletVersion": RELEASE,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
        "images": _images(found.images),
        "declaredFeatures": _declared(options),
        **_abilities(found.runtime),
    }


def _addresses(options: KubeletOptions, old: Mapping[str, Any]) -> list[Any]:
    """Return the node's addresses; a cloud has the say in them, once it has said anything."""
    if options.cloud and (old.get("addresses") or not options.addresses_given):
        return list(old.get("addresses") or ())
    own = [{"type": "InternalIP", "address": ip} for ip in options.node_ips]
    return [*own, {"type": "Hostname", "address": options.node_name}]


def _declared(options: KubeletOptions) -> list[str]:
    """Return what others may count on, in the order of names."""
    return sorted([*_FEATURES, *(gate for gate in _GATED_FEATURES if options.gates.enabled(gate))])


def _abilities(runtime: RuntimeInfo | None) -> dict[str, Any]:
    """Return what the runtime says it can do; nothing for one that does not say."""
    said: dict[str, Any] = {}
    if runtime is not None and runtime.handlers:
        said["runtimeHandlers"] = [
            {
                "name": item.name,
                "features": {
                    "recursiveReadOnlyMounts": item.recursive_read_only_mounts,
                    "userNamespaces": item.user_namespaces,
                },
            }
            for item in sorted(runtime.handlers, key=lambda item: item.name)
        ]
    if runtime is not None and runtime.supplemental_groups_policy is not None:
        said["features"] = {"supplementalGroupsPolicy": runtime.supplemental_groups_policy}
    return said


def _images(images: Iterable[Image]) -> list[dict[str, Any]]:
    largest = sorted(images, key=lambda item: -item.size_bytes)[:_MAX_IMAGES]
    return [
        {"names": [*item.digests, *item.tags][:_MAX_NAMES], "sizeBytes": item.size_bytes} for item in largest
    ]


def _conditions(found: NodeFindings, old: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    before = {item.get("type"): item for item in old.get("conditions") or ()}
    wanted = [
        (kind, "True", *short) if kind in found.pressures else (kind, "False", *well)
        for kind, well, short in _PRESSURES
    ]
    problem = readiness_problem(found)
    if problem:
        wanted.append(("Ready", "False", "KubeletNotReady", problem))
    else:
        wanted.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    result = []
    for kind, value, reason, message in wanted:
        known = before.get(kind) or {}
        changed = known.get("status") != value
        result.append(
            {
                "type": kind,
                "status": value,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": rfc3339(now)
                if changed
                else known.get("lastTransitionTime") or rfc3339(now),
                "reason": reason,
                "message": message,
            }
        )
    return result


def readiness_problem(found: NodeFindings) -> str:
    """Return why the node is not ready, or ""."""
    if found.shutting_down:
        return "node is shutting down"
    runtime = found.runtime
    if runtime is None:
        return f"container runtime is down: {found.problem}"
    if not runtime.ready:
        return f"container runtime not ready: RuntimeReady=false reason:{runtime.message}"
    if not runtime.network_ready:
        return (
            "container runtime network not ready: NetworkReady=false"
            f" reason:NetworkPluginNotReady message:{runtime.network_message}"
        )
    return ""


_TOLD = {
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
}


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what events say of conditions that changed between two statuses, as reasons."""
    known = {item["type"]: item["status"] for item in before.get("conditions") or ()}
    return [
        _TOLD[item["type"], item["status"]]
        for item in after.get("conditions") or ()
        if (item["type"], item["status"]) in _TOLD and known.get(item["type"]) != item["status"]
    ]


def significant(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without heartbeats: what must be reported at once when it changes."""
    conditions = [
        {key: value for key, value in item.items() if key != "lastHeartbeatTime"}
        for item in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
