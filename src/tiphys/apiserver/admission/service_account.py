"""Every pod runs as a service account, and gets that account's token to speak with the API.

Source: the "Managing Service Accounts" page; the projected volume is the one that upstream's plugin makes.
"""

from __future__ import annotations

import asyncio

import orjson

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, copy_object, stable_suffix
from tiphys.apis.defaulting import each
from tiphys.apiserver.admission import mountable_secrets
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authz.graph import references

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
EXPIRATION_S = 3607
"""An odd number, by which the server knows tokens that it asked for itself."""
ATTEMPTS = 10
"""How often the account is looked for that every namespace gets."""
_AGAIN_S = 0.1
_PREFIX = "kube-api-access-"
_MIRROR = "kubernetes.io/config.mirror"


class ServiceAccount:
    """Sets the account, its pull secrets, and the volume with token, CA and namespace."""

    NAME = "ServiceAccount"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({"", "ephemeralcontainers"})
    ADMITS = frozenset({"CREATE"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        pod = attributes.obj
        if pod is None or attributes.subresource:
            return
        if _is_mirror(pod):
            _check_mirror(attributes, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await _account(attributes, name)
        if _wants_token(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = copy_object(account["imagePullSecrets"])

    async def validate(self, attributes: Attributes) -> None:
        """Judge a new pod as all plugins have left it, and containers that join one later."""
        pod = attributes.obj
        if pod is None or (attributes.operation == "UPDATE") is not bool(attributes.subresource):
            return
        if not attributes.subresource and _is_mirror(pod):
            _check_mirror(attributes, pod)
            return
        name = pod["spec"].get("serviceAccountName") or ""
        if not name:
            raise attributes.refuse(
                f"no service account specified for pod {attributes.namespace}/{attributes.name}"
            )
        account = await _account(attributes, name)
        if not mountable_secrets.are_enforced(account):
            return
        if attributes.subresource:
            if why := mountable_secrets.joining(account, pod["spec"]):
                raise StatusError(why, code=500)  # the API takes it for a failure of its own
        elif why := mountable_secrets.refused(account, pod["spec"]):
            raise attributes.refuse(why)


async def _account(attributes: Attributes, name: str) -> Object:
    """Return an account; a new namespace's own is waited for a little. Raises Forbidden."""
    account = await attributes.find("", "v1", "serviceaccounts", name, attributes.namespace)
    for _ in range(ATTEMPTS - 1 if name == "default" else 0):
        if account is not None:
            break
        await asyncio.sleep(_AGAIN_S)
        account = await attributes.find("", "v1", "serviceaccounts", name, attributes.namespace)
    if account is None:
        raise attributes.refuse(
            f"error looking up service account {attributes.namespace}/{name}: "
            f'serviceaccount "{name}" not found'
        )
    return account


def _is_mirror(pod: Object) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def _check_mirror(attributes: Attributes, pod: Object) -> None:
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise attributes.refuse("a mirror pod may not reference service accounts")
    plain = {**pod, "metadata": {**pod["metadata"], "annotations": {}}}
    if any(resource == "secrets" and name for resource, name in references(plain)):
        raise attributes.refuse("a mirror pod may not reference secrets")
    for volume in each(pod, "spec", "volumes"):
        if any(source.get("serviceAccountToken") for source in each(volume, "projected", "sources")):
            raise attributes.refuse("a mirror pod may not use ServiceAccountToken volume projections")


def _wants_token(account: Object, spec: Object) -> bool:
    if spec.get("automountServiceAccountToken") is not None:
        return bool(spec["automountServiceAccountToken"])
    return bool(account.get("automountServiceAccountToken", True))


def _mount_token(spec: Object) -> None:
    """Add the volume. Its name follows from the spec, so that pods of one template stay alike in all."""
    volumes = spec.get("volumes") or []
    names = {volume.get("name") or "" for volume in volumes}
    existing = [name for name in names if name.startswith(_PREFIX)]
    name = existing[0] if existing else _PREFIX + stable_suffix(orjson.dumps(spec))
    used = False
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})
            container["volumeMounts"] = mounts
            used = True
    if used and name not in names:
        spec["volumes"] = [*volumes, {"name": name, "projected": token_projection()}]


def token_projection() -> Object:
    """Return the projected volume source of ``kube-api-access-*``."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": EXPIRATION_S, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": 420,
    }
