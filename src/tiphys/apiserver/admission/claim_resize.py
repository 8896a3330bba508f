"""A claim may ask for more only where its class says that volumes can grow (validation: once it is bound).

Source: the "Admission Control" page, PersistentVolumeClaimResize.
"""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize:
    """Refuses growth that nobody could carry out."""

    NAME = "PersistentVolumeClaimResize"
    RESOURCES = frozenset({("", "persistentvolumeclaims")})
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        claim, old = attributes.obj, attributes.old
        if claim is None or old is None or not _grows(old, claim):
            return
        name = _class_of(claim)
        if name and name == _class_of(old):
            backend = attributes.call.backend
            found = await find(backend, "storage.k8s.io", "v1", "storageclasses", name)
            if found is not None and found.get("allowVolumeExpansion"):
                return
        raise attributes.refuse(
            "only dynamically provisioned pvc can be resized and "
            "the storageclass that provisions the pvc must support resize"
        )


def _grows(old: Object, claim: Object) -> bool:
    before, after = _size(old), _size(claim)
    return before != after and quantity.parse(after).amount > quantity.parse(before).amount


def _size(claim: Object) -> str:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return str(requests.get("storage", "0"))


def _class_of(claim: Object) -> str:
    annotations = claim["metadata"].get("annotations") or {}
    return str(annotations.get(_BETA_CLASS) or claim["spec"].get("storageClassName") or "")
