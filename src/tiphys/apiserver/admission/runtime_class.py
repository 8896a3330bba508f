"""What a pod's runtime class costs and where it can run."""

from __future__ import annotations

from tiphys.apimachinery.meta import copy_object
from tiphys.apiserver.admission.attributes import Attributes


class RuntimeClass:
    """Sets overhead, node selector and tolerations from the class that a pod names."""

    NAME = "RuntimeClass"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise attributes.refuse(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                )
            return
        found = await attributes.find("node.k8s.io", "v1", "runtimeclasses", name)
        if found is None:
            raise attributes.refuse(f'pod rejected: RuntimeClass "{name}" not found')
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise attributes.refuse(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                )
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
        tolerations = list(spec.get("tolerations") or ())
        added = [item for item in scheduling.get("tolerations") or () if item not in tolerations]
        if added:
            spec["tolerations"] = tolerations + copy_object(added)
