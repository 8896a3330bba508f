"""Lists that mean something although nothing is in them: decoding drops all others.

An object without managers on purpose forgets those that it has. An autoscaler that scales by no policies is
refused, where one that names none gets the usual ones.

Pure. Called before and after an object is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.meta import GVK, Object

Path = tuple[str, ...]
_MANAGERS: tuple[Path, ...] = (("metadata", "managedFields"),)
_MORE: dict[tuple[str, str], tuple[Path, ...]] = {
    ("autoscaling", "HorizontalPodAutoscaler"): tuple(
        ("spec", "behavior", direction, "policies") for direction in ("scaleUp", "scaleDown")
    ),
}


def found(obj: Object, gvk: GVK) -> list[Path]:
    """Return where an object has such a list, empty."""
    paths = _MANAGERS + _MORE.get((gvk.group, gvk.kind), ())
    return [path for path in paths if _at(obj, path) == []]


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
