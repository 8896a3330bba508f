"""Defaults, rules and strategies of the ``scheduling.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, immutable
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import fill_optional, peek
from tiphys.apis.scheduling import workloads
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import one_of

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def default_priority_class(obj: Object) -> None:
    """Pods of a class preempt lower ones unless the class says otherwise."""
    fill_optional(obj, "preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("value", 0)


def validate_priority_class(obj: Object) -> list[FieldError]:
    """Return every fault of a PriorityClass; the system's own are let through as they are."""
    name, value = str(peek(obj, "metadata").get("name") or ""), obj.get("value") or 0
    faults: list[FieldError] = []
    if name.startswith("system-"):
        if error := _unlike_the_systems(name, value, is_default=bool(obj.get("globalDefault"))):
            text = "priority class names with 'system-' prefix are reserved for system use only. error: "
            faults.append(forbidden("metadata.name", text + error))
    elif value > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        faults.append(forbidden("value", text))
    policy = obj.get("preemptionPolicy")
    if policy is None:
        return faults
    return faults + one_of(policy, "preemptionPolicy", ("PreemptLowerPriority", "Never"), as_given=True)


def _unlike_the_systems(name: str, value: int, *, is_default: bool) -> str:
    """Why a class is none of the system's own; empty when it is one."""
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def validate_priority_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a PriorityClass; its value never changes."""
    faults: list[FieldError] = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        faults.append(forbidden("value", "may not be changed in an update."))
    policy, before = new.get("preemptionPolicy"), old.get("preemptionPolicy")
    return faults + immutable("preemptionPolicy", policy, before)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("scheduling.k8s.io", "v1", "PriorityClass"),
        default=default_priority_class,
        validate=validate_priority_class,
        validate_update=validate_priority_class_update,
        has_generation=True,
        keeps_generation=True,
    ),
    *workloads.STRATEGIES,
)
