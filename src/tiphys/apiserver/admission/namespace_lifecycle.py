"""Nothing is created where there is no namespace, or where it is terminating."""

from __future__ import annotations

from tiphys.apimachinery.errors import Forbidden, NotFound
from tiphys.apiserver.admission.attributes import Attributes

_IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle:
    """Guards creation inside namespaces and the deletion of the three that every cluster has."""

    NAME = "NamespaceLifecycle"
    ADMITS = frozenset({"CREATE"})
    VALIDATES = frozenset({"DELETE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if not attributes.call.resource.namespaced or not attributes.namespace:
            return
        namespace = attributes.namespace
        found = await attributes.find("", "v1", "namespaces", namespace)
        if found is None:
            raise NotFound.of("", "namespaces", namespace)
        if (found.get("status") or {}).get("phase") != "Terminating" and not found["metadata"].get(
            "deletionTimestamp"
        ):
            return
        if attributes.plural in ("localsubjectaccessreviews", "events"):
            return
        error = Forbidden.of(
            attributes.group,
            attributes.plural,
            attributes.name,
            f"unable to create new content in namespace {namespace} because it is being terminated",
        )
        error.details = {
            **(error.details or {}),
            "causes": [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ],
        }
        raise error

    async def validate(self, attributes: Attributes) -> None:
        if attributes.core("namespaces") and attributes.name in _IMMORTAL:
            raise attributes.refuse("this namespace may not be deleted")
