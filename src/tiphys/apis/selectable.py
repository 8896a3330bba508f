"""What a fieldSelector compares: the text of an object's selectable fields, with the API's defaults.

``Resource.selectable_fields`` says which paths a kind has; this module reads them. Objects come in their
storage version (events as core Events); the paths of ``events.k8s.io`` mean the core ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource

INDEXED: Final = {"pods": "spec.nodeName"}
"""By resource, of whatever group, the field by whose values objects and watches are found: every object is
asked for it, so it is read as soon as one is decoded."""

_DEFAULTS = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}
_ELSEWHERE = {
    "status.successful": ("status", "succeeded"),
    "reportingController": ("reportingComponent",),
}
_SPLIT: dict[str, tuple[str, ...]] = {}


def field_value(obj: Object, path: str) -> str:
    """Return the field's value as selectors compare it: ``""`` (or the field's zero) where it is unset."""
    if path == "source":
        source = obj.get("source")
        component = source.get("component") if isinstance(source, dict) else None
        return _text(component or obj.get("reportingComponent"), "")
    steps = _SPLIT.get(path)
    if steps is None:
        steps = _SPLIT[path] = _steps(path)
    value: Any = obj
    for step in steps:
        if not isinstance(value, dict):
            return ""
        value = value.get(step)
        if value is None:
            return _DEFAULTS.get(path, "")
    return _text(value, _DEFAULTS.get(path, ""))


def _found(obj: Object, steps: list[str]) -> str:
    """Return the value of a custom kind's field: paths mean what they say, unset ones are empty."""
    value: Any = obj
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return _text(value, "")


def field_values(resource: Resource, obj: Object) -> dict[str, str]:
    """Return every selectable field of an object, metadata.name and metadata.namespace included."""
    meta = obj["metadata"]
    values = {"metadata.name": meta.get("name", "")}
    if resource.namespaced:
        values["metadata.namespace"] = meta.get("namespace", "")
    if resource.custom:
        values.update((path, _found(obj, path.split("."))) for path in resource.selectable_fields)
        return values
    plain, others = _plan(resource.selectable_fields)
    for section, fields in plain:
        inner = obj.get(section)
        if type(inner) is not dict:
            values.update((path, field_value(obj, path)) for path, _, _ in fields)
            continue
        for path, key, unset in fields:
            found = inner.get(key)
            if type(found) is str:
                values[path] = found
            else:
                values[path] = unset if found is None else field_value(obj, path)
    for path in others:
        values[path] = field_value(obj, path)
    return values


_Fields = tuple[tuple[str, str, str], ...]


@lru_cache(maxsize=1024)
def _plan(paths: tuple[str, ...]) -> tuple[tuple[tuple[str, _Fields], ...], tuple[str, ...]]:
    """Return the paths of two steps by the first (path, second step, what an unset one is), and the rest."""
    plain: dict[str, list[tuple[str, str, str]]] = {}
    others = []
    for path in paths:
        steps = () if path == "source" else _steps(path)
        if len(steps) == 2:
            plain.setdefault(steps[0], []).append((path, steps[1], _DEFAULTS.get(path, "")))
        else:
            others.append(path)
    return tuple((section, tuple(fields)) for section, fields in plain.items()), tuple(others)


def supports(resource: Resource, path: str) -> bool:
    """Return whether a fieldSelector on the resource may name the path."""
    if path == "metadata.name" or (path == "metadata.namespace" and resource.namespaced):
        return True
    return path in resource.selectable_fields


def storage_path(path: str) -> str:
    """Return the path by which a field of ``events.k8s.io`` is known on the stored core Event."""
    if path == "reportingController":
        return "reportingComponent"
    if path.startswith("regarding."):
        return "involvedObject." + path.removeprefix("regarding.")
    return path


def _steps(path: str) -> tuple[str, ...]:
    return _ELSEWHERE.get(path) or tuple(storage_path(path).split("."))


def _text(value: Any, default: str) -> str:
    if value is None:
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
