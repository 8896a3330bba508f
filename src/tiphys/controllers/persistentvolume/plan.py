"""Binding of claims and volumes: what both should look like next. Pure. Source: "Persistent Volumes".

Both sides name each other; whichever write is lost, the next look at either repairs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers.persistentvolume import hostpath
from tiphys.controllers.persistentvolume.hostpath import BOUND_BY_CONTROLLER, PROVISIONED_BY
from tiphys.controllers.persistentvolume.matching import (
    best_volume,
    class_of,
    default_class,
    has_no_class,
    is_ref_to,
    misfit,
)

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_IN_TREE = "kubernetes.io/"
_DRIVERS = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Whom claims of provisioners that were part of Kubernetes once are left to."""
_UNDELETABLE = ("csi", "hostPath", "local", "nfs")
"""Kinds of volumes that are known, and that nobody here can delete."""

Event = tuple[str, str, str]
"""Type, reason, message."""


@dataclass(slots=True)
class Plan:
    """Whole objects as they should be, status included; None where nothing is to change."""

    volume: Object | None = None
    claim: Object | None = None
    event: Event | None = None
    made: Object | None = None
    """A volume to make, with its folder."""
    gone: bool = False
    """The volume goes, with its folder."""


def plan_claim(
    claim: Object,
    volumes: Sequence[Object],
    classes: Mapping[str, Object],
    waiting: Sequence[str] = (),
    root: str = "",
) -> Plan:
    """Plan one claim against all volumes; ``waiting`` names the pods that use it and have no node yet.

    ``root`` is where folders are made for claims; empty: nowhere.
    """
    if claim["metadata"].get("deletionTimestamp") and not _completed(claim):
        return Plan()
    named = claim["spec"].get("volumeName")
    volume = next((item for item in volumes if item["metadata"]["name"] == named), None) if named else None
    if _completed(claim):
        return _keep(claim, volume)
    if named:
        return _named(claim, volume)
    storage_class = classes.get(class_of(claim))
    waits = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    chosen = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
    found = best_volume(claim, volumes, only_given=waits and not chosen)
    if found is not None:
        return _bind(claim, found)
    default = default_class(classes.values()) if has_no_class(claim) else None
    if default is not None:
        spec = {**claim["spec"], "storageClassName": default["metadata"]["name"]}
        return Plan(claim={**claim, "spec": spec})
    if waits and not chosen:
        return _wait_for_consumers(claim, waiting)
    if storage_class is not None and storage_class.get("provisioner") == hostpath.PLUGIN:
        return _provision(claim, storage_class, root)
    return _wait(claim, storage_class)


def plan_volume(volume: Object, claim: Object | None, root: str = "") -> Plan:
    """Plan one volume; ``claim`` is the one its claimRef names, if there is one; ``root`` as above."""
    ref = volume["spec"].get("claimRef")
    if not ref or not ref.get("uid"):
        return Plan(volume=_phase(volume, "Available"))
    if claim is None or claim["metadata"]["uid"] != ref["uid"]:
        return _reclaim(volume, root)
    if claim["spec"].get("volumeName") == volume["metadata"]["name"]:
        return Plan(volume=_phase(volume, "Bound"))
    if not claim["spec"].get("volumeName"):
        return Plan()  # half bound: the claim's own turn completes it
    annotations = volume["metadata"].get("annotations") or {}
    if PROVISIONED_BY in annotations and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return _reclaim(volume, root)  # made for this claim, and nobody needs it
    return Plan(volume=_unbound(volume))


def _completed(claim: Object) -> bool:
    return BIND_COMPLETED in (claim["metadata"].get("annotations") or {})


def _keep(claim: Object, volume: Object | None) -> Plan:
    if volume is None:
        what = "its" if claim["spec"].get("volumeName") else "reference to"
        text = f"Bound claim has lost {what} PersistentVolume. Data on the volume is lost!"
        return _lost(claim, ("Warning", "ClaimLost", text))
    ref = volume["spec"].get("claimRef")
    if ref and ref.get("uid") != claim["metadata"]["uid"]:
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
        return _lost(claim, ("Warning", "ClaimMisbound", text))
    return _bind(claim, volume)


def _lost(claim: Object, event: Event) -> Plan:
    changed = _phase(claim, "Lost")
    return Plan(claim=changed, event=event if changed is not None else None)


def _named(claim: Object, volume: Object | None) -> Plan:
    if volume is None:
        return Plan(claim=_phase(claim, "Pending"))
    ref = volume["spec"].get("claimRef")
    if ref is not None and not is_ref_to(ref, claim):
        name = volume["metadata"]["name"]
        text = f'volume "{name}" already bound to a different claim.'
        return Plan(claim=_phase(claim, "Pending"), event=("Warning", "FailedBinding", text))
    fault = misfit(volume, claim) if ref is None else ""
    if fault:
        text = f'Cannot bind to requested volume "{volume["metadata"]["name"]}": {fault}'
        return Plan(claim=_phase(claim, "Pending"), event=("Warning", "VolumeMismatch", text))
    return _bind(claim, volume)


def _wait_for_consumers(claim: Object, consumers: Sequence[str]) -> Plan:
    """``consumers``: the pods that the scheduler must place first."""
    event = ("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    if consumers:
        pods = f"pod{'s' if len(consumers) > 1 else ''} {','.join(consumers)}"
        event = ("Normal", "WaitForPodScheduled", f"waiting for {pods} to be scheduled")
    return Plan(claim=_phase(claim, "Pending"), event=event)


def _provision(claim: Object, storage_class: Object, root: str) -> Plan:
    """Have a folder made for a claim."""
    pending = _marked(claim, hostpath.PLUGIN)
    fault = hostpath.fault_of(claim, storage_class) if root else hostpath.DISABLED
    if fault:
        return Plan(claim=pending, event=("Warning", "ProvisioningFailed", fault))
    made = hostpath.volume_for(claim, storage_class, root)
    name = made["metadata"]["name"]
    text = f"Successfully provisioned volume {name} using {hostpath.PLUGIN}"
    return Plan(claim=pending, made=made, event=("Normal", "ProvisioningSucceeded", text))


def _marked(claim: Object, provisioner: str) -> Object | None:
    """The claim as it waits for a provisioner, whose name it bears; None where that is so already."""
    pending = _phase(claim, "Pending")
    meta = claim["metadata"]
    annotations = {**(meta.get("annotations") or {}), PROVISIONER: provisioner, PROVISIONER_BETA: provisioner}
    if annotations == (meta.get("annotations") or {}):
        return pending
    return {**(pending or claim), "metadata": {**meta, "annotations": annotations}}


def _wait(claim: Object, storage_class: Object | None) -> Plan:
    pending = _phase(claim, "Pending")
    provisioner = str((storage_class or {}).get("provisioner"))
    if storage_class is None and class_of(claim):
        text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        return Plan(claim=pending, event=("Warning", "ProvisioningFailed", text))
    if storage_class is None:
        text = "no persistent volumes available for this claim and no storage class is set"
        return Plan(claim=pending, event=("Normal", "FailedBinding", text))
    provisioner = _DRIVERS.get(provisioner, provisioner)
    if provisioner.startswith(_IN_TREE):
        text = f"no volume plugin matched name: {provisioner}"
        return Plan(claim=pending, event=("Warning", "ProvisioningFailed", text))
    text = (
        "Waiting for a volume to be created either by the external provisioner "
        f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, "
        "please verify that the provisioner is running and correctly registered."
    )
    return Plan(claim=_marked(claim, provisioner), event=("Normal", "ExternalProvisioning", text))


def _bind(claim: Object, volume: Object) -> Plan:
    meta, vmeta = claim["metadata"], volume["metadata"]
    annotations = dict(meta.get("annotations") or {})
    if not claim["spec"].get("volumeName"):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    annotations[BIND_COMPLETED] = "yes"
    status = {
        **(claim.get("status") or {}),
        "phase": "Bound",
        "accessModes": volume["spec"].get("accessModes") or [],
        "capacity": volume["spec"].get("capacity") or {},
    }
    if volume["spec"].get("volumeAttributesClassName"):
        status["currentVolumeAttributesClassName"] = volume["spec"]["volumeAttributesClassName"]
    bound_claim = {
        **claim,
        "metadata": {**meta, "annotations": annotations},
        "spec": {**claim["spec"], "volumeName": vmeta["name"]},
        "status": status if (claim.get("status") or {}).get("phase") != "Bound" else claim["status"],
    }
    given = dict(volume["spec"].get("claimRef") or {})
    bound_volume = dict(volume)
    if given.get("uid") != meta["uid"]:
        ref = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        bound_volume["spec"] = {**volume["spec"], "claimRef": ref}
        if not given:
            own = {**(vmeta.get("annotations") or {}), BOUND_BY_CONTROLLER: "yes"}
            bound_volume["metadata"] = {**vmeta, "annotations": own}
    bound_volume["status"] = {**(volume.get("status") or {}), "phase": "Bound"}
    return Plan(
        volume=None if bound_volume == volume else bound_volume,
        claim=None if bound_claim == claim else bound_claim,
    )


def _reclaim(volume: Object, root: str) -> Plan:
    # One that could not be reclaimed stays so, for people to see.
    failed = (volume.get("status") or {}).get("phase") == "Failed"
    released = None if failed else _phase(volume, "Released")
    annotations = volume["metadata"].get("annotations") or {}
    policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if policy == "Delete" and hostpath.is_own(volume, root):
        return Plan(volume=released, gone=released is None)
    if policy != "Delete" or annotations.get(PROVISIONED_BY):
        return Plan(volume=released)  # kept for people, or for the provisioner to delete
    known = any(kind in volume["spec"] for kind in _UNDELETABLE)
    fault = f"no {'deletable ' if known else ''}volume plugin matched"
    text = f'error getting deleter volume plugin for volume "{volume["metadata"]["name"]}": {fault}'
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if path is not None and not re.search("/tmp/.+", path):
        text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    return _failed(volume, "VolumeFailedDelete", text)


def _failed(volume: Object, reason: str, text: str) -> Plan:
    status = volume.get("status") or {}
    if status.get("phase") == "Failed":
        return Plan()
    failed = {**volume, "status": {**status, "phase": "Failed", "message": text}}
    return Plan(volume=failed, event=("Warning", reason, text))


def _unbound(volume: Object) -> Object:
    """A volume whose claim took another: free again, or kept for the name that people gave it."""
    annotations = dict(volume["metadata"].get("annotations") or {})
    spec = dict(volume["spec"])
    if annotations.pop(BOUND_BY_CONTROLLER, None):
        spec.pop("claimRef")
    else:
        spec["claimRef"] = {
            key: value for key, value in spec["claimRef"].items() if key not in ("uid", "resourceVersion")
        }
    return {
        **volume,
        "metadata": {**volume["metadata"], "annotations": annotations},
        "spec": spec,
        "status": {"phase": "Available"},
    }


def _phase(obj: Object, phase: str) -> Object | None:
    status = obj.get("status") or {}
    if status.get("phase") == phase:
        return None
    return {
        **obj,
        "status": {**{key: value for key, value in status.items() if key != "message"}, "phase": phase},
    }
