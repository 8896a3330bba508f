"""ExtendedResourceToleration: pods that ask for a vendor's devices may run on the nodes kept for those."""

from __future__ import annotations

from tiphys.apis.core.resource_validation import is_extended
from tiphys.apis.core.tolerations import add_toleration
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes


class ExtendedResourceToleration:
    """Adds a toleration by the name of each extended resource that a pod requests."""

    NAME = "ExtendedResourceToleration"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: Attributes) -> None:
        pod = attributes.obj
        if pod is None:
            return
        containers = [*each(pod, "spec", "containers"), *each(pod, "spec", "initContainers")]
        asked = {name for one in containers for name in peek(one, "resources", "requests")}
        for name in sorted(filter(is_extended, asked)):
            toleration = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
            pod["spec"]["tolerations"] = add_toleration(pod["spec"].get("tolerations") or (), toleration)
