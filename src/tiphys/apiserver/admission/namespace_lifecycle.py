"""Nothing is created or changed where there is no namespace, nor created where it is terminating."""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.registry.objects import Cached

_IMMORTAL = ("default", "kube-system", "kube-public")
_REVIEWS = ("authorization.k8s.io", "localsubjectaccessreviews")
_REMEMBERED = 4096


class NamespaceLifecycle:
    """Guards writes inside namespaces and the deletion of the three that every cluster has."""

    NAME = "NamespaceLifecycle"
    ADMITS = frozenset({"CREATE", "UPDATE"})
    VALIDATES = frozenset({"DELETE"})
    REPEATS = True

    def __init__(self) -> None:
        self._alive: dict[str, Cached] = {}
        """Namespaces as they were when something could be created in them."""

    def idle(self, attributes: Attributes | None = None) -> bool:
        """Tell whether a namespace is the very one, unchanged, that was found alive before."""
        if attributes is None or attributes.operation == "DELETE" or attributes.reads is not None:
            return False
        known = self._alive.get(attributes.namespace)
        if known is None:
            return False
        backend = attributes.call.backend
        row = backend.table.by_path("", "v1", "namespaces")
        return backend.store.at_hand(row, known.key) is known

    async def admit(self, attributes: Attributes) -> None:
        if not attributes.call.resource.namespaced or not attributes.namespace:
            return
        if (attributes.group, attributes.plural) == _REVIEWS:
            return  # the answer tells nothing of the namespace
        namespace = attributes.namespace
        cached = await attributes.find_cached("", "v1", "namespaces", namespace)
        if cached is None:
            raise NotFound.of("", "namespaces", namespace)
        if not _is_terminating(cached.object):
            if len(self._alive) >= _REMEMBERED:
                self._alive.clear()
            self._alive[namespace] = cached
            return
        if attributes.operation != "CREATE":
            return
        error = attributes.refuse(
            f"unable to create new content in namespace {namespace} because it is being terminated"
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


def _is_terminating(namespace: Object) -> bool:
    phase = (namespace.get("status") or {}).get("phase")
    return phase == "Terminating" or bool(namespace["metadata"].get("deletionTimestamp"))
