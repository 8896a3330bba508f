"""The node authorizer: a kubelet may read what its own pods need, and nothing of other nodes.

Owns: which kinds are subdivided and what is said to who asks for more. What has to do with what is
``graph``'s; kinds that are not subdivided follow the rules of role ``system:node``.

Source: the "Using Node Authorization" page; KEP-4601 (selectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apiserver.authn.user import NODES, User
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.filters.requestinfo import RequestInfo

_PREFIX = "system:node:"
_ALLOWED = Decision(allowed=True)
_LEASES = "kube-node-lease"
_OWN_VERBS = ("get", "create", "update", "patch", "delete")
_READ = ("get", "list", "watch")


class Graph(Protocol):
    """Knows what has to do with which node."""

    def has(self, node: str, resource: str, namespace: str, name: str) -> bool: ...


def node_of(user: User) -> str:
    """Return the node that a user is the kubelet of, empty for anybody else."""
    if NODES in user.groups and user.name.startswith(_PREFIX):
        return user.name[len(_PREFIX) :]
    return ""


def _no(reason: str) -> Decision:
    return Decision(reason=reason)


class NodeAuthorizer:
    """Reads the graph and keeps no state of its own."""

    def __init__(self, graph: Graph, rules: Sequence[Rule] = ()) -> None:
        self._graph = graph
        self._rules = tuple(rules)
        self._subdivided = {
            ("", "secrets"): self._read_namespaced,
            ("", "configmaps"): self._read_namespaced,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "podcertificaterequests"): self._pod_certificate,
            ("certificates.k8s.io", "clustertrustbundles"): self._trust_bundle,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
        }

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Allow, or have no opinion and say why."""
        if NODES not in user.groups or not user.name.startswith(_PREFIX):
            return NO_OPINION
        node = node_of(user)
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        if info.is_resource:
            ask = self._subdivided.get((info.group, info.resource))
            if ask is not None:
                return ask(node, info)
        return _ALLOWED if any(rule.allows(info) for rule in self._rules) else NO_OPINION

    def _related(self, node: str, info: RequestInfo) -> Decision:
        if not info.name:
            return _no("No Object name found")
        if self._graph.has(node, info.resource, info.namespace, info.name):
            return _ALLOWED
        return _no(f"no relationship found between node '{node}' and this object")

    def _get(self, node: str, info: RequestInfo) -> Decision:
        if info.verb != "get":
            return _no("can only get individual resources of this type")
        if info.subresource:
            return _no("cannot get subresource")
        return self._related(node, info)

    def _read_namespaced(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _READ:
            return _no("can only read resources of this type")
        if info.subresource:
            return _no("cannot read subresource")
        if not info.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, info)

    def _claim(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource != "status":
            return self._get(node, info)
        if info.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(node, info)

    def _account(self, node: str, info: RequestInfo) -> Decision:
        if info.verb == "get" and not info.subresource:
            return self._read_namespaced(node, info)  # for the pull of images in an account's name
        if info.verb != "create" or not info.name:
            return _no("can only create tokens for individual service accounts")
        if info.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, info)

    def _lease(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _OWN_VERBS:
            return _no("can only get, create, update, patch, or delete a node lease")
        if info.namespace != _LEASES:
            return _no(f'can only access leases in the "{_LEASES}" system namespace')
        if info.verb != "create" and info.name != node:  # of what is created, admission knows the name
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOWED

    def _csi_node(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _OWN_VERBS:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if info.subresource:
            return _no("cannot authorize CSINode subresources")
        if info.verb != "create" and info.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOWED

    def _slice(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if info.verb == "create":
            return _ALLOWED
        if info.verb in ("get", "update", "patch", "delete"):
            return self._related(node, info)
        if info.verb in ("watch", "list", "deletecollection"):
            if _selects(info, "spec.nodeName", node):
                return _ALLOWED
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _pod_certificate(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource:
            return _no("cannot authorize PodCertificateRequest subresources")
        if info.verb == "create":
            return _ALLOWED  # admission sees to it that it is for a pod of this node
        if info.verb == "get":
            return self._related(node, info)
        if info.verb in ("list", "watch"):
            if _selects(info, "spec.nodeName", node):
                return _ALLOWED
            return _no("can only list/watch podcertificaterequests with spec.nodeName field selector")
        return _no("can only get, list, watch, or create a PodCertificateRequest")

    def _trust_bundle(self, node: str, info: RequestInfo) -> Decision:
        """Whom to trust is no secret."""
        return _ALLOWED if info.verb in _READ and not info.subresource else NO_OPINION

    def _node(self, node: str, info: RequestInfo) -> Decision:
        if not info.subresource:
            if info.verb in ("create", "update", "patch"):
                return _ALLOWED  # admission sees to it that it is its own
            if info.verb in _READ:
                if info.name == node:
                    return _ALLOWED
                if not info.name:
                    return _no(f"node '{node}' cannot read all nodes, only its own Node object")
                return _no(f"node '{node}' cannot read '{info.name}', only its own Node object")
        elif info.subresource == "status" and info.verb in ("update", "patch"):
            return _ALLOWED
        return NO_OPINION

    def _pod(self, node: str, info: RequestInfo) -> Decision:
        asked = (info.subresource, info.verb)
        if asked == ("", "get"):
            return self._get(node, info)
        if asked in (("", "list"), ("", "watch")):
            if _selects(info, "spec.nodeName", node):
                return _ALLOWED
            if info.name:
                return self._related(node, info)
            return _no("can only list/watch pods with spec.nodeName field selector")
        if asked in (
            ("", "create"), ("", "delete"), ("status", "update"), ("status", "patch"), ("eviction", "create"),
        ):  # fmt: skip
            return _ALLOWED  # admission sees to it that they are its own
        return NO_OPINION


def _selects(info: RequestInfo, path: str, value: str) -> bool:
    try:
        found = parse_field_selector(info.field_selector)
    except BadRequest:
        return False
    return any(one.path == path and one.value == value and not one.negated for one in found)
