"""The ``scale`` subresource: an autoscaling/v1 Scale made from a workload, and written back into it.

Built-in workloads and custom resources alike: ``ScalePaths`` says where the numbers are.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import field_errors, go_text, labels
from tiphys.apimachinery.dataclass import dataclass
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


def says_replicas(obj: Object, paths: ScalePaths) -> bool:
    """Tell whether an object says how many replicas are wanted; a built-in one has a default."""
    return _get(obj, paths.spec_replicas) is not None


def apply_scale(obj: Object, scale: Object, paths: ScalePaths = BUILT_IN) -> Object:
    """Return a copy of the object with the Scale's replicas; all else is shared."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    return _set(obj, paths.spec_replicas.split("."), replicas)


def validate_scale(scale: Object) -> list[FieldError]:
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        return [field_errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")]
    return []


def replicas_faults(obj: Object, path: str) -> list[FieldError]:
    """Return what is wrong with a number that a custom object's Scale shows."""
    value, fault = _read(obj, path, int)
    if fault:
        return [fault]
    if value is None or 0 <= value <= _MAX_REPLICAS:
        return []
    text = (
        "should be a non-negative integer"
        if value < 0
        else f"should be less than or equal to {_MAX_REPLICAS}"
    )
    return [field_errors.invalid(f".{path}", value, text)]


def selector_faults(obj: Object, path: str) -> list[FieldError]:
    """Return what is wrong with the selector that a custom object's Scale shows."""
    _, fault = _read(obj, path, str) if path else (None, None)
    return [fault] if fault else []


def _read(obj: Object, path: str, kind: type) -> tuple[Any, FieldError | None]:
    """Return what is at a path, or what stands in the way."""
    value: Any = obj
    walked = ""
    for step in path.split("."):
        walked = f"{walked}.{step}"
        if value is None:
            return None, None
        if not isinstance(value, dict):
            return None, _in_the_way(path, walked, value, "map[string]interface{}", kind)
        if step not in value:
            return None, None
        value = value[step]
    if type(value) is not kind:
        return None, _in_the_way(path, walked, value, _GO_TYPES[kind], kind)
    return value, None


def _in_the_way(path: str, at: str, value: Any, wanted: str, kind: type) -> FieldError:
    found = f"{go_text.plain(value)} is of the type {_GO_TYPES[type(value)]}"
    return field_errors.invalid(f".{path}", kind(), f"{at} accessor error: {found}, expected {wanted}")


_MAX_REPLICAS = 2**31 - 1
_GO_TYPES: dict[type, str] = {
    int: "int64", float: "float64", str: "string", bool: "bool", type(None): "<nil>",
    dict: "map[string]interface {}", list: "[]interface {}",
}  # fmt: skip


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
