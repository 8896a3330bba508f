"""A pod learns its node's zone and region as labels of its own, so that its containers can read them.

Source: the "Admission Control" page, PodTopologyLabels; KEP-4742.
"""

from __future__ import annotations

from typing import Final

from tiphys.apiserver.admission.attributes import Attributes

_LABELS: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels:
    """Puts the labels on the Binding, which hands them to the pod, or on a pod that is made on its node.

    What either says of them itself does not count.
    """

    NAME = "PodTopologyLabels"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({"", "binding"})
    ADMITS = frozenset({"CREATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if obj is None:
            return
        if attributes.subresource:
            target = obj.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else None
        else:
            node = obj["spec"].get("nodeName")
        if not node:
            return
        found = await attributes.find_cached("", "v1", "nodes", node)
        if found is None:
            return
        known = found.labels
        learnt = {key: known[key] for key in _LABELS if key in known}
        if learnt:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **learnt}
