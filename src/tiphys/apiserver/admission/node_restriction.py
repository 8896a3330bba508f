"""A kubelet changes its own node and the pods on it, and nothing of other nodes."""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authz.node import node_of

_MIRROR = "kubernetes.io/config.mirror"


class NodeRestriction:
    """Refuses writes of system:nodes to what is not theirs."""

    NAME = "NodeRestriction"

    async def validate(self, attributes: Attributes) -> None:
        node = node_of(attributes.call.user)
        if not node or attributes.group:
            return
        if attributes.plural == "nodes":
            if attributes.name != node:
                raise attributes.refuse(f'node "{node}" is not allowed to modify node "{attributes.name}"')
            if attributes.operation == "DELETE":
                raise attributes.refuse(f'node "{node}" cannot delete node "{node}"')
        elif attributes.plural == "pods":
            self._pod(attributes, node)

    def _pod(self, attributes: Attributes, node: str) -> None:
        if attributes.operation == "CREATE" and not attributes.subresource:
            pod = attributes.obj or {}
            if _MIRROR not in (pod["metadata"].get("annotations") or {}):
                raise attributes.refuse(
                    f"pod does not have {_MIRROR!r} annotation, node {node!r} can only create mirror pods"
                )
            if pod["spec"].get("nodeName") != node:
                raise attributes.refuse(
                    f'node "{node}" can only create pods with spec.nodeName set to itself'
                )
            return
        pod = attributes.old or {}
        if attributes.operation == "UPDATE" and attributes.subresource not in ("status", "resize"):
            raise attributes.refuse(
                f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror pods'
            )
        if pod and (pod.get("spec") or {}).get("nodeName") != node:
            action = "delete" if attributes.operation == "DELETE" else "update status for"
            raise attributes.refuse(f'node "{node}" can only {action} pods with spec.nodeName set to itself')
