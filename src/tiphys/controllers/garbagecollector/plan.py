"""What becomes of one object, given its owners' fates. Pure.

Source: "Owners and dependents" of the Kubernetes documentation: background, foreground, orphan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, Literal

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN

Fate = Literal["solid", "absent", "waiting"]
"""There; verified not to be; or being deleted in the foreground."""


@dataclass(frozen=True, slots=True)
class Decision:
    """At most one of: keep as it is, write ``owners``, or delete with ``propagation``."""

    propagation: str = ""
    owners: list[dict[str, Any]] | None = None
    unblock: bool = False
    """Before deleting, stop blocking owners that this object itself waits for (a circle)."""


@dataclass(frozen=True, slots=True)
class Situation:
    obj: Object
    fates: dict[str, Fate] = field(default_factory=dict)
    """By owner uid."""
    has_dependents: bool = False
    in_circle: bool = False
    """A dependent is itself being deleted in the foreground."""


def decide(situation: Situation) -> Decision:
    """Decide for an object that is not yet on its way out."""
    meta = situation.obj["metadata"]
    refs: Sequence[dict[str, Any]] = meta.get("ownerReferences") or ()
    fates = {situation.fates.get(ref["uid"], "solid") for ref in refs}
    if not refs or fates == {"solid"}:
        return Decision()
    if "solid" in fates:
        return Decision(owners=[ref for ref in refs if situation.fates.get(ref["uid"], "solid") == "solid"])
    if "waiting" in fates and situation.has_dependents:
        return Decision(propagation="Foreground", unblock=situation.in_circle)
    finalizers = meta.get("finalizers") or ()
    if ORPHAN in finalizers:
        return Decision(propagation="Orphan")
    return Decision(propagation="Foreground" if FOREGROUND in finalizers else "Background")


def strange_owner(ref: dict[str, Any], namespace: str) -> str:
    """Say that an owner is not where the object is. Upstream's words."""
    owner = (
        f"[{ref['apiVersion']}/{ref['kind']}, namespace: {namespace}, name: {ref['name']}, uid: {ref['uid']}]"
    )
    return f'ownerRef {owner} does not exist in namespace "{namespace}"'


def fate_of(ref: dict[str, Any], *, present: bool, waiting: Callable[[str], bool]) -> Fate:
    """Judge one owner reference. Who goes in the foreground takes along also those who do not block it."""
    if not present:
        return "absent"
    return "waiting" if waiting(ref["uid"]) else "solid"
