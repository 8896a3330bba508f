"""Whether a group of pods may go. Pure."""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.controllers.podstate import is_deleting, is_terminal

FINALIZER: Final = "scheduling.k8s.io/podgroup-protection"


def groups_of(pod: Object) -> list[str]:
    """Return the key of the group that a pod is in; none once it has ended."""
    name = ((pod.get("spec") or {}).get("schedulingGroup") or {}).get("podGroupName")
    if name is None or is_terminal(pod):
        return []
    return [f"{pod['metadata'].get('namespace', '')}/{name}"]


def without_finalizer(group: Object, *, used: bool) -> list[str] | None:
    """Return the finalizers that a group should have; None where they are right."""
    present = list(group["metadata"].get("finalizers") or ())
    if used or FINALIZER not in present or not is_deleting(group):
        return None
    return [item for item in present if item != FINALIZER]
