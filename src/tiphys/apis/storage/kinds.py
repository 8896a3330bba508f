"""Defaults and strategies of the ``storage.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.core.volume_defaults import default_source
from tiphys.apis.defaulting import each, fill, fill_optional, peek, section
from tiphys.apis.ratchet import SELECTOR_VALUES, ratcheted
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


def prepare_csi_driver_update(new: Object, old: Object) -> None:
    """Changes are counted, from none for a new driver."""
    if peek(new, "spec") != peek(old, "spec"):
        count = int(peek(old, "metadata").get("generation") or 0)
        section(new, "metadata")["generation"] = count + 1


def default_attachment(obj: Object) -> None:
    """Complete the volume that an attachment may carry inline."""
    inline = ((obj.get("spec") or {}).get("source") or {}).get("inlineVolumeSpec")
    if isinstance(inline, dict):
        default_source(inline)


def default_csi_node(obj: Object) -> None:
    """The list of drivers and their topology keys are always shown."""
    spec = section(obj, "spec")
    spec["drivers"] = spec.get("drivers") or None
    for driver in each(obj, "spec", "drivers"):
        driver["topologyKeys"] = driver.get("topologyKeys") or None


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
        prepare_update=prepare_csi_driver_update,
        validate=validation.validate_csi_driver,
        validate_update=validation.validate_csi_driver_update,
        warnings=validation.csi_driver_warnings,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("CSINode"),
        default=default_csi_node,
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
        validate_status_update=validation.validate_attachment_update,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("CSIStorageCapacity"),
        validate=validation.validate_capacity,
        validate_update=ratcheted(
            validation.validate_capacity_update, validation.validate_capacity, SELECTOR_VALUES
        ),
        warnings=validation.capacity_warnings,
        unconditional_update=False,
    ),
    Strategy(
        _gvk("VolumeAttributesClass"),
        validate=validation.validate_attributes_class,
        validate_update=validation.validate_attributes_class_update,
    ),
)
