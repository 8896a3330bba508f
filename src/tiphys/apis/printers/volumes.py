"""Rows of persistent volumes, claims and the ``storage.k8s.io`` group."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.printers.base import (
    AGE,
    NAME,
    UNSET,
    Cells,
    Printer,
    Rows,
    age_of,
    boolean,
    column,
    integer,
    name_of,
)

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def access_modes(modes: object) -> str:
    """Return access modes in their short spelling, each once, in the API's order."""
    given = modes if isinstance(modes, list) else []
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _phase(obj: Object) -> str:
    if peek(obj, "metadata").get("deletionTimestamp"):
        return "Terminating"
    return str(peek(obj, "status").get("phase") or "")


def _class_of(obj: Object) -> str:
    old = peek(obj, "metadata", "annotations").get(_OLD_CLASS)
    return str(peek(obj, "spec").get("storageClassName") or "") if old is None else str(old)


def _or_unset(value: object) -> object:
    return UNSET if value is None else value


def volume_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    claim = peek(spec, "claimRef")
    return [
        name_of(obj),
        str(peek(spec, "capacity").get("storage") or "0"),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        _phase(obj),
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        _class_of(obj),
        _or_unset(spec.get("volumeAttributesClassName")),
        peek(obj, "status").get("reason") or "",
        age_of(obj, now),
        _or_unset(spec.get("volumeMode")),
    ]


def claim_row(obj: Object, now: datetime) -> Cells:
    spec, status = peek(obj, "spec"), peek(obj, "status")
    bound = bool(spec.get("volumeName"))
    return [
        name_of(obj),
        _phase(obj),
        spec.get("volumeName") or "",
        str(peek(status, "capacity").get("storage") or "0") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _class_of(obj),
        _or_unset(spec.get("volumeAttributesClassName")),
        age_of(obj, now),
        _or_unset(spec.get("volumeMode")),
    ]


def storage_class_row(obj: Object, now: datetime) -> Cells:
    annotations = peek(obj, "metadata", "annotations")
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        f"{name_of(obj)} (default)" if default else name_of(obj),
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age_of(obj, now),
    ]


def attributes_class_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj.get("driverName") or "", age_of(obj, now)]


def attachment_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    return [
        name_of(obj),
        spec.get("attacher") or "",
        peek(spec, "source").get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool(peek(obj, "status").get("attached")),
        age_of(obj, now),
    ]


def csi_node_row(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), len(list(each(obj, "spec", "drivers"))), age_of(obj, now)]


def csi_driver_row(obj: Object, now: datetime) -> Cells:
    spec = peek(obj, "spec")
    audiences = [str(request.get("audience") or "") for request in each(spec, "tokenRequests")]
    return [
        name_of(obj),
        spec.get("attachRequired") is not False,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(audiences) if audiences else UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or "<none>",
        age_of(obj, now),
    ]


def storage_capacity_row(obj: Object, _now: datetime) -> Cells:
    return [name_of(obj), obj.get("storageClassName") or "", str(_or_unset(obj.get("capacity")))]


_CLASS = column("StorageClass", "The class of storage.")
_ATTRIBUTES = column("VolumeAttributesClass", "The class of attributes that can change.")
_MODE = column("VolumeMode", "A file system, or a raw block device.", wide=True)
_ACCESS = column("Access Modes", "How it can be mounted.")
_CAPACITY = column("Capacity", "How much fits in.")

PRINTERS: Rows = {
    ("", "PersistentVolume"): Printer(
        (
            NAME,
            _CAPACITY,
            _ACCESS,
            column("Reclaim Policy", "What becomes of it when its claim is gone."),
            column("Status", "Whether it is bound."),
            column("Claim", "The claim that has it."),
            _CLASS,
            _ATTRIBUTES,
            column("Reason", "Why it is as it is."),
            AGE,
            _MODE,
        ),
        volume_row,
    ),
    ("", "PersistentVolumeClaim"): Printer(
        (
            NAME,
            column("Status", "Whether it is bound."),
            column("Volume", "The volume it has."),
            _CAPACITY,
            _ACCESS,
            _CLASS,
            _ATTRIBUTES,
            AGE,
            _MODE,
        ),
        claim_row,
    ),
    ("storage.k8s.io", "StorageClass"): Printer(
        (
            NAME,
            column("Provisioner", "Who makes the volumes."),
            column("ReclaimPolicy", "What becomes of a volume when its claim is gone."),
            column("VolumeBindingMode", "When claims are bound."),
            column("AllowVolumeExpansion", "Whether claims may grow."),
            AGE,
        ),
        storage_class_row,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): Printer(
        (NAME, column("DriverName", "The driver it is for."), AGE), attributes_class_row
    ),
    ("storage.k8s.io", "VolumeAttachment"): Printer(
        (
            NAME,
            column("Attacher", "The driver that attaches.", format="name"),
            column("PV", "The volume."),
            column("Node", "Where it is attached."),
            boolean("Attached", "Whether it is attached."),
            AGE,
        ),
        attachment_row,
    ),
    ("storage.k8s.io", "CSINode"): Printer(
        (NAME, integer("Drivers", "How many drivers the node has."), AGE), csi_node_row
    ),
    ("storage.k8s.io", "CSIDriver"): Printer(
        (
            NAME,
            boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
            boolean("PodInfoOnMount", "Whether the driver is told about the pod."),
            boolean("StorageCapacity", "Whether the scheduler looks at capacity."),
            column("TokenRequests", "Audiences of the tokens it is given."),
            boolean("RequiresRepublish", "Whether mounts are renewed from time to time."),
            column("Modes", "Kinds of volumes it has."),
            AGE,
        ),
        csi_driver_row,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): Printer(
        (NAME, column("StorageClassName", "The class of storage."), _CAPACITY), storage_capacity_row
    ),
}
