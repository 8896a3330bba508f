"""Rules of PersistentVolumes and PersistentVolumeClaims, new, changed and in their status."""

from __future__ import annotations

import posixpath
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.affinity_validation import node_selector
from tiphys.apis.core.claim_validation import access_mode_faults, claim_spec_faults
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.core.volume_defaults import show_groups
from tiphys.apis.core.volume_sources import (
    PERSISTENT_ORDER,
    PERSISTENT_SOURCES,
    SHOWN_TWICE,
    persistent_iscsi,
)
from tiphys.apis.defaulting import peek, restore
from tiphys.apis.inside import difference, inside
from tiphys.apis.value_validation import one_of

_NOT_SOURCES = frozenset(
    {
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity",
        "persistentVolumeReclaimPolicy", "storageClassName", "volumeAttributesClassName", "volumeMode",
    }
)  # fmt: skip
_MODES = ("Block", "Filesystem")
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_SOURCE_GROUPS = ("spec.dataSource.apiGroup", "spec.dataSourceRef.apiGroup")
_CLAIM_TEXT = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)
_RESIZE_STATUSES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip
_BETA_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _sources(spec: Object) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in _NOT_SOURCES and isinstance(value, dict)}


def validate_volume(volume: Object) -> list[FieldError]:
    """Return every fault of a PersistentVolume."""
    spec, path = peek(volume, "spec"), "spec.persistentVolumeReclaimPolicy"
    faults = access_mode_faults(spec, "spec", "") + _capacity(spec.get("capacity"))
    reclaim = spec.get("persistentVolumeReclaimPolicy")
    faults += one_of(reclaim, path, ("Delete", "Recycle", "Retain"), optional=True)
    faults += _affinity(spec)
    faults += _source_faults(spec, "spec", str(peek(volume, "metadata").get("name") or ""))
    host_path = str(peek(spec, "hostPath").get("path") or "")
    if host_path and posixpath.normpath(f"/{host_path.lstrip('/')}") == "/" and reclaim == "Recycle":
        faults.append(forbidden(path, "may not be 'recycle' for a hostPath mount of '/'"))
    name = spec.get("storageClassName")
    if name:
        faults += invalid_all("spec.storageClassName", name, names.is_dns1123_subdomain(name))
    mode = spec.get("volumeMode")
    if mode is not None and mode not in _MODES:
        faults.append(not_supported("spec.volumeMode", mode, _MODES))
    return faults + _attributes_class(spec)


def inline_volume_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a volume that an attachment carries with it: CSI and nothing of a claim's."""
    inline = "in the context of inline volumes"
    faults = [
        forbidden(f"{path}.{key}", f"may not be specified {inline}")
        for key in ("claimRef", "capacity")
        if spec.get(key)
    ]
    if spec.get("csi") is None:
        faults.append(required(f"{path}.csi", f"has to be specified {inline}"))
    faults += access_mode_faults(spec, path, "")
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        faults.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", f"may only be Retain {inline}"))
    if spec.get("nodeAffinity") is not None:
        faults.append(forbidden(f"{path}.nodeAffinity", f"may not be specified {inline}"))
    faults += _source_faults(spec, path, "")
    if spec.get("storageClassName"):
        faults.append(forbidden(f"{path}.storageClassName", f"may not be specified {inline}"))
    if spec.get("volumeMode") not in (None, "Filesystem"):
        text = f"may not specify volumeMode other than Filesystem {inline}"
        faults.append(forbidden(f"{path}.volumeMode", text))
    return faults


def _source_faults(spec: Object, path: str, name: str) -> list[FieldError]:
    faults: list[FieldError] = []
    given = [key for key in PERSISTENT_ORDER if isinstance(spec.get(key), dict)]
    for index, key in enumerate(given):
        at = f"{path}.{key}"
        if index and key != "flexVolume":
            again = f"{path}.{SHOWN_TWICE.get(key, key)}"
            faults.append(forbidden(again, "may not specify more than 1 volume type"))
            continue
        if key == "iscsi":
            faults += persistent_iscsi(spec[key], at, name)
        else:
            faults += PERSISTENT_SOURCES[key](spec[key], at)
        if key == "local" and spec.get("nodeAffinity") is None:
            faults.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    return faults if given else [required(path, "must specify a volume type")]


def _capacity(capacity: Object | None) -> list[FieldError]:
    path = "spec.capacity"
    faults = [] if capacity else [required(path)]
    if not capacity or "storage" not in capacity or len(capacity) > 1:
        faults.append(not_supported(path, capacity, ("storage",)))
    for name, value in (capacity or {}).items():
        at, parsed = f"{path}[{name}]", parse_amount(value)
        faults += _basic(value, at)
        if parsed is not None and parsed.amount <= 0:
            faults.append(invalid(at, str(value), "must be greater than zero"))
    return faults


def _affinity(spec: Object) -> list[FieldError]:
    affinity, path = spec.get("nodeAffinity"), "spec.nodeAffinity.required"
    if not isinstance(affinity, dict):
        return []
    needed = affinity.get("required")
    if not isinstance(needed, dict):
        return [required(path, "must specify required node constraints")]
    return node_selector(needed, path)


def _attributes_class(spec: Object) -> list[FieldError]:
    name, path = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    if name is None:
        return []
    if not name:
        faults = [required(path, "an empty string is disallowed")]
    else:
        faults = invalid_all(path, name, names.is_dns1123_subdomain(name))
    if spec.get("csi") is None:
        faults.append(required("spec.csi", "has to be specified when using volumeAttributesClassName"))
    return faults


def validate_volume_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a PersistentVolume; where it is stored never changes.

    As upstream does, all rules of a new one are told twice.
    """
    faults = validate_volume(new) * 2
    spec, before = peek(new, "spec"), peek(old, "spec")
    now, then = _sources(spec), _sources(before)
    if "csi" in now and "csi" in then and then["csi"].get("controllerExpandSecretRef") is None:
        kept = {key: value for key, value in now["csi"].items() if key != "controllerExpandSecretRef"}
        now = {**now, "csi": kept}
    if now != then:
        text = "spec.persistentvolumesource is immutable after creation"
        changed = difference("PersistentVolumeSource", then, now)
        faults.append(forbidden("spec.persistentvolumesource", f"{text}\n{changed}"))
    faults += immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    affinity = before.get("nodeAffinity")
    moves = on("MutablePVNodeAffinity")
    if affinity is not None and not moves and not _same_affinity(spec.get("nodeAffinity"), affinity):
        text = "field is immutable, except for updating from beta label to GA"
        moved = spec.get("nodeAffinity")
        shown = None if moved is None else inside("VolumeNodeAffinity", moved)
        faults.append(invalid("nodeAffinity", shown, text))
    return faults + _kept_class(spec, before)


def _same_affinity(new: Any, old: Any) -> bool:
    """Whether nothing changed but old labels into those that replaced them."""
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_same_affinity, new, old))
    if not isinstance(new, dict) or not isinstance(old, dict):
        return bool(new == old)
    if "operator" in old and _BETA_LABELS.get(old.get("key") or "") == new.get("key") is not None:
        old = {**old, "key": new["key"]}
    return new.keys() == old.keys() and all(_same_affinity(new[key], old[key]) for key in new)


def _kept_class(spec: Object, before: Object) -> list[FieldError]:
    key = "volumeAttributesClassName"
    if before.get(key) is not None and spec.get(key) is None:
        return [forbidden(f"spec.{key}", "update from non-nil value to nil is forbidden")]
    return []


def validate_claim(claim: Object) -> list[FieldError]:
    """Return every fault of a PersistentVolumeClaim."""
    return claim_spec_faults(peek(claim, "spec"), "spec")


def validate_claim_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a claim: it binds once, and may grow once bound.

    As upstream does, all rules of a new one are told twice.
    """
    faults = validate_claim(new) * 2
    if any(peek(old, "spec", key).get("apiGroup") is not None for key in ("dataSource", "dataSourceRef")):
        # There were groups before there were rules for them.
        faults = [fault for fault in faults if fault.field not in _SOURCE_GROUPS]
    spec, before = copy_object(peek(new, "spec")), copy_object(peek(old, "spec"))
    for one in (spec, before):
        show_groups(one)  # one kept for long may lack what is filled in today
    if not before.get("volumeName"):
        restore(before, spec, "volumeName")
    annotations, earlier = peek(new, "metadata", "annotations"), peek(old, "metadata", "annotations")
    named, was = annotations.get(_CLASS_ANNOTATION), earlier.get(_CLASS_ANNOTATION)
    moved = was is not None and before.get("storageClassName") is None and spec.get("storageClassName") == was
    if moved and named in (None, was):
        spec.pop("storageClassName", None)
    else:
        faults += immutable(f"metadata.annotations.{_CLASS_ANNOTATION}", named or "", was or "")
        chosen = spec.get("storageClassName")
        if chosen is not None and before.get("storageClassName") is None and was in (None, chosen):
            spec.pop("storageClassName")
    if peek(new, "status").get("phase") == "Bound":
        if peek(spec, "resources").get("requests"):
            restore(spec["resources"]["requests"], peek(before, "resources", "requests"), "storage")
        restore(spec, before, "volumeAttributesClassName")
    if spec != before:
        changed = difference("ClaimSpec", before, spec)
        faults.append(forbidden("spec", f"{_CLAIM_TEXT}\n{changed}"))
    faults += _shrunk(new, old)
    faults += immutable(
        "volumeMode", peek(new, "spec").get("volumeMode"), peek(old, "spec").get("volumeMode")
    )
    return faults + _claim_class(new, old)


def _shrunk(new: Object, old: Object) -> list[FieldError]:
    """A claim may take back growth that never happened, but not shrink below what it has."""
    asked, earlier, held = (
        parse_amount(amounts.get("storage") or "0")
        for amounts in (
            peek(new, "spec", "resources", "requests"),
            peek(old, "spec", "resources", "requests"),
            peek(old, "status", "capacity"),
        )
    )
    if asked is None or earlier is None or held is None or asked.amount >= earlier.amount:
        return []
    if asked.amount > held.amount:
        return []
    text = "field can not be less than status.capacity"
    return [forbidden("spec.resources.requests.storage", text)]


def _claim_class(new: Object, old: Object) -> list[FieldError]:
    """A class that a volume once got stays, or becomes another one."""
    key = "volumeAttributesClassName"
    name, before = peek(new, "spec").get(key), peek(old, "spec").get(key)
    if name == before or name or peek(old, "status").get("currentVolumeAttributesClassName") is None:
        return []
    what = "nil" if name is None else "empty string"
    text = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    return [forbidden(f"spec.{key}", text)]


def validate_claim_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of a claim's status."""
    status = peek(new, "status")
    faults: list[FieldError] = []
    if not peek(new, "spec").get("accessModes"):
        faults.append(required("Spec.accessModes"))
    for name, value in peek(status, "capacity").items():
        faults += _basic(value, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatuses"
    for name, value in peek(status, "allocatedResourceStatuses").items():
        faults += _claim_resource(name, path)
        if value not in _RESIZE_STATUSES:
            faults.append(not_supported(path, name, sorted(_RESIZE_STATUSES)))
    path = "status.allocatedResources"
    for name, value in peek(status, "allocatedResources").items():
        faults += _claim_resource(name, path) or _basic(value, f"{path}[{name}]")
    return faults


def _basic(value: Any, path: str) -> list[FieldError]:
    parsed = parse_amount(value)
    if parsed is None or parsed.value() >= 0:
        return []
    return [invalid(path, parsed.value(), "must be a valid resource quantity")]


def _claim_resource(name: str, path: str) -> list[FieldError]:
    faults = invalid_all(path, name, names.is_qualified_name(name))
    native = "/" not in name or "kubernetes.io/" in name
    if not faults and native and name != "storage":
        return [not_supported(path, name, ("storage",))]
    return faults
