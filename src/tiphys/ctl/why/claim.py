"""Why a PersistentVolumeClaim is not bound."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.scene import Finding, Scene, one_line, where

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_REASONS = ("ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "ExternalExpanding")


def claim_findings(claim: Object, scene: Scene, *, used: bool = False) -> list[Finding]:
    """Explain a claim; ``used``: a pod that mounts it is known, so waiting for one is no reason."""
    found = deletion_findings(claim, "persistentvolumeclaims", scene)
    phase = (claim.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        volume = claim["spec"].get("volumeName", "")
        return [
            *found,
            Finding(
                f"Its volume {volume} is gone, and what was on it.",
                ("status.phase: Lost", f"spec.volumeName: {volume}"),
            ),
        ]
    return [*found, _pending(claim, scene, used=used)] if phase == "Pending" else found


def _pending(claim: Object, scene: Scene, *, used: bool) -> Finding:
    name, class_name = claim["metadata"]["name"], claim["spec"].get("storageClassName")
    shown = f"claim {name}: status.phase Pending"
    events = scene.events_of(claim, *_REASONS)
    evidence = (shown, *(scene.told(event) for event in events[:1]))
    if claim["spec"].get("volumeName"):
        volume = claim["spec"]["volumeName"]
        cause = f"The claim {name} asks for the volume {volume}, which is not there, taken, or unlike it."
        return Finding(cause, evidence, f"kubectl describe pv {volume}")
    if not class_name:
        return _no_class(claim, scene, evidence)
    storage_class = scene.get("storageclasses", class_name)
    if scene.missing("storageclasses", class_name) and not _offered(scene, class_name):
        return Finding(
            f"The claim {name} asks for the storage class {class_name}, which does not exist.",
            (*evidence, f"spec.storageClassName: {class_name}"),
            "kubectl get storageclasses",
        )
    if storage_class and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not used:
        return Finding(
            f"The claim {name} is bound once a pod that mounts it has been given a node.",
            (*evidence, f"storage class {class_name}: volumeBindingMode WaitForFirstConsumer"),
            f"kubectl get pods{where(claim)}",
        )
    provisioner = (storage_class or {}).get("provisioner", "")
    if storage_class and provisioner != "kubernetes.io/no-provisioner":
        text = one_line(events[0].get("message", "")).rstrip(".") if events else "it has said nothing yet"
        return Finding(
            f"The claim {name} waits for the provisioner {provisioner}: {text}.",
            evidence,
            f"kubectl get pods -A (does {provisioner} run?)",
        )
    return Finding(
        f"The claim {name} waits for a volume of class {class_name} that nobody has claimed, "
        f"{_size(claim)}, with {_modes(claim)}.",
        evidence,
        "kubectl get pv",
    )


def _no_class(claim: Object, scene: Scene, evidence: tuple[str, ...]) -> Finding:
    name = claim["metadata"]["name"]
    field = "spec.storageClassName: " + ('""' if claim["spec"].get("storageClassName") == "" else "not set")
    default = any(
        (obj["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
        for obj in scene.all("storageclasses")
    )
    cause = f"The claim {name} names no storage class"
    cause += "" if default or field.endswith('""') else ", and the cluster has no default one"
    cause += f": it waits for a volume without a class, {_size(claim)}, with {_modes(claim)}."
    return Finding(cause, (*evidence, field), "kubectl get storageclasses,pv")


def _offered(scene: Scene, class_name: str) -> bool:
    """A class needs no object where volumes made by hand bear its name."""
    return any(
        volume["spec"].get("storageClassName") == class_name for volume in scene.all("persistentvolumes")
    )


def _size(claim: Object) -> str:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return f"of {requests['storage']} or more" if requests.get("storage") else "of any size"


def _modes(claim: Object) -> str:
    return ", ".join(claim["spec"].get("accessModes") or ["any access mode"])
