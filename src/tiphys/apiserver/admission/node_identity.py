"""What a kubelet may ask for in the name of its pods: tokens for audiences, certificates.

Called by NodeRestriction, which knows the node. Owns: which audiences a pod's volumes name, and whether a
PodCertificateRequest fits the pod, its account and its node.

Source: KEP-2535 (audiences, on from v1.33), KEP-4317 (pod certificates).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.filters.requestinfo import RequestInfo

_VERB: Final = "request-serviceaccounts-token-audience"
_MIRROR: Final = "kubernetes.io/config.mirror"
_MIGRATED: Final = {"azureFile": "file.csi.azure.com"}
"""Volumes of old that a driver serves today."""


class _Missing(Exception):
    """An object on the way from a pod to an audience is not there."""


async def check_audience(attributes: Attributes, pod: Object) -> None:
    """Refuse an audience that nothing in the pod asks for, unless the node has a right of its own to it.

    Raises:
        Forbidden: there is no such right, or more than one audience is asked for.
    """
    audiences = peek(attributes.obj or {}, "spec").get("audiences") or [""]
    if len(audiences) > 1:
        raise attributes.refuse("node may only request 0 or 1 audiences")
    audience = str(audiences[0])
    try:
        async for named in _audiences(attributes, pod):
            if named == audience:
                return
    except _Missing as error:
        raise attributes.refuse(f'error validating audience "{audience}": {error}') from error
    user = attributes.call.user
    info = RequestInfo(
        path="", verb=_VERB, is_resource=True, version="v1", namespace=attributes.namespace,
        resource=audience, name=attributes.name,
    )  # fmt: skip
    if not (await attributes.call.backend.authorizer.decide(user, info)).allowed:
        raise attributes.refuse(
            f'audience "{audience}" not found in pod spec volume, {user.name} is not authorized to request '
            "tokens for this audience"
        )


async def _audiences(attributes: Attributes, pod: Object) -> AsyncIterator[str]:
    """Yield every audience for which a pod's volumes need tokens, those in the pod itself first."""
    volumes = list(each(pod, "spec", "volumes"))
    for volume in volumes:
        for source in each(volume, "projected", "sources"):
            if source.get("serviceAccountToken") is not None:
                yield str(peek(source, "serviceAccountToken").get("audience") or "")
    for volume in volumes:
        driver = await _driver(attributes, pod, volume)
        if driver:
            async for audience in _of_driver(attributes, driver):
                yield audience


async def _driver(attributes: Attributes, pod: Object, volume: Object) -> str:
    """Return the driver that mounts a volume, empty where none does. Raises _Missing."""
    if volume.get("csi"):
        return str(peek(volume, "csi").get("driver") or "")
    migrated = next((driver for kind, driver in _MIGRATED.items() if volume.get(kind)), "")
    if migrated:
        return migrated
    claim_name = str(peek(volume, "persistentVolumeClaim").get("claimName") or "")
    if volume.get("ephemeral") is not None:
        claim_name = f"{pod['metadata']['name']}-{volume['name']}"
    if not claim_name:
        return ""
    claim = await attributes.find("", "v1", "persistentvolumeclaims", claim_name, attributes.namespace)
    if claim is None:
        raise _Missing(f'persistentvolumeclaim "{claim_name}" not found')
    name = str(peek(claim, "spec").get("volumeName") or "")
    if not name:
        return ""
    found = await attributes.find("", "v1", "persistentvolumes", name)
    if found is None:
        raise _Missing(f'persistentvolume "{name}" not found')
    spec = peek(found, "spec")
    migrated = next((driver for kind, driver in _MIGRATED.items() if spec.get(kind)), "")
    return migrated or str(peek(spec, "csi").get("driver") or "")


async def _of_driver(attributes: Attributes, name: str) -> AsyncIterator[str]:
    driver = await attributes.find("storage.k8s.io", "v1", "csidrivers", name)
    if driver is None:
        raise _Missing(f'csidriver.storage.k8s.io "{name}" not found')
    for request in each(driver, "spec", "tokenRequests"):
        yield str(request.get("audience") or "")


async def check_pod_certificate(attributes: Attributes, node: str) -> None:
    """Refuse a request for a certificate that is not for a pod of this node, as it runs there now.

    Raises:
        Forbidden: it never will be. StatusError: it is not yet so; another attempt may pass.
    """
    if attributes.operation != "CREATE":
        raise attributes.refuse(f"unexpected operation {attributes.operation}")
    if attributes.subresource:
        raise attributes.refuse(f"unexpected subresource {attributes.subresource}")
    spec = peek(attributes.obj or {}, "spec")
    pod_name, asked_node = str(spec.get("podName") or ""), str(spec.get("nodeName") or "")
    told = f'"{attributes.namespace}/{pod_name}"'
    about, named = f"PodCertificateRequest for pod {told}", "named in the PodCertificateRequest"
    if asked_node != node:
        raise attributes.refuse(
            f'PodCertificateRequest.Spec.NodeName="{asked_node}", which is not the requesting node "{node}"'
        )
    uid = str(spec.get("nodeUID") or "")
    differs = f'{about} names node UID "{uid}", inconsistent with the running node'
    await _same_uid(attributes, "nodes", node, uid, differs)
    pod = await attributes.find("", "v1", "pods", pod_name, attributes.namespace)
    if pod is None:
        raise _later(f'while retrieving pod {told} {named}: pod "{pod_name}" not found')
    uid, real = str(spec.get("podUID") or ""), pod["metadata"]["uid"]
    if uid != real:
        raise _later(f'{about} contains pod UID ("{uid}") which differs from running pod "{real}"')
    if peek(pod, "spec").get("nodeName") != node:
        raise attributes.refuse(f'pod {told} is not running on node "{node}" {named}')
    if _MIRROR in peek(pod, "metadata", "annotations"):
        raise attributes.refuse(f"pod {told} is a mirror pod")
    account = str(spec.get("serviceAccountName") or "")
    running = str(peek(pod, "spec").get("serviceAccountName") or "")
    if running != account:
        raise attributes.refuse(
            f'{about} contains serviceAccountName ("{account}") that differs from running pod ("{running}")'
        )
    uid = str(spec.get("serviceAccountUID") or "")
    differs = f'{about} names service account UID "{uid}", which differs from the running service account'
    await _same_uid(attributes, "serviceaccounts", account, uid, differs)


async def _same_uid(attributes: Attributes, plural: str, name: str, uid: str, differs: str) -> None:
    kind = {"nodes": "node", "serviceaccounts": "service account"}[plural]
    namespace = attributes.namespace if plural == "serviceaccounts" else ""
    found = await attributes.find("", "v1", plural, name, namespace)
    shown = f"{namespace}/{name}" if namespace else name
    if found is None:
        what = kind.replace(" ", "")
        raise _later(
            f'while retrieving {kind} "{shown}" named in the PodCertificateRequest: {what} "{name}" not found'
        )
    if found["metadata"]["uid"] != uid:
        raise _later(f'{differs} ("{found["metadata"]["uid"]}")')


def _later(text: str) -> StatusError:
    """Return the error of what may still become true: no refusal, so that kubelets try again."""
    return StatusError(text, code=500)


def api_reference(pod: Object) -> str:
    """Return the first kind of API object that a pod refers to by other ways than names in its containers.

    Which pods a node makes itself (mirror pods) refer to nothing. Pure.
    """
    for volume in each(pod, "spec", "volumes"):
        if volume.get("csi") is not None:
            return "csidrivers (via CSI volumes)"
        if volume.get("glusterfs") is not None:
            return "endpoints (via glusterFS volumes)"
        if volume.get("persistentVolumeClaim") is not None:
            return "persistentvolumeclaims"
        if volume.get("ephemeral") is not None:
            return "persistentvolumeclaims (via ephemeral volumes)"
        for source in each(volume, "projected", "sources"):
            for key, what in _PROJECTED:
                if source.get(key) is not None:
                    return what
    return ""


_PROJECTED: Final = (
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
)
