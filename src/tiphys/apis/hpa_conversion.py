"""HorizontalPodAutoscaler between autoscaling/v2 and v1.

v1 knows one CPU target and keeps all the rest in annotations. Called by ``apis.conversion`` only.

Source: autoscaling/v1 API, the ``autoscaling.alpha.kubernetes.io`` annotations.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.go_text import safe_in_html
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
_CONDITION = ("type", "status", "lastTransitionTime", "reason", "message")
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
            others.append(_flat(metric, "target"))
    if others:
        notes[_METRICS] = others
    if spec.get("behavior"):
        notes[_BEHAVIOR] = _behavior_note(spec["behavior"])
    new_status = _COUNTED | _pick(status, _SHARED_STATUS)
    for metric in status.get("currentMetrics") or ():
        current = _cpu(metric, "current").get("averageUtilization")
        if current is not None:
            new_status["currentCPUUtilizationPercentage"] = current
    if status.get("currentMetrics"):
        notes[_CURRENT] = [_flat(metric, "current") for metric in status["currentMetrics"]]
    if status.get("conditions"):
        unset = {"lastTransitionTime": None}
        notes[_CONDITIONS] = [_pick(unset | condition, _CONDITION) for condition in status["conditions"]]
    return _rebuilt(obj, new_spec, new_status, notes)


def hpa_from_v1(obj: Object, *, cpu_first: bool = False) -> Object:
    """v1 to v2: annotations go back into fields.

    The field for the CPU comes after the annotation's metrics, if not told otherwise: as objects in v1 are
    stored. What was told of metrics is in the order that they had before v1 took the CPU out.
    """
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    new_spec, new_status = _pick(spec, _SHARED_SPEC), _pick(status, _SHARED_STATUS)
    if not new_status.get("currentReplicas"):
        new_status.pop("currentReplicas", None)
    others = [_nested(metric, "target") for metric in _noted(notes, _METRICS, list)]
    metrics = list(_sound("spec", "metrics", others))
    cpu = spec.get("targetCPUUtilizationPercentage")
    if cpu is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        resource = {"name": "cpu", "target": target}
        metrics.insert(0 if cpu_first else len(metrics), {"type": "Resource", "resource": resource})
    if metrics:
        new_spec["metrics"] = metrics
    if behavior := _sound("spec", "behavior", _behavior(_noted(notes, _BEHAVIOR, dict))):
        new_spec["behavior"] = behavior
    current = [_nested(metric, "current") for metric in _noted(notes, _CURRENT, list)]
    current = _sound("status", "currentMetrics", current)
    used = status.get("currentCPUUtilizationPercentage")
    if used is not None and not current:
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        current = [{"type": "Resource", "resource": resource}]
    if current:
        new_status["currentMetrics"] = current
    if conditions := _sound("status", "conditions", _noted(notes, _CONDITIONS, list)):
        new_status["conditions"] = conditions
    return _rebuilt(obj, new_spec, new_status, {})


def _rebuilt(obj: Object, spec: _Json, status: _Json, notes: _Json) -> Object:
    meta = dict(obj.get("metadata") or {})
    annotations = {
        key: value for key, value in (meta.pop("annotations", None) or {}).items() if key not in NOTES
    }
    annotations |= {key: safe_in_html(orjson.dumps(value).decode()) for key, value in notes.items()}
    if annotations:
        meta["annotations"] = annotations
    result = {**obj, "metadata": meta, "spec": spec}
    if "status" in obj:
        result["status"] = status
    return result


def _pick(source: _Json, keys: tuple[str, ...]) -> _Json:
    """Return some keys of an object, in the order that is asked for."""
    return {key: source[key] for key in keys if key in source}


def _noted(notes: _Json, key: str, kind: type) -> Any:
    """Read a JSON annotation; users can write anything there, so what is no such JSON counts as absent."""
    try:
        value = orjson.loads(notes.get(key) or "null")
    except orjson.JSONDecodeError:
        return kind()
    if isinstance(value, list) and not all(isinstance(item, dict) for item in value):
        return kind()
    return value if isinstance(value, kind) else kind()


def _sound(part: str, key: str, value: Any) -> Any:
    """Return what an annotation says of a field; nothing where it is not of the types of v2."""
    if not value:
        return value
    obj = {"apiVersion": _V2.api_version, "kind": _V2.kind, part: {key: value}}
    try:
        decode_check(obj, schema_for(_V2), "Ignore")
    except DecodeError:
        return type(value)()
    return value


def _cpu(metric: _Json, side: str) -> _Json:
    resource = metric.get("resource") or {}
    is_cpu = metric.get("type") == "Resource" and resource.get("name") == "cpu"
    return dict(resource.get(side) or {}) if is_cpu else {}


_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")


def _behavior_note(behavior: _Json) -> _Json:
    """The annotation has the names of fields in Go, not those of the API, and tells what is unset too."""
    return {key[0].upper() + key[1:]: _rules_note(behavior.get(key)) for key in ("scaleUp", "scaleDown")}


def _rules_note(rules: _Json | None) -> _Json | None:
    if rules is None:
        return None
    note = {key[0].upper() + key[1:]: rules.get(key) for key in _RULES}
    if note["Policies"] is not None:
        note["Policies"] = [
            {key[0].upper() + key[1:]: policy.get(key) for key in ("type", "value", "periodSeconds")}
            for policy in note["Policies"]
        ]
    return note


def _behavior(note: Any) -> Any:
    """Undo ``_behavior_note``; names as the API writes them are understood too."""
    if isinstance(note, dict):
        known = {key: value for key, value in note.items() if key and value is not None}
        return {key[0].lower() + key[1:]: _behavior(value) for key, value in known.items()}
    return [_behavior(item) for item in note] if isinstance(note, list) else note


_METRIC, _SELECTOR = ("metricName", "metric", "name"), ("selector", "metric", "selector")
_OBJECT = (("target", "describedObject"), _METRIC)
_EXTERNAL = (_METRIC, ("metricSelector", "metric", "selector"))


def _amounts(side: str) -> tuple[tuple[str, ...], ...]:
    """Return where ``targetAverageUtilization`` and the like come from, then the two amounts."""
    return tuple(
        (f"{side}{key[0].upper()}{key[1:]}", side, key)
        for key in ("averageUtilization", "averageValue", "value")
    )


_Fields = tuple[tuple[str, ...], ...]


def _fields(side: str) -> dict[str, _Fields]:
    """Return each source's fields in v1, in their order, with their places in v2."""
    utilization, average, value = _amounts(side)
    resource = (("name", "name"), utilization, average)
    return {
        "resource": resource,
        "containerResource": (*resource, ("container", "container")),
        "pods": (_METRIC, average, _SELECTOR),
        "object": (*_OBJECT, value, _SELECTOR, ("averageValue", side, "averageValue")),
        "external": (*_EXTERNAL, value, average),
    }


_FIELDS = {side: _fields(side) for side in ("target", "current")}
_ALWAYS = {
    "target": {"pods": "targetAverageValue", "object": "targetValue"},
    "current": {
        "resource": "currentAverageValue",
        "containerResource": "currentAverageValue",
        "pods": "currentAverageValue",
        "object": "currentValue",
        "external": "currentValue",
    },
}
"""The amounts that v1 tells even where there are none."""
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _flat(metric: _Json, side: str) -> _Json:
    """v2 nests ``target``/``current`` and ``metric``; v1's annotations spread them over prefixed fields."""
    name = _SOURCES.get(str(metric.get("type")), "")
    if not name:
        return dict(metric)
    source = metric.get(name) or {}
    unset = _ALWAYS[side].get(name)
    flat: _Json = {}
    for key, *path in _FIELDS[side][name]:
        value: Any = source
        for part in path:
            value = (value or {}).get(part)
        if value is None and key == unset:
            value = "0"
        if value is not None:
            flat[key] = value
    if "target" in flat:
        flat["target"] = _pick(flat["target"], ("kind", "name", "apiVersion"))
    return {"type": metric["type"], name: flat}


def _nested(metric: _Json, side: str) -> _Json:
    """Undo ``_flat``."""
    name = _SOURCES.get(str(metric.get("type")), "")
    flat = metric.get(name)
    if not isinstance(flat, dict):
        return dict(metric)
    source: _Json = {}
    for key, *path in _FIELDS[side][name]:
        value = flat.get(key)
        if value is None:
            continue
        part = source
        for parent in path[:-1]:
            part = part.setdefault(parent, {})
        part[path[-1]] = value
    amount = source.setdefault(side, {})
    if side == "target":
        if amount.get("value") == "0" and "averageValue" in amount:
            del amount["value"]
        kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
        amount["type"] = next((kind for key, kind in kinds.items() if key in amount), "Value")
    return {"type": metric["type"], name: source}
