"""The node authorizer: a kubelet may read what its own pods need, and nothing of other nodes.

Owns: the graph from nodes to the secrets, config maps, claims and accounts that their pods mention. What is
not about such objects is left to RBAC (role ``system:node``).

Source: the "Using Node Authorization" page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.user import NODES, User
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision
from tiphys.apiserver.requestinfo import RequestInfo

_PREFIX = "system:node:"
_GUARDED = {
    ("", "secrets"): ("get", "list", "watch"),
    ("", "configmaps"): ("get", "list", "watch"),
    ("", "persistentvolumeclaims"): ("get",),
    ("", "persistentvolumes"): ("get",),
    ("resource.k8s.io", "resourceclaims"): ("get",),
}
_OWN_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")

PodsOnNode = Callable[[str], Iterable[Object]]


def node_of(user: User) -> str:
    """Return the node that a user is the kubelet of, empty for anybody else."""
    if NODES in user.groups and user.name.startswith(_PREFIX):
        return user.name[len(_PREFIX) :]
    return ""


class NodeAuthorizer:
    """Reads pods through ``pods_on_node``; keeps no state of its own."""

    def __init__(self, pods_on_node: PodsOnNode) -> None:
        self._pods_on_node = pods_on_node

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Allow reads of what the node's pods mention; deny reads of the rest of such kinds."""
        node = node_of(user)
        if not node or not info.is_resource:
            return NO_OPINION
        kind = (info.group, info.resource)
        if kind in _GUARDED:
            return self._guarded(node, info)
        if kind == ("", "serviceaccounts") and info.subresource == "token":
            if info.verb == "create" and self._uses(node, "serviceaccounts", info.namespace, info.name):
                return Decision(allowed=True)
            return Decision(reason=f"no relationship found between node '{node}' and this object")
        if kind in (("coordination.k8s.io", "leases"), ("storage.k8s.io", "csinodes")):
            return self._own(node, info)
        return NO_OPINION

    def _own(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _OWN_VERBS or info.subresource:
            return NO_OPINION
        if info.verb == "create" or info.name == node:
            if info.resource == "leases" and info.namespace != "kube-node-lease":
                return Decision(reason='can only access leases in the "kube-node-lease" system namespace')
            return Decision(allowed=True)
        return Decision(reason=f"can only access {info.resource} with the same name as the requesting node")

    def _guarded(self, node: str, info: RequestInfo) -> Decision:
        verbs = _GUARDED[(info.group, info.resource)]
        if info.verb not in verbs or info.subresource:
            return Decision(reason=f"can only read resources of this type: {', '.join(verbs)}")
        if not info.name:
            return Decision(reason="No Object name found")
        if self._uses(node, info.resource, info.namespace, info.name):
            return Decision(allowed=True)
        return Decision(reason=f"no relationship found between node '{node}' and this object")

    def _uses(self, node: str, resource: str, namespace: str, name: str) -> bool:
        for pod in self._pods_on_node(node):
            if namespace and pod["metadata"].get("namespace") != namespace:
                continue
            if (resource, name) in set(references(pod)):
                return True
            if resource == "persistentvolumes":
                return True
        return False


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield ``(resource, name)`` of everything in its namespace that a pod mentions."""
    spec = pod.get("spec") or {}
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _container_references(container)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(pod, volume)


def _container_references(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        if ref := source.get("secretRef"):
            yield "secrets", ref.get("name", "")
        if ref := source.get("configMapRef"):
            yield "configmaps", ref.get("name", "")
    for env in container.get("env") or ():
        value = env.get("valueFrom") or {}
        if ref := value.get("secretKeyRef"):
            yield "secrets", ref.get("name", "")
        if ref := value.get("configMapKeyRef"):
            yield "configmaps", ref.get("name", "")


def _volume_references(pod: Object, volume: Object) -> Iterator[tuple[str, str]]:
    if source := volume.get("secret"):
        yield "secrets", source.get("secretName", "")
    if source := volume.get("configMap"):
        yield "configmaps", source.get("name", "")
    if source := volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", source.get("claimName", "")
    if volume.get("ephemeral") is not None:
        yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume['name']}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        if ref := source.get("secret"):
            yield "secrets", ref.get("name", "")
        if ref := source.get("configMap"):
            yield "configmaps", ref.get("name", "")
    for driver in ("csi", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
        source = volume.get(driver) or {}
        ref = source.get("secretRef") or source.get("nodePublishSecretRef")
        if ref:
            yield "secrets", ref.get("name", "")
