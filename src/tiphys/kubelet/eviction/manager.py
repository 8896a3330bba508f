"""Measuring what a node has left, and acting when it is too little: conditions, images, pods.

Owns the loop and what it remembers; ``eviction`` decides. One pod goes at a time, then it is measured again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from tiphys.apimachinery.meta import Object, object_key
from tiphys.kubelet import counts
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.eviction.plan import (
    DISK,
    SIGNALS,
    Observation,
    PodUse,
    Pressure,
    Threshold,
    Victim,
    choose,
    due,
    observe_pressure,
    over_own_limits,
)
from tiphys.kubelet.kuberuntime.sandbox import log_directory
from tiphys.kubelet.nodestatus.machine import memory_available_bytes, processes
from tiphys.kubelet.runtime import ContainerStats
from tiphys.kubelet.stats.cgroup_counters import read_counters
from tiphys.kubelet.volumes.manager import kind_of

log = logging.getLogger(__name__)

Measure = Callable[[], Mapping[str, Observation]]


def measure(root: Path, memory_bytes: int) -> dict[str, Observation]:
    """Return what this machine has left. Images are taken to lie where the node's files do. Blocking."""
    disk = os.statvfs(root)
    space = Observation(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
    inodes = Observation(disk.f_favail, disk.f_files)
    found = {
        "memory.available": Observation(memory_available_bytes(), memory_bytes),
        "nodefs.available": space,
        "imagefs.available": space,
        "pid.available": _processes(),
    }
    if disk.f_files:  # some file systems do not count them
        found |= {"nodefs.inodesFree": inodes, "imagefs.inodesFree": inodes}
    return found


def _processes() -> Observation:
    most, running = processes()
    return Observation(max(0, most - running), most)


def tree_bytes(folder: Path) -> int:
    """Return what a folder takes on the disk; what vanishes meanwhile takes nothing. Blocking."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


class EvictionManager:
    """``look`` every few seconds; ``evict(uid, victim)`` and ``reclaim()`` are how it acts."""

    def __init__(
        self,
        node: NodeContext,
        thresholds: tuple[Threshold, ...],
        pods: Callable[[], Iterable[Object]],
        *,
        evict: Callable[[Victim], None],
        reclaim: Callable[[], Awaitable[None]],
        measure: Measure,
        transition_s: float = 300.0,
        max_grace_s: float = 0.0,
    ) -> None:
        self._node = node
        self._thresholds = thresholds
        self._pods = pods
        self._evict = evict
        self._reclaim = reclaim
        self._measure = measure
        self._transition_s = transition_s
        self._max_grace_s = max_grace_s
        self._leaving: set[str] = set()
        self.pressure = Pressure()

    async def look(self) -> bool:
        """Measure and act; True when the conditions changed. Raises RuntimeFailure, OSError."""
        now = self._node.clock.now()
        before = self.pressure.conditions
        found = await asyncio.to_thread(self._measure)
        self.pressure = observe_pressure(self._thresholds, found, self.pressure, now, self._transition_s)
        uses = await self._uses()
        self._leaving &= {str(item.pod["metadata"]["uid"]) for item in uses}
        if not await self._own_limits(uses) and not self._leaving:
            await self._relieve(due(self.pressure, now), found, uses)
        return self.pressure.conditions != before

    async def _own_limits(self, uses: Iterable[PodUse]) -> bool:
        evicted = False
        for use in uses:
            victim = over_own_limits(use, await asyncio.to_thread(self._empty_dirs, use.pod))
            if victim is not None:
                self._send_away(victim)
                evicted = True
        return evicted

    async def _relieve(
        self, short: list[Threshold], found: Mapping[str, Observation], uses: list[PodUse]
    ) -> None:
        """For the first thing that is short: give back what nobody uses, and if that is not enough, a pod."""
        if not short:
            return
        threshold = short[0]
        kind, resource = SIGNALS[threshold.signal]
        text = f"Attempting to reclaim {resource}"
        log.warning("eviction threshold met signal=%s left=%s", threshold.signal, found[threshold.signal])
        name = self._node.name
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
        self._node.recorder.record(node, "Warning", "EvictionThresholdMet", text)
        if kind == DISK:
            await self._reclaim()
            found = await asyncio.to_thread(self._measure)
            if found[threshold.signal].available >= threshold.least(found[threshold.signal].capacity):
                return
        victim = choose(threshold, found[threshold.signal], uses, self._max_grace_s)
        if victim is not None:
            self._send_away(victim)

    def _send_away(self, victim: Victim) -> None:
        uid = str(victim.pod["metadata"]["uid"])
        if uid in self._leaving:
            return
        self._leaving.add(uid)
        log.warning("evicting pod=%s because=%s", object_key(victim.pod), victim.message)
        counts.evicted(victim.signal)
        self._evict(victim)

    async def _uses(self) -> list[PodUse]:
        """What every pod of the node takes."""
        stats: dict[str, list[ContainerStats]] = {}
        for item in await self._node.runtime.container_stats():
            stats.setdefault(item.pod_uid, []).append(item)
        uses = []
        for pod in self._pods():
            own = stats.get(str(pod["metadata"]["uid"]), [])
            uses.append(await asyncio.to_thread(self._use, pod, own))
        return uses

    def _use(self, pod: Object, stats: Iterable[ContainerStats]) -> PodUse:
        logs = Path(log_directory(pod, self._node.settings.logs_dir))
        containers = {}
        for item in stats:
            containers[item.name] = {
                "memory": item.memory_working_set_bytes or 0,
                "ephemeral-storage": (item.filesystem_bytes or 0) + tree_bytes(logs / item.name),
            }
        used = {
            name: sum(item[name] for item in containers.values()) for name in ("memory", "ephemeral-storage")
        }
        cgroup = self._node.cgroups.find(pod["metadata"]["uid"])
        used["pids"] = (read_counters(cgroup).processes or 0) if cgroup else 0
        used["ephemeral-storage"] += sum(self._empty_dirs(pod).values())
        return PodUse(pod, used, containers)

    def _empty_dirs(self, pod: Object) -> dict[str, int]:
        """Return the sizes of a pod's emptyDir volumes on disk."""
        uid = pod["metadata"]["uid"]
        return {
            item["name"]: tree_bytes(self._node.volumes.path_of(uid, "emptyDir", item["name"]))
            for item in pod["spec"].get("volumes") or ()
            if kind_of(item) == "emptyDir" and (item.get("emptyDir") or {}).get("medium") != "Memory"
        }
