"""HorizontalPodAutoscaler between autoscaling/v2 and v1.

v1 knows one CPU target and keeps all the rest in annotations. Called by ``apis.conversion`` only.

Source: autoscaling/v1 API, the ``autoscaling.alpha.kubernetes.io`` annotations.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.schemas import schema_for

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS = _PREFIX + "metrics"
_CURRENT = _PREFIX + "current-metrics"
_CONDITIONS = _PREFIX + "conditions"
_BEHAVIOR = _PREFIX + "behavior"
NOTES = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)
"""The annotations that stand for fields of v2."""
_V2 = GVK("autoscaling", "v2", "HorizontalPodAutoscaler")
_SHARED_SPEC = ("scaleTargetRef", "minReplicas", "maxReplicas")
_SHARED_STATUS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_COUNTED = {"currentReplicas": 0}
"""What a status in v1 always has; v2 leaves out that there are no replicas now."""

_Json = dict[str, Any]


def hpa_to_v1(obj: Object) -> Object:
    """v2 to v1: the first CPU utilization becomes the v1 field, everything else an annotation."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    notes: dict[str, Any] = {}
    new_spec = _pick(spec, _SHARED_SPEC)
    others = []
    for metric in spec.get("metrics") or ():
        target = _cpu(metric, "target").get("averageUtilization")
        if target is not None and "targetCPUUtilizationPercentage" not in new_spec:
            new_spec["targetCPUUtilizationPercentage"] = target
        else:
            others.append(_flat(metric, "target", "target"))
    if others:
        notes[_METRICS] = others
    if spec.get("behavior"):
        notes[_BEHAVIOR] = spec["behavior"]
    new_status = _COUNTED | _pick(status, _SHARED_STATUS)
    for metric in status.get("currentMetrics") or ():
        current = _cpu(metric, "current").get("averageUtilization")
        if current is not None:
            new_status["currentCPUUtilizationPercentage"] = current
            break
    if status.get("currentMetrics"):
        notes[_CURRENT] = [_flat(metric, "current", "current") for metric in status["currentMetrics"]]
    if status.get("conditions"):
        notes[_CONDITIONS] = status["conditions"]
    return _rebuilt(obj, new_spec, new_status, notes)


def hpa_from_v1(obj: Object) -> Object:
    """v1 to v2: annotations go back into fields."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    new_spec, new_status = _pick(spec, _SHARED_SPEC), _pick(status, _SHARED_STATUS)
    if not new_status.get("currentReplicas"):
        new_status.pop("currentReplicas", None)
    metrics = [_nested(metric, "target", "target") for metric in _noted(notes, _METRICS, list)]
    metrics = _sound({"metrics": metrics}).get("metrics") or []
    cpu = spec.get("targetCPUUtilizationPercentage")
    if cpu is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        new_spec["metrics"] = metrics
    if behavior := _sound({"behavior": _noted(notes, _BEHAVIOR, dict)}).get("behavior"):
        new_spec["behavior"] = behavior
    current = [_nested(metric, "current", "current") for metric in _noted(notes, _CURRENT, list)]
    used = status.get("currentCPUUtilizationPercentage")
    if used is not None and not any(_cpu(metric, "current") for metric in current):
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        current.insert(0, {"type": "Resource", "resource": resource})
    if current:
        new_status["currentMetrics"] = current
    if conditions := _noted(notes, _CONDITIONS, list):
        new_status["conditions"] = conditions
    return _rebuilt(obj, new_spec, new_status, {})


def _rebuilt(obj: Object, spec: _Json, status: _Json, notes: _Json) -> Object:
    meta = dict(obj.get("metadata") or {})
    annotations = {
        key: value for key, value in (meta.pop("annotations", None) or {}).items() if key not in NOTES
    }
    annotations |= {key: orjson.dumps(value).decode() for key, value in notes.items()}
    if annotations:
        meta["annotations"] = annotations
    result = {**obj, "metadata": meta, "spec": spec}
    if "status" in obj:
        result["status"] = status
    return result


def _pick(source: _Json, keys: tuple[str, ...]) -> _Json:
    return {key: source[key] for key in keys if key in source}


def _noted(notes: _Json, key: str, kind: type) -> Any:
    """Read a JSON annotation; users can write anything there, so what is no such JSON counts as absent."""
    try:
        value = orjson.loads(notes.get(key) or "null")
    except orjson.JSONDecodeError:
        return kind()
    return value if isinstance(value, kind) else kind()


def _sound(spec: _Json) -> _Json:
    """Return what annotations say of a spec; nothing where it is not of the types of v2."""
    if not any(spec.values()):
        return spec
    obj = {"apiVersion": _V2.api_version, "kind": _V2.kind, "spec": spec}
    try:
        decode_check(obj, schema_for(_V2), "Ignore")
    except DecodeError:
        return {}
    return spec


def _cpu(metric: _Json, side: str) -> _Json:
    resource = metric.get("resource") or {}
    is_cpu = metric.get("type") == "Resource" and resource.get("name") == "cpu"
    return dict(resource.get(side) or {}) if is_cpu else {}


_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _flat(metric: _Json, side: str, prefix: str) -> _Json:
    """v2 nests ``target``/``current`` and ``metric``; v1's annotations spread them over prefixed fields."""
    name = _SOURCES.get(metric.get("type", ""), "")
    source = dict(metric.get(name) or {})
    amount = source.pop(side, None) or {}
    identity = source.pop("metric", None) or {}
    if name == "object":
        source["target"] = source.pop("describedObject", {})
        if "averageValue" in amount:
            source["averageValue"] = amount["averageValue"]
    elif "averageValue" in amount:
        source[f"{prefix}AverageValue"] = amount["averageValue"]
    if "averageUtilization" in amount:
        source[f"{prefix}AverageUtilization"] = amount["averageUtilization"]
    if "value" in amount:
        source[f"{prefix}Value"] = amount["value"]
    if identity.get("name"):
        source["metricName"] = identity["name"]
    if identity.get("selector"):
        source["metricSelector" if name == "external" else "selector"] = identity["selector"]
    return {"type": metric.get("type", ""), name: source} if name else dict(metric)


def _nested(metric: Any, side: str, prefix: str) -> _Json:
    """Undo ``_flat``."""
    if not isinstance(metric, dict):
        return {}
    name = _SOURCES.get(metric.get("type", ""), "")
    source = metric.get(name)
    if not isinstance(source, dict):
        return dict(metric)
    source = dict(source)
    amount: _Json = {}
    for key, flat in (
        ("value", "Value"),
        ("averageValue", "AverageValue"),
        ("averageUtilization", "AverageUtilization"),
    ):
        value = source.pop(prefix + flat, None)
        if value is None and name == "object" and key == "averageValue":
            value = source.pop("averageValue", None)
        if value is not None:
            amount[key] = value
    if name == "object":
        source["describedObject"] = source.pop("target", {})
    if "metricName" in source:
        identity = {"name": source.pop("metricName")}
        selector = source.pop("metricSelector" if name == "external" else "selector", None)
        source["metric"] = {**identity, "selector": selector} if selector else identity
    if side == "target":
        kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
        amount["type"] = next((kind for key, kind in kinds.items() if key in amount), "Value")
    source[side] = amount
    return {"type": metric["type"], name: source}
