"""``/metrics/cadvisor``: containers' usage under cAdvisor's names. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.kubelet.runtime import ContainerStats, RuntimePod

_NANO = 1_000_000_000
_FAMILIES = {
    "container_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed in seconds."),
    "container_memory_usage_bytes": ("gauge", "Current memory usage in bytes, all of it."),
    "container_memory_working_set_bytes": ("gauge", "Current working set in bytes."),
    "container_memory_rss": ("gauge", "Size of RSS in bytes."),
    "container_fs_usage_bytes": ("gauge", "Bytes that the container's own layer takes."),
    "container_start_time_seconds": ("gauge", "Start time since the epoch in seconds."),
}


def render(collected: Iterable[tuple[RuntimePod, list[ContainerStats]]]) -> bytes:
    """Return the metrics as text."""
    lines: dict[str, list[str]] = {name: [] for name in _FAMILIES}
    for pod, items in collected:
        for item in items:
            running = pod.latest(item.name)
            started = running.started_at if running is not None else None
            labels = (
                f'container="{item.name}",id="{item.id}",name="{item.id}",namespace="{pod.namespace}",'
                f'pod="{pod.name}"'
            )
            values = {
                "container_cpu_usage_seconds_total": None
                if item.cpu_nanoseconds is None
                else item.cpu_nanoseconds / _NANO,
                "container_memory_usage_bytes": item.memory_usage_bytes,
                "container_memory_working_set_bytes": item.memory_working_set_bytes,
                "container_memory_rss": item.memory_rss_bytes,
                "container_fs_usage_bytes": item.filesystem_bytes,
                "container_start_time_seconds": started.timestamp() if started else None,
            }
            stamp = item.timestamp_ns // 1_000_000
            for name, value in values.items():
                if value is not None:
                    lines[name].append(f"{name}{{{labels}}} {value} {stamp}")
    text = []
    for name, (kind, words) in _FAMILIES.items():
        text += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *lines[name]]
    return ("\n".join(text) + "\n").encode()
