"""What a pod needs of its namespace: Secrets, ConfigMaps, claims, its service account. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.meta import Object

SECRET_DRIVERS: Final = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
"""Kinds of volumes that name a Secret in ``secretRef``."""


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield ``(resource, name)`` of everything that a pod names; some names may be empty."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    for claim in status.get("resourceClaimStatuses") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    yield "resourceclaims", (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName") or ""
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
    if source := volume.get("azureFile"):
        yield "secrets", source.get("secretName", "")
    for driver in (*SECRET_DRIVERS, "csi"):
        source = volume.get(driver) or {}
        ref = source.get("secretRef") or source.get("nodePublishSecretRef")
        if ref:
            yield "secrets", ref.get("name", "")
