"""Claims and volumes stay while something uses them: a finalizer that the protection controller takes off."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes

_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection:
    """Adds the protection finalizers on creation."""

    NAME = "StorageObjectInUseProtection"
    RESOURCES = frozenset(
        {("", "persistentvolumeclaims"), ("", "persistentvolumes")}
        | {("storage.k8s.io", "volumeattributesclasses")}
    )
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        finalizer = _FINALIZERS.get(attributes.plural)
        if finalizer is None or attributes.obj is None:
            return
        add_finalizer(attributes.obj, finalizer)


def add_finalizer(obj: Object, finalizer: str) -> None:
    """Add a finalizer to a new object that has not got it yet."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)
