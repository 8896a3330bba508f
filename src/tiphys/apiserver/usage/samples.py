"""From what a kubelet says twice to what was used in between. Pure.

Owns: the reading of ``/metrics/resource``, and rates. Source: "Resource metrics pipeline".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?\s*$")
_LABEL = re.compile(r'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_NANO = 1_000_000_000
_CPU, _MEMORY = "cpu_usage_seconds_total", "memory_working_set_bytes"
Container = tuple[str, str, str]
"""Namespace, pod, container."""


@dataclass(slots=True)
class Point:
    """One container or node at one moment. ``at_s`` is the kubelet's clock, since the epoch."""

    at_s: float = 0.0
    cpu_s: float | None = None
    memory_bytes: int | None = None


@dataclass(slots=True)
class Sample:
    """A node and its containers as one scrape showed them."""

    node: Point = field(default_factory=Point)
    containers: dict[Container, Point] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used between two moments; ``at_s`` is the later one."""

    at_s: float
    window_s: float
    cpu_nano: int
    memory_bytes: int


def parse(text: str, now_s: float) -> Sample:
    """Read the text of ``/metrics/resource``. Lines that are not about usage are passed over."""
    sample = Sample()
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name, labels, value, stamp = found.groups()
        scope, _, what = name.partition("_")
        if scope not in ("node", "container") or what not in (_CPU, _MEMORY):
            continue
        point = sample.node
        if scope == "container":
            named = dict(_LABEL.findall(labels or ""))
            key = (named.get("namespace", ""), named.get("pod", ""), named.get("container", ""))
            point = sample.containers.setdefault(key, Point())
        try:
            _set(point, what, float(value), int(stamp) / 1000 if stamp else now_s)
        except ValueError:
            continue
    return sample


def _set(point: Point, what: str, value: float, at_s: float) -> None:
    if what == _CPU:
        point.at_s, point.cpu_s = at_s, value
    else:
        point.memory_bytes = int(value)
        point.at_s = point.at_s or at_s


def between(before: Point | None, after: Point) -> Usage | None:
    """Return what was used between two points, None where they do not say: one is new, or began anew."""
    if before is None or before.cpu_s is None or after.cpu_s is None or after.memory_bytes is None:
        return None
    window_s = after.at_s - before.at_s
    if window_s <= 0 or after.cpu_s < before.cpu_s:
        return None
    cpu_nano = round((after.cpu_s - before.cpu_s) / window_s * _NANO)
    return Usage(after.at_s, window_s, cpu_nano, after.memory_bytes)


def usages(before: Sample, after: Sample) -> tuple[Usage | None, Mapping[Container, Usage]]:
    """Return a node's usage, and that of each container which both samples show."""
    found = {}
    for key, point in after.containers.items():
        usage = between(before.containers.get(key), point)
        if usage is not None:
            found[key] = usage
    return between(before.node, after.node), found
