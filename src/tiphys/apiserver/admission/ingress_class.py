"""An ingress that names no class gets the default one, when there is exactly one."""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find_all

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_LEGACY = "kubernetes.io/ingress.class"


class DefaultIngressClass:
    """Sets ``ingressClassName``."""

    NAME = "DefaultIngressClass"
    RESOURCES = frozenset({("networking.k8s.io", "ingresses")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        ingress = attributes.obj
        if ingress is None:
            return
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None:
            return
        if _LEGACY in (ingress["metadata"].get("annotations") or {}):
            return
        classes = await find_all(attributes.call.backend, "networking.k8s.io", "v1", "ingressclasses")
        defaults = [
            item for item in classes if (item["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
        ]
        if not defaults:
            return
        defaults.sort(key=lambda item: str(item["metadata"]["name"]))
        defaults.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
        spec["ingressClassName"] = defaults[0]["metadata"]["name"]
