"""Rules and strategies of the ``node.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, immutable, invalid_all, required
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.core.affinity_validation import validate_tolerations
from tiphys.apis.core.amount_defaults import round_amounts
from tiphys.apis.core.pod_warnings import old_node_label
from tiphys.apis.core.resource_validation import validate_resources
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.meta_validation import validate_labels
from tiphys.apis.strategy import Strategy


def default_runtime_class(obj: Object) -> None:
    """Complete a RuntimeClass."""
    round_amounts(obj.get("overhead"), "podFixed")


def validate_runtime_class(obj: Object) -> list[FieldError]:
    """Return every fault of a RuntimeClass."""
    handler = obj.get("handler") or ""
    faults = invalid_all("handler", handler, names.is_dns1123_label(handler)) if handler else []
    if not handler:
        faults.append(required("handler", "must be a valid DNS label"))
    limits = peek(obj, "overhead").get("podFixed")
    faults += validate_resources({"limits": limits or {}}, "overhead")
    scheduling = peek(obj, "scheduling")
    faults += validate_labels(peek(scheduling, "nodeSelector"), "scheduling.nodeSelector")
    return faults + _tolerations(scheduling, "scheduling.tolerations")


def _tolerations(scheduling: Object, path: str) -> list[FieldError]:
    """They compare no numbers, whatever a pod's may do, and none is there twice."""
    faults, seen = validate_tolerations(scheduling, path, may_compare=False), set[tuple[str, ...]]()
    for index, toleration in enumerate(each(scheduling, "tolerations")):
        which = tuple(str(toleration.get(key) or "") for key in ("key", "operator", "value", "effect"))
        if which in seen:
            faults.append(duplicate(f"{path}[{index}]", inside("Toleration", toleration)))
        seen.add(which)
    return faults


def validate_runtime_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a RuntimeClass; its handler never changes."""
    return validate_runtime_class(new) + immutable("handler", new.get("handler"), old.get("handler"))


def runtime_class_warnings(obj: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a RuntimeClass: labels of nodes that have newer names."""
    labels = peek(obj, "scheduling", "nodeSelector")
    return [f"scheduling.nodeSelector: {text}" for key in sorted(labels) if (text := old_node_label(key))]


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("node.k8s.io", "v1", "RuntimeClass"),
        default=default_runtime_class,
        validate=validate_runtime_class,
        validate_update=validate_runtime_class_update,
        warnings=runtime_class_warnings,
        allow_create_on_update=True,
        unconditional_update=False,
    ),
)
