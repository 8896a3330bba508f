"""What every process tells of itself: memory, processor, files, its Python and its collector of garbage.

The names are those of Prometheus' own libraries, which dashboards know.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric

_SELF = Path("/proc/self")


class ProcessFigures:
    """Where there is no ``/proc`` only the figures of Python."""

    def collect(self) -> Iterator[Metric]:
        """Yield the figures as they stand."""
        try:
            yield from _used()
            yield from _files()
        except OSError:
            pass
        yield _python()
        yield from _garbage()


def _used() -> Iterator[Metric]:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = (_SELF / "stat").read_bytes().rpartition(b")")[2].split()
    booted = next(line for line in Path("/proc/stat").read_bytes().splitlines() if line.startswith(b"btime "))
    for name, text, value in (
        ("virtual_memory_bytes", "Virtual memory size in bytes.", float(fields[20])),
        ("resident_memory_bytes", "Resident memory size in bytes.",
         float(fields[21]) * os.sysconf("SC_PAGE_SIZE")),
        ("start_time_seconds", "Start time of the process since unix epoch in seconds.",
         float(fields[19]) / ticks + float(booted.split()[1])),
    ):  # fmt: skip
        yield GaugeMetricFamily(f"process_{name}", text, value)
    spent = (float(fields[11]) + float(fields[12])) / ticks
    yield CounterMetricFamily(
        "process_cpu_seconds", "Total user and system CPU time spent in seconds.", spent
    )


def _files() -> Iterator[Metric]:
    limit = next(
        line for line in (_SELF / "limits").read_bytes().splitlines() if line.startswith(b"Max open file")
    )
    count = len(os.listdir(_SELF / "fd"))
    yield GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", count)
    yield GaugeMetricFamily(
        "process_max_fds", "Maximum number of open file descriptors.", float(limit.split()[3])
    )


def _python() -> Metric:
    major, minor, patch = platform.python_version_tuple()
    labels = {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patch,
    }
    family = GaugeMetricFamily("python_info", "Python platform information", labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1)
    return family


def _garbage() -> Iterator[Metric]:
    for key, name, text in (
        ("collected", "objects_collected", "Objects collected during gc"),
        ("uncollectable", "objects_uncollectable", "Uncollectable objects found during GC"),
        ("collections", "collections", "Number of times this generation was collected"),
    ):
        family = CounterMetricFamily(f"python_gc_{name}", text, labels=("generation",))
        for generation, stat in enumerate(gc.get_stats()):
            family.add_metric((str(generation),), stat[key])
        yield family
