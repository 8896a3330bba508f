"""Lists that mean something although nothing is in them: decoding drops all others.

An object without managers on purpose forgets those that it has. An autoscaler that scales by no policies is
refused, where one that names none gets the usual ones. A pod as a whole may not claim devices, not even none;
a slice names devices or shared counters, not both.

Pure. Called before and after an object is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.outdated_annotations import TEMPLATES

Path = tuple[str, ...]
_MANAGERS: Path = ("metadata", "managedFields")
_SLICE = ("resource.k8s.io", "ResourceSlice")
_OF_SLICES: tuple[Path, ...] = (("spec", "devices"), ("spec", "sharedCounters"))
_PATHS: dict[tuple[str, str], tuple[Path, ...]] = {
    ("autoscaling", "HorizontalPodAutoscaler"): (
        _MANAGERS,
        *(("spec", "behavior", direction, "policies") for direction in ("scaleUp", "scaleDown")),
    ),
    **{kind: (_MANAGERS, (*template, "spec", "resources", "claims")) for kind, template in TEMPLATES.items()},
    _SLICE: (_MANAGERS, *_OF_SLICES),
}


def found(obj: Object, gvk: GVK) -> list[Path]:
    """Return where an object has such a list, empty."""
    kind = (gvk.group, gvk.kind)
    empty = [path for path in _PATHS.get(kind, (_MANAGERS,)) if _at(obj, path) == []]
    if kind == _SLICE and any(_at(obj, path) is None for path in _OF_SLICES):
        # one that stands alone says no more than none
        return [path for path in empty if path not in _OF_SLICES]
    return empty


def _at(value: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def put_back(obj: Object, paths: Iterable[Path]) -> None:
    """Let a decoded object have these lists again, empty; what is on the way to them may be shared."""
    for path in paths:
        holder = obj
        for key in path[:-1]:
            holder[key] = {**holder.get(key, {})}
            holder = holder[key]
        holder[path[-1]] = []
