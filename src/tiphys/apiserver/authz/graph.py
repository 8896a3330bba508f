"""What each node may know of: the paths from nodes over their pods to the objects that those mention.

    node <- pod <- secret, config map, claim, resource claim, service account
                   claim <- volume <- secret
    node <- volume attachment, resource slice, request for a pod's certificate

Owns: the indexes, kept current by feeds. A pod is decoded when its node first asks, and then only remembered
by what it mentions. Called by the node authorizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apis.core import pod_references
from tiphys.apiserver.registry.objects import Cached

_MIRROR = "kubernetes.io/config.mirror"
_Name = tuple[str, str]
"""(namespace, name)."""


class NodeGraph:
    """Answers whether a node has to do with an object."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[_Name, Cached]] = {}
        self._mentioned: dict[_Name, tuple[Cached, frozenset[tuple[str, str]]]] = {}
        self._claims: dict[str, _Name] = {}
        """By volume: the claim that it is bound to."""
        self._volumes_of_secret: dict[_Name, set[str]] = {}
        self._secrets_of_volume: dict[str, frozenset[_Name]] = {}
        self._attachments: dict[str, str] = {}
        self._slices: dict[str, str] = {}
        self._pod_certificates: dict[_Name, str] = {}

    def observe_pod(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None:
            name = (old.namespace, old.name)
            self._pods.get(old.fields.get("spec.nodeName", ""), {}).pop(name, None)
            self._mentioned.pop(name, None)
        node = new.fields.get("spec.nodeName", "") if new is not None else ""
        if new is not None and node:
            self._pods.setdefault(node, {})[(new.namespace, new.name)] = new

    def observe_volume(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None:
            self._claims.pop(old.name, None)
            for secret in self._secrets_of_volume.pop(old.name, ()):
                self._volumes_of_secret.get(secret, set()).discard(old.name)
        if new is None:
            return
        spec = new.object.get("spec") or {}
        claim = spec.get("claimRef")
        if not claim:
            return
        bound = (str(claim.get("namespace", "")), str(claim.get("name", "")))
        self._claims[new.name] = bound
        secrets = frozenset(volume_secrets(spec, bound[0]))
        self._secrets_of_volume[new.name] = secrets
        for secret in secrets:
            self._volumes_of_secret.setdefault(secret, set()).add(new.name)

    def observe_attachment(self, old: Cached | None, new: Cached | None) -> None:
        _follow(self._attachments, old, new)

    def observe_slice(self, old: Cached | None, new: Cached | None) -> None:
        _follow(self._slices, old, new)

    def observe_pod_certificate(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None:
            self._pod_certificates.pop((old.namespace, old.name), None)
        if new is not None:
            node = str((new.object.get("spec") or {}).get("nodeName") or "")
            self._pod_certificates[new.namespace, new.name] = node

    def has(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Tell whether there is a path from an object to a node."""
        if resource == "pods":
            return (namespace, name) in self._pods.get(node, {})
        if resource == "persistentvolumes":
            claim = self._claims.get(name)
            return claim is not None and self._mentions(node, "persistentvolumeclaims", *claim)
        if resource == "volumeattachments":
            return self._attachments.get(name) == node
        if resource == "resourceslices":
            return self._slices.get(name) == node
        if resource == "podcertificaterequests":
            return self._pod_certificates.get((namespace, name)) == node
        if self._mentions(node, resource, namespace, name):
            return True
        volumes = self._volumes_of_secret.get((namespace, name), ()) if resource == "secrets" else ()
        return any(self.has(node, "persistentvolumes", "", volume) for volume in volumes)

    def _mentions(self, node: str, resource: str, namespace: str, name: str) -> bool:
        wanted = (resource, name)
        for key, cached in self._pods.get(node, {}).items():
            if key[0] != namespace:
                continue
            kept = self._mentioned.get(key)
            if kept is None or kept[0] is not cached:
                kept = self._mentioned[key] = (cached, frozenset(references(cached.object)))
            if wanted in kept[1]:
                return True
        return False


def _follow(index: dict[str, str], old: Cached | None, new: Cached | None) -> None:
    if old is not None:
        index.pop(old.name, None)
    node = (new.object.get("spec") or {}).get("nodeName") if new is not None else None
    if new is not None and node:
        index[new.name] = str(node)


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield ``(resource, name)`` of everything in its namespace that a pod gives its node a right to.

    A mirror pod gives none: the node made it itself.
    """
    if _MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    yield from pod_references.references(pod)


def volume_secrets(spec: Object, namespace: str) -> Iterator[_Name]:
    """Yield the Secrets that a node needs for a persistent volume; ``namespace`` is its claim's."""
    if source := spec.get("azureFile"):
        yield source.get("secretNamespace") or namespace, source.get("secretName", "")
    refs: list[Any] = [(spec.get(driver) or {}).get("secretRef") for driver in pod_references.SECRET_DRIVERS]
    csi = spec.get("csi") or {}
    refs += [csi.get(key) for key in ("nodeStageSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")]
    for ref in refs:
        if ref:
            yield ref.get("namespace") or namespace, ref.get("name", "")
