"""What a pod's runtime class costs and where it can run."""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.tolerations import merge
from tiphys.apiserver.admission.attributes import Attributes

_OTHER_OVERHEAD: Final = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass:
    """Sets overhead, node selector and tolerations from the class that a pod names."""

    NAME = "RuntimeClass"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        found = await _class_of(attributes, spec)
        if found is None:
            return
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise attributes.refuse(_OTHER_OVERHEAD)
            spec["overhead"] = copy_object(overhead)
        scheduling = found.get("scheduling") or {}
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise attributes.refuse(
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                )
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        if added := scheduling.get("tolerations"):
            spec["tolerations"] = merge(spec.get("tolerations") or (), copy_object(added))

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        found = await _class_of(attributes, spec)
        overhead = ((found or {}).get("overhead") or {}).get("podFixed")
        if overhead and overhead != spec.get("overhead"):
            raise attributes.refuse(_OTHER_OVERHEAD)
        if spec.get("overhead") and not overhead:
            raise attributes.refuse(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )


async def _class_of(attributes: Attributes, spec: Object) -> Object | None:
    """Return the class that a pod names, None where it names none. Raises Forbidden."""
    name = spec.get("runtimeClassName")
    if not name:
        return None
    found = await attributes.find("node.k8s.io", "v1", "runtimeclasses", name)
    if found is None:
        raise attributes.refuse(f'pod rejected: RuntimeClass "{name}" not found')
    return found
