"""A claim that names no storage class gets the default one."""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find_all

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass:
    """Of several defaults the newest wins, then the first by name."""

    NAME = "DefaultStorageClass"
    RESOURCES = frozenset({("", "persistentvolumeclaims")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        claim = attributes.obj
        if claim is None or claim["spec"].get("storageClassName") is not None:
            return
        if _BETA_CLASS in (claim["metadata"].get("annotations") or {}):
            return
        classes = await find_all(attributes.call.backend, "storage.k8s.io", "v1", "storageclasses")
        defaults = []
        for item in classes:
            annotations = item["metadata"].get("annotations") or {}
            if "true" in (annotations.get(_DEFAULT), annotations.get(_BETA_DEFAULT)):
                defaults.append(item)
        if defaults:
            defaults.sort(key=lambda item: str(item["metadata"]["name"]))
            defaults.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
            claim["spec"]["storageClassName"] = defaults[0]["metadata"]["name"]
