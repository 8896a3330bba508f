"""The row of a HorizontalPodAutoscaler, in the shape of either served version."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    NAME,
    NONE,
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
    """Return ``current/target`` of one metric."""
    kind = str(spec.get("type") or "")
    source = _SOURCES.get(kind, "")
    target, current = peek(spec, source, "target"), peek(status, source, "current")
    named = f"{peek(spec, source).get('name')}: " if kind in ("Resource", "ContainerResource") else ""
    if named and target.get("averageValue") is None:
        percent = current.get("averageUtilization")
        now = UNKNOWN if percent is None else f"{percent}%"
        wanted = target.get("averageUtilization")
        return f"{named}{now}/{'<auto>' if wanted is None else f'{wanted}%'}"
    average = target.get("averageValue") is not None
    key = "averageValue" if average else "value"
    now = str(current.get(key, UNKNOWN))
    suffix = " (avg)" if average and kind in ("External", "Object") else ""
    return f"{named}{now}/{target.get(key)}{suffix}"


def _targets(obj: Object) -> str:
    spec, status = peek(obj, "spec"), peek(obj, "status")
    metrics = list(each(spec, "metrics"))
    if not metrics and spec.get("targetCPUUtilizationPercentage") is not None:
        current: Any = status.get("currentCPUUtilizationPercentage")
        now = UNKNOWN if current is None else f"{current}%"
        return f"cpu: {now}/{spec['targetCPUUtilizationPercentage']}%"
    if not metrics:
        return NONE
    current_metrics = list(each(status, "currentMetrics"))
    texts = [
        _metric(metric, current_metrics[index] if index < len(current_metrics) else {})
        for index, metric in enumerate(metrics)
    ]
    return limited(texts, 2, separator=", ")


def autoscaler_row(obj: Object, now: datetime) -> Cells:
    """Return the cells of a HorizontalPodAutoscaler."""
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


AUTOSCALER = Printer(
    (
        NAME,
        column("Reference", "What is scaled."),
        column("Targets", "What is measured, and what it should be."),
        column("MinPods", "Never fewer pods than these."),
        column("MaxPods", "Never more pods than these."),
        integer("Replicas", "Pods there are now."),
        AGE,
    ),
    autoscaler_row,
)
