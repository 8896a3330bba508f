"""Defaults and strategies of the ``scheduling.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import fill_optional
from tiphys.apis.strategy import Strategy


def default_priority_class(obj: Object) -> None:
    """Pods of a class preempt lower ones unless the class says otherwise."""
    fill_optional(obj, "preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("value", 0)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("scheduling.k8s.io", "v1", "PriorityClass"),
        default=default_priority_class,
        has_generation=True,
    ),
)
