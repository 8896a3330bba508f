"""The row of a HorizontalPodAutoscaler, in the shape of either served version."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.hpa_conversion import hpa_from_v1
from tiphys.apis.printers.base import (
    AGE,
    NAME,
    UNKNOWN,
    UNSET,
    Cells,
    Printer,
    age_of,
    column,
    integer,
    limited,
    name_of,
)

_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: Object, status: Object) -> str:
    """Return ``current/target`` of one metric; ``<nil>`` is a value that its own status leaves out."""
    kind = str(spec.get("type") or "")
    source = _SOURCES.get(kind)
    if source is None:
        return "<unknown type>"
    target, current = peek(spec, source, "target"), peek(status, source, "current")
    known = status.get(source) is not None
    named = f"{peek(spec, source).get('name')}: " if kind in ("Resource", "ContainerResource") else ""
    if named and target.get("averageValue") is None:
        return named + _utilization(target.get("averageUtilization"), current.get("averageUtilization"))
    average = target.get("averageValue") is not None or kind == "Pods"
    key = "averageValue" if average else "value"
    suffix = " (avg)" if average and kind in ("External", "Object") else ""
    if suffix:
        known = current.get(key) is not None
    now = str(current.get(key, "<nil>")) if known else UNKNOWN
    return f"{named}{now}/{target.get(key, '<nil>')}{suffix}"


def _utilization(wanted: int | None, percent: int | None) -> str:
    now = UNKNOWN if percent is None else f"{percent}%"
    return f"{now}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _targets(obj: Object) -> str:
    metrics = list(each(obj, "spec", "metrics"))
    current = list(each(obj, "status", "currentMetrics"))
    texts = [
        _metric(metric, current[index] if index < len(current) else {})
        for index, metric in enumerate(metrics)
    ]
    return limited(texts, 2, separator=", ")


def autoscaler_row(obj: Object, now: datetime) -> Cells:
    """Return the cells of a HorizontalPodAutoscaler."""
    if obj.get("apiVersion") == "autoscaling/v1":
        obj = hpa_from_v1(obj, cpu_first=True)
    spec = peek(obj, "spec")
    reference = peek(spec, "scaleTargetRef")
    least = spec.get("minReplicas")
    return [
        name_of(obj),
        f"{reference.get('kind')}/{reference.get('name')}",
        _targets(obj),
        UNSET if least is None else str(least),
        int(spec.get("maxReplicas") or 0),
        int(peek(obj, "status").get("currentReplicas") or 0),
        age_of(obj, now),
    ]


def scale_row(obj: Object, now: datetime) -> Cells:
    """Return the cells of a Scale."""
    spec, status = peek(obj, "spec"), peek(obj, "status")
    return [name_of(obj), int(spec.get("replicas") or 0), int(status.get("replicas") or 0), age_of(obj, now)]


SCALE = Printer(
    (
        NAME | {"format": ""},
        integer("Desired", "Pods there should be."),
        integer("Available", "Pods there are now."),
        AGE,
    ),
    scale_row,
)
AUTOSCALER = Printer(
    (
        NAME,
        column("Reference", "What is scaled."),
        column("Targets", "What is measured, and what it should be."),
        column("MinPods", "Never fewer pods than these."),
        column("MaxPods", "Never more pods than these."),
        column("Replicas", "Pods there are now."),
        AGE,
    ),
    autoscaler_row,
)
