"""On which nodes a daemon belongs: selectors, affinity, taints. Pure.

Source: "Taints and tolerations for DaemonSet"; core/v1 NodeSelectorTerm.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.taints import tolerates

_ALWAYS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def should_run(template: Object, node: Object) -> tuple[bool, bool]:
    """Return whether a daemon should be started on a node, and whether one there may stay."""
    spec = template.get("spec") or {}
    if spec.get("nodeName") not in (None, "", node["metadata"]["name"]):
        return False, False
    if not _fits(spec, node):
        return False, False
    tolerations = [*(spec.get("tolerations") or ()), *added_tolerations(spec)]
    start = stay = True
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") not in ("NoSchedule", "NoExecute"):
            continue
        if not tolerates(tolerations, taint):
            start = False
            stay = stay and taint["effect"] != "NoExecute"
    return start, stay


def added_tolerations(spec: Object) -> list[Object]:
    """Tolerations that every daemon gets."""
    wanted = [*_ALWAYS, *([_HOST_NETWORK] if spec.get("hostNetwork") else [])]
    return [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]


def pin(spec: Object, node: str) -> Object:
    """Return the pod spec bound to one node by affinity, so that the scheduler still decides when."""
    pinned: Object = copy_object(spec)
    present = pinned.get("tolerations") or []
    pinned["tolerations"] = [*present, *(item for item in added_tolerations(spec) if item not in present)]
    field: Object = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = pinned.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [field]} for term in terms]
    return pinned


def target_node(pod: Object) -> str:
    """The node a daemon pod is on, or is pinned to."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    for term in _terms(spec) or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""


def _terms(spec: Object) -> list[Object] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def _fits(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = _terms(spec)
    return terms is None or any(_term_matches(term, node) for term in terms)


def _term_matches(term: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    expressions, named = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not named:
        return False
    return all(_holds(item, labels) for item in expressions) and all(_holds(item, fields) for item in named)


def _holds(requirement: Object, values: dict[str, Any]) -> bool:
    key, wanted = requirement["key"], requirement.get("values") or []
    present, value = key in values, values.get(key)
    match requirement["operator"]:
        case "In":
            return present and value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
        case "Gt" | "Lt" as operator:
            left, right = atoi(str(value)), atoi(wanted[0]) if wanted else None
            if left is None or right is None:
                return False
            return left > right if operator == "Gt" else left < right
    return False
