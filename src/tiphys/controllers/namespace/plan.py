"""What a terminating namespace says of itself while it is emptied. Pure. Source: core/v1 NamespaceStatus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import conditions

FINALIZER = "kubernetes"


@dataclass(slots=True)
class Progress:
    """What one pass over a namespace's content found."""

    discovery_faults: list[str] = field(default_factory=list)
    deletion_faults: list[str] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=dict)
    """Objects left, by resource (``pods.``, ``deployments.apps``)."""
    finalizers: dict[str, int] = field(default_factory=dict)
    """Objects left that bear each finalizer."""
    estimate_s: int = 0
    """How long the slowest graceful deletion takes."""

    @property
    def empty(self) -> bool:
        return not (self.discovery_faults or self.deletion_faults or self.remaining)


def is_active(namespace: Object) -> bool:
    return not namespace["metadata"].get("deletionTimestamp") and _phase(namespace) != "Terminating"


def finalizers_of(namespace: Object) -> list[str]:
    return list((namespace.get("spec") or {}).get("finalizers") or ())


def plan_status(namespace: Object, progress: Progress, now: datetime) -> Object:
    """Return the status with upstream's five conditions."""
    status = dict(namespace.get("status") or {})
    found: list[Object] = list(status.get("conditions") or ())
    for type_, told in _told(progress).items():
        found = conditions.put(found, conditions.make(type_, *told, now), on_message=True)
    return {**status, "phase": "Terminating", "conditions": found}


def _told(progress: Progress) -> dict[str, tuple[str, str, str]]:
    return {
        "NamespaceDeletionDiscoveryFailure": _one(
            progress.discovery_faults,
            (
                "DiscoveryFailed",
                "Discovery failed for some groups, {count} failing: unable to retrieve the complete list of "
                "server APIs: {text}",
            ),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": _one(
            progress.deletion_faults,
            ("ContentDeletionFailed", "Failed to delete all resource types, {count} remaining: {text}"),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        "NamespaceContentRemaining": _remaining(
            progress.remaining,
            "SomeResourcesRemain",
            "Some resources are remaining: ",
            "{name} has {count} resource instances",
            ("ContentRemoved", "All content successfully removed"),
        ),
        "NamespaceFinalizersRemaining": _remaining(
            progress.finalizers,
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: ",
            "{name} in {count} resource instances",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    }


def _one(faults: list[str], bad: tuple[str, str], good: tuple[str, str]) -> tuple[str, str, str]:
    if not faults:
        return ("False", *good)
    return "True", bad[0], bad[1].format(count=len(faults), text=", ".join(sorted(faults)))


def _remaining(
    found: Mapping[str, int], reason: str, start: str, each: str, good: tuple[str, str]
) -> tuple[str, str, str]:
    listed = [each.format(name=name, count=count) for name, count in sorted(found.items()) if count]
    if not listed:
        return ("False", *good)
    return "True", reason, start + ", ".join(listed)


def _phase(namespace: Object) -> str:
    return str((namespace.get("status") or {}).get("phase") or "")
