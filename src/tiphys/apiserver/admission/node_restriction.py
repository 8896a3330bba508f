"""A kubelet changes its own node and the pods on it, and nothing of other nodes.

Source: the "Admission Control" page, NodeRestriction; KEP-279 (labels), KEP-4601.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.node_labels import is_kubelet_label
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.admission.node_identity import api_reference, check_audience, check_pod_certificate
from tiphys.apiserver.authn.user import NODES
from tiphys.apiserver.authz.graph import references
from tiphys.apiserver.authz.node import node_of

_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
_MIRROR = "kubernetes.io/config.mirror"
_LEASES = "kube-node-lease"
_CLAIM_STATUS = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")


class NodeRestriction:
    """Refuses writes of system:nodes to what is not theirs."""

    NAME = "NodeRestriction"
    REPEATS = True  # for users that are no nodes, whom alone molds serve

    async def admit(self, attributes: Attributes) -> None:
        user = attributes.call.user
        if NODES not in user.groups or attributes.operation == "CONNECT":
            return
        node = node_of(user)
        if not node:
            if user.name.startswith("system:node:"):
                raise attributes.refuse(f'could not determine node from user "{user.name}"')
            return
        kind = (attributes.group, attributes.plural)
        if kind == ("", "nodes"):
            _node(attributes, node)
        elif kind == ("", "pods"):
            await _pods(attributes, node)
        elif kind == ("", "persistentvolumeclaims"):
            _claim(attributes, node)
        elif kind == ("", "serviceaccounts"):
            await _account(attributes, node)
        elif kind == ("coordination.k8s.io", "leases"):
            _lease(attributes, node)
        elif kind == ("storage.k8s.io", "csinodes") and attributes.name != node:
            raise attributes.refuse("can only access CSINode with the same name as the requesting node")
        elif kind == ("resource.k8s.io", "resourceslices"):
            _slice(attributes, node)
        elif kind == ("certificates.k8s.io", "certificatesigningrequests"):
            _certificate_request(attributes, node)
        elif kind == ("certificates.k8s.io", "podcertificaterequests"):
            await check_pod_certificate(attributes, node)


def _certificate_request(attributes: Attributes, node: str) -> None:
    """A node asks for certificates of nodes in its own name alone."""
    spec = (attributes.obj or {}).get("spec") or {}
    if attributes.operation != "CREATE" or spec.get("signerName") not in _NODE_SIGNERS:
        return
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
    except (ValueError, binascii.Error) as error:
        raise attributes.refuse(f"unable to parse csr: {error}") from error
    names = [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names[:1] != [f"system:node:{node}"]:
        raise attributes.refuse(f"can only create a node CSR with CN=system:node:{node}")


def _node(attributes: Attributes, node: str) -> None:
    if attributes.name != node:
        raise attributes.refuse(f'node "{node}" is not allowed to modify node "{attributes.name}"')
    obj, old = attributes.obj or {}, attributes.old or {}
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    if attributes.operation == "CREATE":
        if spec.get("configSource") is not None:
            raise attributes.refuse(
                f'node "{node}" is not allowed to create pods with a non-nil configSource'
            )
        refused = _refused_labels(_labels(obj), {})
        if refused:
            raise attributes.refuse(f'node "{node}" is not allowed to set the following labels: {refused}')
    elif attributes.operation == "UPDATE":
        if spec.get("configSource") is not None and spec["configSource"] != before.get("configSource"):
            raise attributes.refuse(
                f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
            )
        if (spec.get("taints") or []) != (before.get("taints") or []):
            raise attributes.refuse(f'node "{node}" is not allowed to modify taints')
        if _owners(obj) != _owners(old):
            raise attributes.refuse(f'node "{node}" is not allowed to modify ownerReferences')
        refused = _refused_labels(_labels(obj), _labels(old))
        if refused:
            raise attributes.refuse(f"is not allowed to modify labels: {refused}")


def _labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _owners(obj: Mapping[str, Any]) -> list[Object]:
    return (obj.get("metadata") or {}).get("ownerReferences") or []


def _refused_labels(now: Mapping[str, str], before: Mapping[str, str]) -> str:
    """Return the labels that changed and are not a kubelet's to change, with commas."""
    changed = [key for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
    return ", ".join(sorted(key for key in changed if not is_kubelet_label(key)))


async def _pods(attributes: Attributes, node: str) -> None:
    if attributes.subresource == "status":
        _pod_status(attributes, node)
    elif attributes.subresource == "eviction":
        pod = await _existing(attributes, attributes.call.name)
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise attributes.refuse(f"node {node} can only evict pods with spec.nodeName set to itself")
    elif attributes.subresource:
        raise attributes.refuse(
            f"unexpected pod subresource \"{attributes.subresource}\", only 'status' and 'eviction' are "
            "allowed"
        )
    elif attributes.operation == "CREATE":
        await _mirror_pod(attributes, node, attributes.obj or {})
    elif attributes.operation == "DELETE":
        if ((attributes.old or {}).get("spec") or {}).get("nodeName") != node:
            raise attributes.refuse(f'node "{node}" can only delete pods with spec.nodeName set to itself')
    else:
        raise attributes.refuse(
            f'unexpected operation "{attributes.operation}", node "{node}" can only create and delete mirror '
            "pods"
        )


async def _existing(attributes: Attributes, name: str) -> Object:
    pod = await find(attributes.call.backend, "", "v1", "pods", name, namespace=attributes.namespace)
    if pod is None:
        raise NotFound.of("", "pods", name)
    return pod


def _pod_status(attributes: Attributes, node: str) -> None:
    old, new = attributes.old or {}, attributes.obj or {}
    if attributes.operation != "UPDATE":
        raise attributes.refuse(f'unexpected operation "{attributes.operation}"')
    if (old.get("spec") or {}).get("nodeName") != node:
        raise attributes.refuse(
            f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        )
    if _labels(old) != _labels(new):
        raise attributes.refuse(f'node "{node}" cannot update labels through pod status')
    claims = [(obj.get("status") or {}).get("resourceClaimStatuses") or [] for obj in (old, new)]
    if claims[0] != claims[1]:
        raise attributes.refuse(f'node "{node}" cannot update resource claim statues')


async def _mirror_pod(attributes: Attributes, node: str, pod: Object) -> None:
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if _MIRROR not in (meta.get("annotations") or {}):
        raise attributes.refuse(
            f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
        )
    if spec.get("nodeName") != node:
        raise attributes.refuse(f'node "{node}" can only create pods with spec.nodeName set to itself')
    await _mirror_owner(attributes, node, _owners(pod))
    plain = {**pod, "metadata": {**meta, "annotations": {}}}
    mentioned = {resource for resource, name in references(plain) if name}
    named: list[str] = [one for one in ("serviceaccounts", "secrets", "configmaps") if one in mentioned]
    named += ["resourceclaims"] if spec.get("resourceClaims") else []
    resource = named[0] if named else api_reference(pod)
    if resource:
        raise attributes.refuse(f'node "{node}" can not create pods that reference {resource}')


async def _mirror_owner(attributes: Attributes, node: str, owners: list[Object]) -> None:
    if len(owners) > 1:
        raise attributes.refuse(
            f'node "{node}" can only create pods with a single owner reference set to itself'
        )
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise attributes.refuse(f'node "{node}" can only create pods with an owner reference set to itself')
    if not owner.get("controller"):
        raise attributes.refuse(
            f'node "{node}" can only create pods with a controller owner reference set to itself'
        )
    if owner.get("blockOwnerDeletion"):
        raise attributes.refuse(f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    found = await find(attributes.call.backend, "", "v1", "nodes", node)
    if found is None:
        raise NotFound.of("", "nodes", node)
    uid = found["metadata"]["uid"]
    if owner.get("uid") != uid:
        raise attributes.refuse(f"node {node} UID mismatch: expected {owner.get('uid', '')} got {uid}")


def _claim(attributes: Attributes, node: str) -> None:
    if attributes.subresource != "status":
        raise attributes.refuse("may only update PVC status")
    if attributes.operation != "UPDATE":
        raise attributes.refuse(f'unexpected operation "{attributes.operation}"')
    if _rest_of_claim(attributes.obj or {}) != _rest_of_claim(attributes.old or {}):
        raise attributes.refuse(
            f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        )


def _rest_of_claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    meta = {
        key: value
        for key, value in (claim.get("metadata") or {}).items()
        if key not in ("resourceVersion", "managedFields")
    }
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in _CLAIM_STATUS}
    return {**claim, "metadata": meta, "status": status}


async def _account(attributes: Attributes, node: str) -> None:
    if attributes.operation != "CREATE" or attributes.subresource != "token":
        return
    bound = ((attributes.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
    if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
        raise attributes.refuse("node requested token not bound to a pod")
    uid = bound.get("uid")
    if not uid:
        raise attributes.refuse("node requested token with a pod binding without a uid")
    pod = await _existing(attributes, bound["name"])
    if uid != pod["metadata"]["uid"]:
        raise attributes.refuse(
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise attributes.refuse("node requested token bound to a pod scheduled on a different node")
    if on("ServiceAccountNodeAudienceRestriction"):
        await check_audience(attributes, pod)


def _lease(attributes: Attributes, node: str) -> None:
    if attributes.namespace != _LEASES:
        raise attributes.refuse(f'can only access leases in the "{_LEASES}" system namespace')
    if attributes.name != node:
        raise attributes.refuse("can only access node lease with the same name as the requesting node")


def _slice(attributes: Attributes, node: str) -> None:
    of_old = ((attributes.old or {}).get("spec") or {}).get("nodeName", "")
    of_new = ((attributes.obj or {}).get("spec") or {}).get("nodeName", "")
    if attributes.operation == "CREATE" and of_new != node:
        raise attributes.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
    if attributes.operation == "UPDATE" and of_new != of_old:
        raise attributes.refuse("can only change ResourceSlice of its own node")
    if attributes.operation == "DELETE" and of_old != node:
        raise attributes.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
