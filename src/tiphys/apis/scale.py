"""The ``scale`` subresource: an autoscaling/v1 Scale made from a workload, and written back into it.

Built-in workloads and custom resources alike: ``ScalePaths`` says where the numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery import field_errors, labels
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import Object

_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Dotted paths; ``selector`` may be empty, or lead to a text, a label map or a LabelSelector."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"


BUILT_IN = ScalePaths()


def custom_paths(subresource: dict[str, Any]) -> ScalePaths:
    """Read a CRD's ``subresources.scale``, whose paths start with a dot."""
    return ScalePaths(
        str(subresource["specReplicasPath"]).removeprefix("."),
        str(subresource["statusReplicasPath"]).removeprefix("."),
        str(subresource.get("labelSelectorPath") or "").removeprefix("."),
    )


def scale_of(obj: Object, paths: ScalePaths = BUILT_IN) -> Object:
    """Return the Scale that an object shows."""
    meta = obj["metadata"]
    spec, status = {}, {"replicas": _number(obj, paths.status_replicas)}
    replicas = _number(obj, paths.spec_replicas)
    if replicas:
        spec["replicas"] = replicas
    scale: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in _META if key in meta},
        "spec": spec,
        "status": status,
    }
    selector = _selector(_get(obj, paths.selector) if paths.selector else None)
    if selector:
        scale["status"]["selector"] = selector
    return scale


def apply_scale(obj: Object, scale: Object, paths: ScalePaths = BUILT_IN) -> Object:
    """Return a copy of the object with the Scale's replicas; all else is shared."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    return _set(obj, paths.spec_replicas.split("."), replicas)


def validate_scale(scale: Object) -> list[FieldError]:
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        return [field_errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")]
    return []


def _get(obj: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(step)
    return obj


def _number(obj: Object, path: str) -> int:
    value = _get(obj, path)
    return value if isinstance(value, int) else 0


def _set(obj: Object, steps: list[str], value: Any) -> Object:
    first, *rest = steps
    if not rest:
        return {**obj, first: value}
    return {**obj, first: _set(obj.get(first) or {}, rest, value)}


def _selector(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    if "matchLabels" in value or "matchExpressions" in value:
        return str(labels.from_label_selector(value))
    return labels.format_labels(value)
