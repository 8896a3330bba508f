"""Whether the finalizer that keeps a claim or a volume is to come, to go or to stay. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.meta import Object

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"


def planned_finalizers(obj: Object, finalizer: str, *, used: bool) -> list[str] | None:
    """Return the finalizers that an object should have; None where they are right."""
    present = list(obj["metadata"].get("finalizers") or ())
    if not obj["metadata"].get("deletionTimestamp"):
        return None if finalizer in present else [*present, finalizer]
    if finalizer in present and not used:
        return [item for item in present if item != finalizer]
    return None


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims a pod uses, made for its ephemeral volumes or by people.

    A pod without a node uses nothing yet: no kubelet starts it on a claim that is going away. One that its
    kubelet has ended no longer holds its own claims: deleted in the foreground, it waits for them to go.
    """
    if not (pod.get("spec") or {}).get("nodeName"):
        return []
    meta = pod["metadata"]
    ended = bool(meta.get("deletionTimestamp")) and meta.get("deletionGracePeriodSeconds") == 0
    return claim_names(pod, own=not ended)


def claim_names(pod: Object, *, own: bool = True) -> list[str]:
    """Return the names of the claims that a pod's volumes are of, with or without those made for it."""
    names = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(str(volume["persistentVolumeClaim"]["claimName"]))
        elif own and volume.get("ephemeral") is not None:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def is_claim_used(claim: Object, pods: Iterable[Object]) -> bool:
    return any(claim["metadata"]["name"] in claims_of(pod) for pod in pods)


def is_volume_used(volume: Object) -> bool:
    return bool((volume.get("status") or {}).get("phase") == "Bound")


def attributes_of(obj: Object) -> list[str]:
    """Return the VolumeAttributesClasses that a claim or a volume has, asks for, or is being given."""
    status = obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    names = (
        obj["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        target,
    )
    return sorted({str(name) for name in names if name})
