"""Why a namespace stays Terminating."""

from __future__ import annotations

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
_EVERYTHING = (
    "kubectl api-resources --verbs=list --namespaced -o name "
    "| xargs -n1 kubectl get --show-kind --ignore-not-found -n "
)


def namespace_findings(namespace: Object, scene: Scene) -> list[Finding]:
    """Say what holds a namespace that is being deleted; empty for one that is not."""
    meta = namespace["metadata"]
    if not meta.get("deletionTimestamp"):
        return []
    found = []
    for type_, cause, command in _CONDITIONS:
        condition = get_condition(namespace, type_)
        if condition and condition.get("status") == "True":
            found.append(Finding(cause, (condition_text(condition),), command or _EVERYTHING + meta["name"]))
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
