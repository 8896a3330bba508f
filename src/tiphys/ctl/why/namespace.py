"""Why a namespace stays Terminating."""

from __future__ import annotations

import re

from tiphys.apimachinery.meta import Object, get_condition
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.scene import Finding, Scene, condition_text

_CONDITIONS = (
    (
        "NamespaceDeletionDiscoveryFailure",
        "What is in it cannot be listed: an API behind it does not answer.",
        "kubectl get apiservices (look for Available=False)",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "What is in it cannot be listed: an API's name is malformed.",
        "kubectl get apiservices",
    ),
    ("NamespaceDeletionContentFailure", "Some of what is in it cannot be deleted.", ""),
    ("NamespaceFinalizersRemaining", "Objects in it have finalizers that nobody has removed yet.", ""),
    ("NamespaceContentRemaining", "Objects in it are not gone yet.", ""),
)
_REMAINS = re.compile(r"([a-z0-9.-]+) has \d+ resource instances")
_EVERYTHING = (
    "kubectl api-resources --verbs=list --namespaced -o name "
    "| xargs -n1 kubectl get --show-kind --ignore-not-found -n "
)


_MOST_OBJECTS = 10


def remaining(namespace: Object) -> list[str]:
    """Name the resources that its conditions say are still in a namespace: ``widgets.example.com``."""
    condition = get_condition(namespace, "NamespaceContentRemaining") or {}
    return [name.rstrip(".") for name in _REMAINS.findall(condition.get("message", ""))]


def _rows(name: str, scene: Scene) -> tuple[tuple[str, ...], ...]:
    """What was found in it, those with finalizers first."""
    inside = [
        (resource, obj["metadata"])
        for (resource, namespace, _), obj in sorted(scene.objects.items())
        if namespace == name and obj is not None
    ]
    inside.sort(key=lambda item: not item[1].get("finalizers"))
    rows = [
        (f"{resource}/{meta['name']}", ", ".join(meta.get("finalizers") or ())) for resource, meta in inside
    ]
    more = [(f"and {len(rows) - _MOST_OBJECTS} more", "")] if len(rows) > _MOST_OBJECTS else []
    return (("OBJECT", "FINALIZERS"), *rows[:_MOST_OBJECTS], *more) if rows else ()


def namespace_findings(namespace: Object, scene: Scene) -> list[Finding]:
    """Say what holds a namespace that is being deleted; empty for one that is not."""
    meta = namespace["metadata"]
    if not meta.get("deletionTimestamp"):
        return []
    found: list[Finding] = []
    for type_, cause, command in _CONDITIONS:
        condition = get_condition(namespace, type_)
        if condition and condition.get("status") == "True":
            if type_ == "NamespaceContentRemaining" and found:
                continue  # told already, with the reason
            rows = _rows(meta["name"], scene) if not command else ()
            if not command:
                one = f"kubectl get {rows[1][0]} -n {meta['name']} -o yaml" if rows else ""
                command = one or _EVERYTHING + meta["name"]
            found.append(Finding(cause, (condition_text(condition),), command, rows))
    finalizers = (namespace.get("spec") or {}).get("finalizers") or ()
    if not found and list(finalizers) == ["kubernetes"] and not meta.get("finalizers"):
        return [
            Finding(
                "The namespace controller is still emptying it.",
                ("spec.finalizers: kubernetes",),
                _EVERYTHING + meta["name"],
            )
        ]
    foreign = [name for name in finalizers if name != "kubernetes"]
    if foreign:
        shown = tuple(f"spec.finalizers: {name}" for name in foreign)
        found.append(Finding("Others hold it with finalizers of their own.", shown))
    return found or deletion_findings(namespace, "namespaces", scene)
