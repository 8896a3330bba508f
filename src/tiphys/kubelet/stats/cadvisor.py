"""``/metrics/cadvisor``: usage under cAdvisor's names. Pure.

Samples with a ``container`` are of that container; those with a ``pod`` alone are of the pod's cgroup and of
its network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.families import number_text
from tiphys.kubelet.runtime import Container, ContainerStats, RuntimePod
from tiphys.kubelet.stats.cgroup_counters import Counters, Interface
from tiphys.kubelet.stats.pod_usage import PodUsage

_NANO = 1_000_000_000
_COUNTER, _GAUGE = "counter", "gauge"
_FAMILIES = {
    "cadvisor_version_info": (_GAUGE, "A metric with a constant 1 for the version of what measures."),
    "machine_cpu_cores": (_GAUGE, "Number of logical processors."),
    "machine_memory_bytes": (_GAUGE, "Amount of memory of the machine."),
    "container_cpu_usage_seconds_total": (_COUNTER, "Cumulative cpu time consumed in seconds."),
    "container_cpu_user_seconds_total": (_COUNTER, "Cumulative user cpu time consumed in seconds."),
    "container_cpu_system_seconds_total": (_COUNTER, "Cumulative system cpu time consumed in seconds."),
    "container_cpu_cfs_periods_total": (_COUNTER, "Elapsed enforcement periods."),
    "container_cpu_cfs_throttled_periods_total": (_COUNTER, "Throttled periods."),
    "container_cpu_cfs_throttled_seconds_total": (_COUNTER, "Time that it was throttled for."),
    "container_memory_usage_bytes": (_GAUGE, "Current memory usage in bytes, all of it."),
    "container_memory_max_usage_bytes": (_GAUGE, "Most memory that was in use, in bytes."),
    "container_memory_working_set_bytes": (_GAUGE, "Current working set in bytes."),
    "container_memory_rss": (_GAUGE, "Size of RSS in bytes."),
    "container_memory_cache": (_GAUGE, "Bytes of page cache."),
    "container_memory_mapped_file": (_GAUGE, "Bytes of memory mapped files."),
    "container_memory_swap": (_GAUGE, "Swap in use in bytes."),
    "container_memory_failcnt": (_COUNTER, "Number of times that the limit was hit."),
    "container_memory_failures_total": (_COUNTER, "Cumulative count of memory allocation failures."),
    "container_oom_events_total": (_COUNTER, "Count of processes killed for lack of memory."),
    "container_processes": (_GAUGE, "Number of processes inside."),
    "container_fs_usage_bytes": (_GAUGE, "Bytes that the container's own layer takes."),
    "container_network_receive_bytes_total": (_COUNTER, "Cumulative count of bytes received."),
    "container_network_receive_packets_total": (_COUNTER, "Cumulative count of packets received."),
    "container_network_receive_errors_total": (_COUNTER, "Cumulative count of errors while receiving."),
    "container_network_receive_packets_dropped_total": (_COUNTER, "Packets dropped while receiving."),
    "container_network_transmit_bytes_total": (_COUNTER, "Cumulative count of bytes transmitted."),
    "container_network_transmit_packets_total": (_COUNTER, "Cumulative count of packets transmitted."),
    "container_network_transmit_errors_total": (_COUNTER, "Cumulative count of errors while transmitting."),
    "container_network_transmit_packets_dropped_total": (_COUNTER, "Packets dropped while transmitting."),
    "container_spec_cpu_shares": (_GAUGE, "CPU share."),
    "container_spec_cpu_period": (_GAUGE, "CPU period."),
    "container_spec_cpu_quota": (_GAUGE, "CPU quota."),
    "container_spec_memory_limit_bytes": (_GAUGE, "Memory limit."),
    "container_start_time_seconds": (_GAUGE, "Start time since the epoch in seconds."),
    "container_last_seen": (_GAUGE, "Last time that it was seen."),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the whole machine has."""

    cpus: int
    memory_bytes: int


class _Text:
    """Collects samples by family."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {name: [] for name in _FAMILIES}

    def put(self, family: str, labels: Mapping[str, str], value: float | None, stamp_ms: int = 0) -> None:
        """Add a sample; None: nobody knows."""
        if value is None:
            return
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in sorted(labels.items()))
        stamp = f" {stamp_ms}" if stamp_ms else ""
        number = number_text(value)
        self._lines[family].append(
            f"{family}{{{inner}}} {number}{stamp}" if inner else f"{family} {number}{stamp}"
        )

    def render(self) -> bytes:
        """Return what was collected; families without samples are not told of."""
        text = []
        for name, (kind, words) in _FAMILIES.items():
            if self._lines[name]:
                text += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *self._lines[name]]
        return ("\n".join(text) + "\n").encode()


def render(
    collected: Iterable[tuple[RuntimePod, Sequence[ContainerStats]]],
    usage: Mapping[str, PodUsage],
    machine: Machine,
) -> bytes:
    """Return the metrics as text; ``usage`` by UID of the pod."""
    text = _Text()
    version = {
        "cadvisorRevision": "",
        "cadvisorVersion": "",
        "dockerVersion": "",
        "kernelVersion": "",
        "osVersion": "",
    }
    text.put("cadvisor_version_info", version, 1)
    text.put("machine_cpu_cores", {}, machine.cpus)
    text.put("machine_memory_bytes", {}, machine.memory_bytes)
    for pod, items in collected:
        used = usage.get(pod.uid, PodUsage())
        for item in items:
            _container(text, pod, item, used)
        if used.cgroup:
            _pod(text, pod, items, used)
    return text.render()


def _labels(pod: RuntimePod, container: Container | None, cgroup: str) -> dict[str, str]:
    return {
        "container": container.name if container else "",
        "id": cgroup,
        "image": container.image if container else "",
        "name": container.id if container else "",
        "namespace": pod.namespace,
        "pod": pod.name,
    }


def _container(text: _Text, pod: RuntimePod, item: ContainerStats, used: PodUsage) -> None:
    running = next((one for one in pod.containers if one.id == item.id), None)
    cgroup, counters = used.containers.get(item.id, (f"/{item.id}", Counters()))
    labels = {**_labels(pod, running, cgroup), "container": item.name, "name": item.id}
    stamp = item.timestamp_ns // 1_000_000
    started = running.started_at if running is not None else None
    cpu = None if item.cpu_nanoseconds is None else item.cpu_nanoseconds / _NANO
    text.put("container_cpu_usage_seconds_total", {**labels, "cpu": "total"}, cpu, stamp)
    usage_bytes = item.memory_usage_bytes if item.memory_usage_bytes is not None else counters.memory_usage
    text.put("container_memory_usage_bytes", labels, usage_bytes, stamp)
    text.put("container_memory_working_set_bytes", labels, item.memory_working_set_bytes, stamp)
    rss = item.memory_rss_bytes if item.memory_rss_bytes is not None else counters.memory_rss
    text.put("container_memory_rss", labels, rss, stamp)
    text.put("container_fs_usage_bytes", {**labels, "device": ""}, item.filesystem_bytes, stamp)
    text.put("container_start_time_seconds", labels, started.timestamp() if started else None)
    text.put("container_last_seen", labels, item.timestamp_ns // _NANO, stamp)
    _counters(text, labels, counters, stamp)


def _pod(text: _Text, pod: RuntimePod, items: Sequence[ContainerStats], used: PodUsage) -> None:
    labels = _labels(pod, None, used.cgroup)
    stamp = max((item.timestamp_ns for item in items), default=0) // 1_000_000
    counters = used.counters
    if counters.cpu_user is not None and counters.cpu_system is not None:
        spent = (counters.cpu_user + counters.cpu_system) / _NANO
        text.put("container_cpu_usage_seconds_total", {**labels, "cpu": "total"}, spent, stamp)
    text.put("container_memory_usage_bytes", labels, counters.memory_usage, stamp)
    if counters.memory_usage is not None:
        working = max(counters.memory_usage - (counters.memory_inactive_file or 0), 0)
        text.put("container_memory_working_set_bytes", labels, working, stamp)
    text.put("container_memory_rss", labels, counters.memory_rss, stamp)
    _counters(text, labels, counters, stamp)
    for interface in used.interfaces:
        _network(text, labels, interface, stamp)


def _counters(text: _Text, labels: Mapping[str, str], counters: Counters, stamp: int) -> None:
    for family, nanoseconds in (
        ("container_cpu_user_seconds_total", counters.cpu_user),
        ("container_cpu_system_seconds_total", counters.cpu_system),
        ("container_cpu_cfs_throttled_seconds_total", counters.cfs_throttled),
    ):
        text.put(family, labels, None if nanoseconds is None else nanoseconds / _NANO, stamp)
    for family, value in (
        ("container_cpu_cfs_periods_total", counters.cfs_periods),
        ("container_cpu_cfs_throttled_periods_total", counters.cfs_throttled_periods),
        ("container_memory_max_usage_bytes", counters.memory_max_usage),
        ("container_memory_cache", counters.memory_cache),
        ("container_memory_mapped_file", counters.memory_mapped),
        ("container_memory_swap", counters.memory_swap),
        ("container_memory_failcnt", counters.memory_failures),
        ("container_oom_events_total", counters.oom_kills),
        ("container_processes", counters.processes),
        ("container_spec_cpu_shares", counters.cpu_shares),
        ("container_spec_cpu_period", counters.cpu_period),
        ("container_spec_memory_limit_bytes", counters.memory_limit),
    ):
        text.put(family, labels, value, stamp)
    if counters.cpu_quota is not None and counters.cpu_quota > 0:
        text.put("container_spec_cpu_quota", labels, counters.cpu_quota, stamp)
    for kind, faults in (("pgfault", counters.page_faults), ("pgmajfault", counters.major_page_faults)):
        where = {**labels, "failure_type": kind, "scope": "hierarchy"}
        text.put("container_memory_failures_total", where, faults, stamp)


def _network(text: _Text, labels: Mapping[str, str], item: Interface, stamp: int) -> None:
    where = {**labels, "interface": item.name}
    for what, value in (
        ("receive_bytes", item.rx_bytes),
        ("receive_packets", item.rx_packets),
        ("receive_errors", item.rx_errors),
        ("receive_packets_dropped", item.rx_dropped),
        ("transmit_bytes", item.tx_bytes),
        ("transmit_packets", item.tx_packets),
        ("transmit_errors", item.tx_errors),
        ("transmit_packets_dropped", item.tx_dropped),
    ):
        text.put(f"container_network_{what}_total", where, value, stamp)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
