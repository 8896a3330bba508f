"""Defaults and strategies of the ``storage.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.core.volume_defaults import default_source
from tiphys.apis.defaulting import fill, fill_optional, section
from tiphys.apis.storage import validation
from tiphys.apis.strategy import Strategy

_GROUP = "storage.k8s.io"


def default_storage_class(obj: Object) -> None:
    """Volumes are deleted with their claims and bound at once, unless the class says otherwise."""
    fill_optional(obj, "reclaimPolicy", "Delete")
    fill_optional(obj, "volumeBindingMode", "Immediate")


def default_csi_driver(obj: Object) -> None:
    """Complete a CSIDriver."""
    spec = section(obj, "spec")
    fill_optional(spec, "attachRequired", True)
    fill_optional(spec, "podInfoOnMount", False)
    fill_optional(spec, "storageCapacity", False)
    fill_optional(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType")
    fill(spec, "volumeLifecycleModes", ["Persistent"])
    fill_optional(spec, "requiresRepublish", False)
    fill_optional(spec, "seLinuxMount", False)


def default_attachment(obj: Object) -> None:
    """Complete the volume that an attachment may carry inline."""
    inline = ((obj.get("spec") or {}).get("source") or {}).get("inlineVolumeSpec")
    if isinstance(inline, dict):
        default_source(inline)


def prepare_attachment(obj: Object) -> None:
    """A new attachment is not attached."""
    obj["status"] = {"attached": False}


def _gvk(kind: str) -> GVK:
    return GVK(_GROUP, "v1", kind)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _gvk("StorageClass"),
        default=default_storage_class,
        validate=validation.validate_storage_class,
        validate_update=validation.validate_storage_class_update,
        warnings=validation.storage_class_warnings,
    ),
    Strategy(
        _gvk("CSIDriver"),
        default=default_csi_driver,
        validate=validation.validate_csi_driver,
        validate_update=validation.validate_csi_driver_update,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("CSINode"),
        validate=validation.validate_csi_node,
        validate_update=validation.validate_csi_node_update,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("VolumeAttachment"),
        default=default_attachment,
        prepare_create=prepare_attachment,
        validate=validation.validate_attachment,
        validate_update=validation.validate_attachment_update,
        validate_status_update=validation.validate_attachment_status,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("CSIStorageCapacity"),
        validate=validation.validate_capacity,
        validate_update=validation.validate_capacity_update,
        warnings=validation.capacity_warnings,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("VolumeAttributesClass"),
        validate=validation.validate_attributes_class,
        validate_update=validation.validate_attributes_class_update,
    ),
)
