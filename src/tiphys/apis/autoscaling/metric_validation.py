"""Rules of the metrics that an autoscaler follows, and of what it refers to."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.resource_validation import container_resource_name, parse_amount
from tiphys.apis.defaulting import peek

_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_KEYS = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
"""In the order in which they are looked at: of several only the first is."""
_TARGETS = ("Utilization", "Value", "AverageValue")


def api_version_text(reference: Object, *, no_group: bool) -> str:
    """Return what is wrong with the ``apiVersion`` of a reference."""
    version = str(reference.get("apiVersion") or "")
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    if not no_group and not version.rpartition("/")[0]:
        return "apiVersion must specify API group"
    return ""


def reference_faults(
    reference: Object, path: str, *, any_version: bool = False, no_group: bool = False
) -> list[FieldError]:
    """Return every fault of a reference to an object in the same namespace."""
    faults: list[FieldError] = []
    for key in ("kind", "name"):
        faults += _segment(reference.get(key) or "", f"{path}.{key}")
    text = "" if any_version else api_version_text(reference, no_group=no_group)
    if text:
        faults.append(invalid(f"{path}.apiVersion", reference.get("apiVersion") or "", text))
    return faults


def _segment(value: str, path: str, text: str = "") -> list[FieldError]:
    if not value:
        return [required(path, text)]
    return invalid_all(path, value, names.is_path_segment_name(value))


def metrics_faults(metrics: list[Object], path: str, *, any_reference: bool) -> list[FieldError]:
    """Return every fault of the metrics of an autoscaler."""
    return [
        fault
        for index, metric in enumerate(metrics)
        for fault in _metric(metric, f"{path}[{index}]", any_reference=any_reference)
    ]


def _metric(metric: Object, path: str, *, any_reference: bool) -> list[FieldError]:
    kind = metric.get("type") or ""
    faults = [] if kind else [required(f"{path}.type", "must specify a metric source type")]
    unknown = [] if kind in _TYPES else [not_supported(f"{path}.type", kind, _TYPES)]
    faults += unknown
    given = [key for key in _KEYS.values() if isinstance(metric.get(key), dict)]
    if given:
        source, at = metric[given[0]], f"{path}.{given[0]}"
        if given[0] == "object":
            faults += reference_faults(
                peek(source, "describedObject"),
                f"{at}.describedObject",
                any_version=any_reference,
                no_group=True,
            )
        faults += _SOURCES[given[0]](source, at)
    key = _KEYS.get(kind, "")
    if key and key not in given:
        text = "must populate information for the given metric source"
        faults.append(required(f"{path}.{key}", text))
    faults += unknown
    if len(given) > 1:
        text = "must populate the given metric source only"
        faults += [forbidden(f"{path}.{other}", text) for other in sorted(given) if other != key]
    return faults


def _identifier(source: Object, path: str) -> list[FieldError]:
    return _segment(
        peek(source, "metric").get("name") or "", f"{path}.metric.name", "must specify a metric name"
    )


def _target(target: Object, path: str) -> list[FieldError]:
    kind = target.get("type") or ""
    faults = [] if kind else [required(f"{path}.type", "must specify a metric target type")]
    if kind not in _TARGETS:
        faults.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for key in ("value", "averageValue"):
        parsed = parse_amount(target[key]) if target.get(key) is not None else None
        if parsed is not None and parsed.amount <= 0:
            faults.append(invalid(f"{path}.{key}", str(target[key]), "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        faults.append(invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))
    return faults


def _object(source: Object, path: str) -> list[FieldError]:
    target, at = peek(source, "target"), f"{path}.target"
    faults = _identifier(source, path) + _target(target, at)
    if target.get("value") is None and target.get("averageValue") is None:
        text = "must set either a target value or averageValue"
        faults.append(required(f"{at}.averageValue", text))
    return faults


def _external(source: Object, path: str) -> list[FieldError]:
    target, at = peek(source, "target"), f"{path}.target"
    faults = _identifier(source, path) + _target(target, at)
    value, average = target.get("value"), target.get("averageValue")
    if value is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        faults.append(required(f"{at}.averageValue", text))
    if value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        faults.append(forbidden(f"{at}.value", text))
    return faults


def _pods(source: Object, path: str) -> list[FieldError]:
    target, at = peek(source, "target"), f"{path}.target"
    faults = _identifier(source, path) + _target(target, at)
    if target.get("averageValue") is None:
        faults.append(required(f"{at}.averageValue", "must specify a positive target averageValue"))
    return faults


def _resource(source: Object, path: str) -> list[FieldError]:
    faults = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    return faults + _usage(peek(source, "target"), f"{path}.target")


def _container_resource(source: Object, path: str) -> list[FieldError]:
    name, container = source.get("name") or "", source.get("container") or ""
    if name:
        faults = container_resource_name(name, f"{path}.name")
    else:
        faults = [required(f"{path}.name", "must specify a resource name")]
    if container:
        faults += invalid_all(f"{path}.container", container, names.is_dns1123_label(container))
    else:
        faults.append(required(f"{path}.container", "must specify a container"))
    return faults + _usage(peek(source, "target"), f"{path}.target")


def _usage(target: Object, path: str) -> list[FieldError]:
    faults = _target(target, path)
    percent, average = target.get("averageUtilization"), target.get("averageValue")
    if percent is None and average is None:
        text = "must set either a target raw value or a target utilization"
        faults.append(required(f"{path}.averageUtilization", text))
    if percent is not None and average is not None:
        text = "may not set both a target raw value and a target utilization"
        faults.append(forbidden(f"{path}.averageValue", text))
    return faults


_SOURCES: dict[str, Callable[[Object, str], list[FieldError]]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}
