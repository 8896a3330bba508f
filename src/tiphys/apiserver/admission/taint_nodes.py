"""A new node takes no pods before the node controller has seen it ready."""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes

_TAINT = "node.kubernetes.io/not-ready"


class TaintNodesByCondition:
    """Adds the not-ready taint to nodes as they register."""

    NAME = "TaintNodesByCondition"
    RESOURCES = frozenset({("", "nodes")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        taints = attributes.obj.setdefault("spec", {}).setdefault("taints", [])
        if not any(taint.get("key") == _TAINT and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append({"key": _TAINT, "effect": "NoSchedule"})
