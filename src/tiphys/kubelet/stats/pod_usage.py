"""What each pod uses beyond what the runtime says: its network, its volumes, its disk, its kernel's counters.

Owns how these are found: by the pod's cgroup, the process of its sandbox, and its folders. Blocking.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.eviction.manager import tree_bytes
from tiphys.kubelet.kuberuntime.sandbox import log_directory
from tiphys.kubelet.runtime import RuntimePod
from tiphys.kubelet.stats.cgroup_counters import (
    Counters,
    Interface,
    first_process,
    read_counters,
    read_network,
)
from tiphys.kubelet.volumes.manager import kind_of

_ELSEWHERE = frozenset({"hostPath", "image", "nfs", "iscsi", "csi"})
"""Kinds of volumes whose files are not the pod's own."""


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """One volume: what it takes, and of which file system."""

    name: str
    used_bytes: int
    inodes: int
    local: bool
    """On the node's disk: part of what the pod takes of it."""
    file_system: Mapping[str, int] = field(default_factory=dict)
    claim: str = ""


@dataclass(frozen=True, slots=True)
class PodUsage:
    """``containers`` are counters and cgroup paths by container id."""

    cgroup: str = ""
    counters: Counters = field(default_factory=Counters)
    interfaces: tuple[Interface, ...] = ()
    containers: Mapping[str, tuple[str, Counters]] = field(default_factory=dict)
    volumes: tuple[VolumeUse, ...] = ()
    log_bytes: Mapping[str, int] = field(default_factory=dict)
    """By container name."""


def pod_usage(node: NodeContext, runtime: RuntimePod, pod: Object | None) -> PodUsage:
    """Read all that is to be known of one pod; ``pod`` None: the API has let go of it."""
    cgroup = node.cgroups.find(runtime.uid)
    counters, containers, interfaces = Counters(), {}, []
    if cgroup:
        counters = read_counters(cgroup)
        for item in runtime.containers:
            if item.running:
                containers[item.id] = (f"{cgroup}/{item.id}", read_counters(f"{cgroup}/{item.id}"))
        sandbox = runtime.sandbox
        if sandbox is not None and sandbox.ready and not sandbox.host_network:
            pid = first_process(f"{cgroup}/{sandbox.id}")
            interfaces = read_network(pid) if pid else []
    logs: dict[str, int] = {}
    volumes: list[VolumeUse] = []
    if pod is not None:
        folder = Path(log_directory(pod, node.settings.logs_dir))
        logs = {item.name: tree_bytes(folder / item.name) for item in runtime.containers if item.running}
        volumes = list(_volumes(node, pod))
    return PodUsage(cgroup, counters, tuple(interfaces), containers, tuple(volumes), logs)


def _volumes(node: NodeContext, pod: Object) -> Iterable[VolumeUse]:
    uid = pod["metadata"]["uid"]
    for volume in pod["spec"].get("volumes") or ():
        kind = kind_of(volume)
        if kind in _ELSEWHERE:
            continue
        path = node.volumes.path_of(uid, kind, volume["name"])
        if not path.is_dir():
            continue
        medium = (volume.get("emptyDir") or {}).get("medium") or ""
        local = kind == "emptyDir" and not medium
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
        try:
            yield VolumeUse(
                volume["name"], tree_bytes(path), tree_entries(path), local, file_system(path), claim
            )
        except OSError:
            continue


def tree_entries(folder: Path) -> int:
    """Return how many files and folders there are, the folder itself too. Blocking."""
    return 1 + sum(len(files) + len(folders) for _, folders, files in os.walk(folder))


def file_system(path: Path) -> dict[str, int]:
    """Return the summary's figures of the file system that holds a path. Blocking. Raises OSError."""
    found = os.statvfs(path)
    return {
        "availableBytes": found.f_bavail * found.f_frsize,
        "capacityBytes": found.f_blocks * found.f_frsize,
        "usedBytes": (found.f_blocks - found.f_bfree) * found.f_frsize,
        "inodesFree": found.f_ffree,
        "inodes": found.f_files,
        "inodesUsed": found.f_files - found.f_ffree,
    }


def network_summary(interfaces: Iterable[Interface], time: str) -> dict[str, Any] | None:
    """Return the summary's ``network``; the first interface is the pod's main one. Pure."""
    shown = [
        {
            "name": item.name,
            "rxBytes": item.rx_bytes,
            "rxErrors": item.rx_errors,
            "txBytes": item.tx_bytes,
            "txErrors": item.tx_errors,
        }
        for item in interfaces
    ]
    if not shown:
        return None
    main = next((item for item in shown if item["name"] == "eth0"), shown[0])
    return {"time": time, **main, "interfaces": shown}


def volume_summaries(volumes: Iterable[VolumeUse], namespace: str, time: str) -> list[dict[str, Any]]:
    """Return the summary's ``volume``. Pure."""
    found = []
    for item in volumes:
        shown: dict[str, Any] = {
            "time": time,
            **item.file_system,
            "usedBytes": item.used_bytes,
            "inodesUsed": item.inodes,
            "name": item.name,
        }
        if item.claim:
            shown["pvcRef"] = {"name": item.claim, "namespace": namespace}
        found.append(shown)
    return found
