"""Usage of containers, pods and the node, for ``/stats/summary`` and ``/metrics/resource``.

Owns the samples between which rates are computed.
Source: the summary API (``k8s.io/kubelet/pkg/apis/stats/v1alpha1``), "Resource metrics pipeline".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tiphys.apimachinery.clock import Clock, rfc3339
from tiphys.apimachinery.families import number_text
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.nodestatus.machine import booted_at_s, memory_available_bytes, processes
from tiphys.kubelet.runtime import ContainerStats, RuntimePod
from tiphys.kubelet.stats import cadvisor, cgroup_usage
from tiphys.kubelet.stats.cgroup_counters import Counters
from tiphys.kubelet.stats.pod_usage import (
    PodUsage,
    file_system,
    network_summary,
    pod_usage,
    volume_summaries,
)

_LIGHT = ("nodeName", "podRef", "name", "startTime", "cpu", "memory", "containers")
_NANO = 1_000_000_000


def _time(nanoseconds: int) -> str:
    return rfc3339(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000))


class Stats:
    """Asks the runtime and shapes the answer."""

    def __init__(self, node: NodeContext, pods: Callable[[], Iterable[Object]] = tuple) -> None:
        self._node = node
        self._pods = pods
        self._samples: dict[str, tuple[int, int]] = {}

    async def collect(self) -> list[tuple[RuntimePod, list[ContainerStats]]]:
        """Return the usage of all running containers, by pod. Raises RuntimeFailure."""
        by_pod: dict[str, list[ContainerStats]] = {}
        for item in await self._node.runtime.container_stats():
            by_pod.setdefault(item.pod_uid, []).append(item)
        return [(pod, by_pod[pod.uid]) for pod in self._node.cache.all() if pod.uid in by_pod]

    async def summary(self) -> dict[str, Any]:
        """Return the summary API's answer. Raises RuntimeFailure."""
        collected = await self.collect()
        usage = await self._usage(pod for pod, _ in collected)
        here = {"node", *(item.id for _, items in collected for item in items)}
        self._samples = {key: sample for key, sample in self._samples.items() if key in here}
        now_ns = int(self._node.clock.now().timestamp() * _NANO)
        return {
            "node": self._node_stats(now_ns),
            "pods": [self._pod_stats(pod, items, usage[pod.uid]) for pod, items in collected],
        }

    async def _usage(self, pods: Iterable[RuntimePod]) -> dict[str, PodUsage]:
        """Return what the machine says of pods, by UID."""
        known = {str(pod["metadata"]["uid"]): pod for pod in self._pods()}
        found = list(pods)
        return await asyncio.to_thread(
            lambda: {pod.uid: pod_usage(self._node, pod, known.get(pod.uid)) for pod in found}
        )

    def _rate(self, key: str, timestamp_ns: int, used_ns: int) -> int:
        """Return nanocores since the sample before; 0 for the first."""
        before = self._samples.get(key)
        self._samples[key] = (timestamp_ns, used_ns)
        if before is None or timestamp_ns <= before[0]:
            return 0
        return max(0, (used_ns - before[1]) * _NANO // (timestamp_ns - before[0]))

    def _node_stats(self, now_ns: int) -> dict[str, Any]:
        used_ns, working_set = self.node_usage()
        disk = file_system(self._node.volumes.root)
        most, running = processes()
        return {
            "nodeName": self._node.name,
            "startTime": _time(booted_at_s() * _NANO),
            "cpu": {
                "time": _time(now_ns),
                "usageNanoCores": self._rate("node", now_ns, used_ns),
                "usageCoreNanoSeconds": used_ns,
            },
            "memory": {
                "time": _time(now_ns),
                "availableBytes": memory_available_bytes(),
                "usageBytes": working_set,
                "workingSetBytes": working_set,
            },
            "fs": {"time": _time(now_ns), **disk},
            # Images and what containers write lie where the node's other files do.
            "runtime": {
                "imageFs": {"time": _time(now_ns), **disk},
                "containerFs": {"time": _time(now_ns), **disk},
            },
            "rlimit": {"time": _time(now_ns), "maxpid": most, "curproc": running},
        }

    def _pod_stats(self, pod: RuntimePod, items: Sequence[ContainerStats], usage: PodUsage) -> dict[str, Any]:
        disk = file_system(self._node.volumes.root)
        containers = [self._container_stats(pod, item, usage, disk) for item in items]
        now = rfc3339(self._node.clock.now())
        started = pod.sandbox.created_at if pod.sandbox else self._node.clock.now()
        found: dict[str, Any] = {
            "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "startTime": rfc3339(started),
            "containers": containers,
            "cpu": _sum(containers, "cpu"),
            "memory": _sum(containers, "memory"),
        }
        if network := network_summary(usage.interfaces, now):
            found["network"] = network
        if usage.volumes:
            found["volume"] = volume_summaries(usage.volumes, pod.namespace, now)
        local = [item for item in usage.volumes if item.local]
        written = sum(item.filesystem_bytes or 0 for item in items) + sum(usage.log_bytes.values())
        found["ephemeral-storage"] = {
            "time": now,
            **disk,
            "usedBytes": written + sum(item.used_bytes for item in local),
            "inodesUsed": sum(item.inodes for item in local),
        }
        if usage.counters.processes is not None:
            found["process_stats"] = {"process_count": usage.counters.processes}
        return found

    def _container_stats(
        self, pod: RuntimePod, item: ContainerStats, usage: PodUsage, disk: Mapping[str, int]
    ) -> dict[str, Any]:
        running = pod.latest(item.name)
        started = running.started_at if running else None
        cpu: dict[str, Any] = {"time": _time(item.timestamp_ns)}
        if item.cpu_nanoseconds is not None:
            cpu["usageNanoCores"] = self._rate(item.id, item.timestamp_ns, item.cpu_nanoseconds)
            cpu["usageCoreNanoSeconds"] = item.cpu_nanoseconds
        memory = {
            "time": _time(item.timestamp_ns),
            "usageBytes": item.memory_usage_bytes,
            "workingSetBytes": item.memory_working_set_bytes,
            "rssBytes": item.memory_rss_bytes,
            **_memory_details(usage.containers.get(item.id)),
        }
        result: dict[str, Any] = {
            "name": item.name,
            "startTime": rfc3339(started or self._node.clock.now()),
            "cpu": cpu,
            "memory": {key: value for key, value in memory.items() if value is not None},
        }
        if item.filesystem_bytes is not None:
            result["rootfs"] = {
                "time": _time(item.timestamp_ns),
                **_capacity(disk),
                "usedBytes": item.filesystem_bytes,
            }
        if item.name in usage.log_bytes:
            used = usage.log_bytes[item.name]
            result["logs"] = {"time": _time(item.timestamp_ns), **_capacity(disk), "usedBytes": used}
        return result

    async def metrics(self) -> bytes:
        """Return ``/metrics/resource`` in Prometheus' text form. Raises RuntimeFailure."""
        return render_metrics(await self.collect(), self._node.clock, self.node_usage())

    async def cadvisor(self) -> bytes:
        """Return ``/metrics/cadvisor``. Raises RuntimeFailure."""
        collected = await self.collect()
        usage = await self._usage(pod for pod, _ in collected)
        machine = cadvisor.Machine(os.cpu_count() or 1, self._node.settings.node_memory_bytes)
        return cadvisor.render(collected, usage, machine)

    def node_usage(self) -> tuple[int, int]:
        """Return the node's CPU time in nanoseconds and its working set in bytes.

        One of several nodes of this machine speaks of its part, what its cgroup uses.
        """
        root = self._node.settings.usage_cgroup
        own = cgroup_usage.read(root) if root else None
        if own is not None:
            return own.cpu_ns, own.working_set_bytes
        return node_cpu_nanoseconds(), self._node.settings.node_memory_bytes - memory_available_bytes()


def cpu_and_memory(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a summary what it says of processors and memory. Pure."""

    def kept(item: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in item.items() if key in _LIGHT}

    pods = [
        {**kept(pod), "containers": [kept(item) for item in pod["containers"]]} for pod in summary["pods"]
    ]
    return {"node": kept(summary["node"]), "pods": pods}


def _sum(containers: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for container in containers:
        for key, value in container[kind].items():
            total[key] = value if key == "time" else total.get(key, 0) + value
    return total


def _capacity(disk: Mapping[str, int]) -> dict[str, int]:
    """What a part of a file system says of the whole."""
    return {name: disk[name] for name in ("availableBytes", "capacityBytes", "inodesFree", "inodes")}


def _memory_details(counted: tuple[str, Counters] | None) -> dict[str, int | None]:
    if counted is None:
        return {}
    counters = counted[1]
    found = {"pageFaults": counters.page_faults, "majorPageFaults": counters.major_page_faults}
    if counters.memory_limit and counters.memory_usage is not None:
        working = counters.memory_usage - (counters.memory_inactive_file or 0)
        found["availableBytes"] = max(counters.memory_limit - max(working, 0), 0)
    return found


def node_cpu_nanoseconds() -> int:
    """Return the CPU time that this machine spent on work."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    busy = user + nice + system + irq + softirq + steal
    return busy * _NANO // os.sysconf("SC_CLK_TCK")


def render_metrics(
    collected: Iterable[tuple[RuntimePod, list[ContainerStats]]], clock: Clock, node: tuple[int, int]
) -> bytes:
    """Return the resource metrics as text."""
    now_ms = int(clock.now().timestamp() * 1000)
    families: dict[str, tuple[str, str, list[str]]] = {
        "container_cpu_usage_seconds_total": ("counter", "CPU time of a container in core-seconds", []),
        "container_memory_working_set_bytes": ("gauge", "Working set of a container in bytes", []),
        "container_start_time_seconds": ("gauge", "Start time of a container since the epoch", []),
        "pod_cpu_usage_seconds_total": ("counter", "CPU time of a pod in core-seconds", []),
        "pod_memory_working_set_bytes": ("gauge", "Working set of a pod in bytes", []),
        "node_cpu_usage_seconds_total": ("counter", "CPU time of the node in core-seconds", []),
        "node_memory_working_set_bytes": ("gauge", "Working set of the node in bytes", []),
        "resource_scrape_error": (
            "gauge",
            "1 if there was an error while getting metrics",
            ["resource_scrape_error 0"],
        ),
    }
    node_cpu, node_memory = node[0] / _NANO, node[1]
    families["node_cpu_usage_seconds_total"][2].append(
        f"node_cpu_usage_seconds_total {number_text(node_cpu)} {now_ms}"
    )
    families["node_memory_working_set_bytes"][2].append(
        f"node_memory_working_set_bytes {number_text(node_memory)} {now_ms}"
    )
    for pod, items in collected:
        where = f'namespace="{pod.namespace}",pod="{pod.name}"'
        totals = {"cpu_usage_seconds_total": 0.0, "memory_working_set_bytes": 0.0}
        for item in items:
            stamp = item.timestamp_ns // 1_000_000
            values = {
                "cpu_usage_seconds_total": (item.cpu_nanoseconds or 0) / _NANO,
                "memory_working_set_bytes": item.memory_working_set_bytes or 0,
            }
            for name, value in values.items():
                totals[name] += value
                line = f'container_{name}{{container="{item.name}",{where}}} {number_text(value)} {stamp}'
                families[f"container_{name}"][2].append(line)
            running = pod.latest(item.name)
            if running is not None and running.started_at is not None:
                labels = f'container="{item.name}",{where}'
                started = number_text(running.started_at.timestamp())
                line = f"container_start_time_seconds{{{labels}}} {started}"
                families["container_start_time_seconds"][2].append(line)
        for name, total in totals.items():
            families[f"pod_{name}"][2].append(f"pod_{name}{{{where}}} {number_text(total)} {now_ms}")
    lines = []
    for name, (kind, text, samples) in families.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples]
    return ("\n".join(lines) + "\n").encode()
