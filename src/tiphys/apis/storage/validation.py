"""Rules of the ``storage.k8s.io`` kinds."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, immutable, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of


def _driver(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    return invalid_all(path, name, names.is_dns1123_subdomain(name.lower()))


def validate_storage_class(obj: Object) -> list[FieldError]:
    """Return every fault of a StorageClass."""
    provisioner = obj.get("provisioner") or ""
    if provisioner:
        faults = invalid_all("provisioner", provisioner, names.is_qualified_name(provisioner.lower()))
    else:
        faults = [required("provisioner")]
    faults += one_of(obj.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"), optional=True)
    modes = ("Immediate", "WaitForFirstConsumer")
    return faults + one_of(obj.get("volumeBindingMode"), "volumeBindingMode", modes)


def validate_storage_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a StorageClass; what it provisions never changes."""
    faults = validate_storage_class(new)
    faults += [
        forbidden(key, f"updates to {key} are forbidden.")
        for key in ("parameters", "provisioner", "reclaimPolicy")
        if (new.get(key) or None) != (old.get(key) or None)
    ]
    return faults + immutable("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))


def validate_attachment(obj: Object) -> list[FieldError]:
    """Return every fault of a VolumeAttachment."""
    spec = peek(obj, "spec")
    faults = _driver(spec.get("attacher") or "", "spec.attacher")
    if not spec.get("nodeName"):
        faults.append(required("spec.nodeName"))
    source = peek(spec, "source")
    given = [key for key in ("inlineVolumeSpec", "persistentVolumeName") if source.get(key)]
    if not given:
        faults.append(
            required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        )
    elif len(given) > 1:
        faults.append(
            forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        )
    return faults


def validate_attachment_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a VolumeAttachment; its spec never changes."""
    return validate_attachment(new) + immutable("spec", peek(new, "spec"), peek(old, "spec"))


def validate_csi_driver(obj: Object) -> list[FieldError]:
    """Return every fault of a CSIDriver."""
    spec = peek(obj, "spec")
    faults = [
        required(f"spec.{key}")
        for key in ("attachRequired", "podInfoOnMount", "storageCapacity")
        if spec.get(key) is None
    ]
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    faults += one_of(spec.get("fsGroupPolicy"), "spec.fsGroupPolicy", policies, optional=True)
    seen: set[str] = set()
    for index, request in enumerate(each(spec, "tokenRequests")):
        audience = str(request.get("audience") or "")
        if audience in seen:
            faults.append(duplicate(f"spec.tokenRequests[{index}].audience", audience))
        seen.add(audience)
    for mode in spec.get("volumeLifecycleModes") or ():
        faults += one_of(mode, "spec.volumeLifecycleModes", ("Ephemeral", "Persistent"))
    return faults


def validate_csi_driver_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a CSIDriver."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = validate_csi_driver(new)
    for key in ("attachRequired", "volumeLifecycleModes"):
        faults += immutable(f"spec.{key}", spec.get(key), before.get(key))
    return faults


def validate_csi_node(obj: Object) -> list[FieldError]:
    """Return every fault of a CSINode."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, driver in enumerate(each(obj, "spec", "drivers")):
        path = f"spec.drivers[{index}]"
        name = driver.get("name") or ""
        faults += _driver(name, f"{path}.name")
        if not driver.get("nodeID"):
            faults.append(required(f"{path}.nodeID"))
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return faults


def validate_attributes_class(obj: Object) -> list[FieldError]:
    """Return every fault of a VolumeAttributesClass."""
    faults = _driver(obj.get("driverName") or "", "driverName")
    return (
        faults
        if obj.get("parameters")
        else [*faults, required("parameters", "must contain at least one key/value pair")]
    )


def validate_attributes_class_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a VolumeAttributesClass; only its metadata changes."""
    return [
        forbidden(key, f"updates to {key} are forbidden.")
        for key in ("driverName", "parameters")
        if new.get(key) != old.get(key)
    ]
