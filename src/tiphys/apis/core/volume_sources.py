"""Rules of where volumes come from: one check for each kind of source, plugins that are gone included.

Some paths are not where the field is; they are those of the API.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.claim_validation import claim_spec_faults
from tiphys.apis.defaulting import peek
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.value_validation import no_backsteps, one_of, relative_path

Check = Callable[[Object, str], list[FieldError]]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_DRIVER_MAX = 63
_META = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip
_META_SHOWN = {"uid": "uID"}
_BYTE = "must be between 0 and 255, inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z\d.-]+)(:[^,;*&$|\s]+)", re.ASCII)
_EUI = re.compile(r"eui.[a-zA-Z\d]{16}", re.ASCII)
_NAA = re.compile(r"naa.[a-zA-Z\d]{32}", re.ASCII)
_ISCSI_NAMES = {"iqn": _IQN, "eui": _EUI, "naa": _NAA}
_ISCSI_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName "
    "is specified."
)
_HOST_PORTS = "must be a host:port pair or multiple pairs separated by commas"
_CACHING = ("None", "ReadOnly", "ReadWrite")
_DISKS = ("Dedicated", "Managed", "Shared")
_MANAGED = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
)
_BLOB = ("https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",)
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def needs(*keys: str) -> Check:
    """Make a check of a source that has to have these fields."""

    def check(source: Object, path: str) -> list[FieldError]:
        return [required(f"{path}.{key}") for key in keys if not source.get(key)]

    return check


def secret_reference(*keys: str, key: str = "secretRef") -> Check:
    """Make a check of a reference to a secret, where there is one."""

    def check(source: Object, path: str) -> list[FieldError]:
        reference = source.get(key)
        if not isinstance(reference, dict):
            return []
        return [required(f"{path}.{key}.{name}") for name in keys if not reference.get(name)]

    return check


def both(*checks: Check) -> Check:
    """Make a check of several."""
    return lambda source, path: [fault for check in checks for fault in check(source, path)]


def _host_path(source: Object, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    if not target:
        return [required(f"{path}.path")]
    faults = no_backsteps(target, f"{path}.path")
    return faults + one_of(source.get("type"), f"{path}.type", _HOST_PATH_TYPES, optional=True)


def _git_repo(source: Object, path: str) -> list[FieldError]:
    faults = needs("repository")(source, path)
    return faults + relative_path(source.get("directory") or "", f"{path}.directory")


def _partition(key: str) -> Check:
    def check(source: Object, path: str) -> list[FieldError]:
        faults, number = needs(key)(source, path), source.get("partition") or 0
        return faults if 0 <= number <= 255 else [*faults, invalid(f"{path}.partition", number, _PARTITION)]

    return check


def _gce(source: Object, path: str) -> list[FieldError]:
    return _partition("pdName")(source, path.removesuffix("gcePersistentDisk") + "persistentDisk")


def _nfs(source: Object, path: str) -> list[FieldError]:
    faults, target = needs("server", "path")(source, path), source.get("path") or ""
    return (
        faults
        if target.startswith("/")
        else [*faults, invalid(f"{path}.path", target, "must be an absolute path")]
    )


def _iscsi_name(name: str, path: str, *, known_start: str) -> list[FieldError]:
    pattern = _ISCSI_NAMES.get(name[:3])
    if pattern is None:
        return [invalid(path, name, known_start)]
    return [] if pattern.fullmatch(name) else [invalid(path, name, "must be valid format")]


def _iscsi_parts(source: Object, path: str, *, start: str) -> list[FieldError]:
    faults: list[FieldError] = []
    name, lun, initiator = source.get("iqn") or "", source.get("lun") or 0, source.get("initiatorName")
    if not name:
        faults.append(required(f"{path}.iqn"))
    else:
        faults += _iscsi_name(name, f"{path}.iqn", known_start=start)
    if not 0 <= lun <= 255:
        faults.append(invalid(f"{path}.lun", lun, _BYTE))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and not source.get("secretRef"):
        faults.append(required(f"{path}.secretRef"))
    if start == "must be valid format":
        faults += secret_reference("name")(source, path)
    if initiator is not None:
        faults += _iscsi_name(initiator, f"{path}.initiatorname", known_start=start)
    return faults


def _iscsi(source: Object, path: str) -> list[FieldError]:
    text = "must be valid format starting with iqn, eui, or naa"
    return needs("targetPortal")(source, path) + _iscsi_parts(source, path, start=text)


def persistent_iscsi(source: Object, path: str, name: str = "") -> list[FieldError]:
    """Return every fault of where a PersistentVolume of this name comes from, if that is iSCSI."""
    faults, long = needs("targetPortal")(source, path), long_portal(source, name)
    if name and long:
        faults.append(invalid(f"{path}.targetportal", source.get("targetPortal"), long))
    return faults + _iscsi_parts(source, path, start="must be valid format")


def long_portal(source: Object, name: str) -> str:
    """Return what is wrong with an initiator's volume of this name, if it is too long with its portal."""
    portal = str(source.get("targetPortal") or "")
    named = source.get("initiatorName") is not None
    return _ISCSI_LONG if named and len(f"{name}:{portal}") > 64 else ""


def _fibre_channel(source: Object, path: str) -> list[FieldError]:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    faults: list[FieldError] = []
    if not targets and not ids:
        text = "must specify either targetWWNs or wwids, but not both"
        faults.append(required(f"{path}.targetWWNs", text))
    if targets and ids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        faults.append(invalid(f"{path}.targetWWNs", targets, text))
    if targets and lun is None:
        faults.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif targets and not 0 <= (lun or 0) <= 255:
        faults.append(invalid(f"{path}.lun", lun, _BYTE))
    return faults


def _quobyte(source: Object, path: str) -> list[FieldError]:
    registry, faults = source.get("registry") or "", list[FieldError]()
    if not registry:
        faults.append(required(f"{path}.registry", _HOST_PORTS))
    elif len(source.get("tenant") or "") >= 65:
        text = "must be a UUID and may not exceed a length of 64 characters"
        faults.append(required(f"{path}.tenant", text))
    else:
        faults += [
            invalid(f"{path}.registry", registry, _HOST_PORTS)
            for pair in registry.split(",")
            if not re.fullmatch(r"([^:\[\]]*|\[[^\[\]]*\]):[^:\[\]]*", pair)
        ]
    return faults + needs("volume")(source, path)


def _persistent_glusterfs(source: Object, path: str) -> list[FieldError]:
    faults, namespace = needs("endpoints", "path")(source, path), source.get("endpointsNamespace")
    at = f"{path}.endpointsNamespace"
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        return [*faults, invalid(at, namespace, text)]
    return faults + (invalid_all(at, namespace, names.is_dns1123_label(namespace)) if namespace else [])


def _flocker(source: Object, path: str) -> list[FieldError]:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID")
    faults: list[FieldError] = []
    if not name and not uuid:
        faults.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        faults.append(invalid(path, "resource", text))
    if "/" in name:
        faults.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return faults


def _flex(source: Object, path: str) -> list[FieldError]:
    faults = needs("driver")(source, path)
    for key in peek(source, "options"):
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            faults.append(invalid(f"{path}.options[{key}]", key, text))
    return faults


def _persistent_azure_file(source: Object, path: str) -> list[FieldError]:
    faults = needs("secretName", "shareName")(source, path)
    empty = source.get("secretNamespace") == ""
    return [*faults, required(f"{path}.secretNamespace")] if empty else faults


def _azure_disk(source: Object, path: str) -> list[FieldError]:
    faults = needs("diskName", "diskURI")(source, path)
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    if caching is not None and caching not in _CACHING:
        faults.append(not_supported(f"{path}.cachingMode", caching, _CACHING))
    if kind is not None and kind not in _DISKS:
        faults.append(not_supported(f"{path}.kind", kind, _DISKS))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        faults.append(not_supported(f"{path}.diskURI", uri, _MANAGED))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        faults.append(not_supported(f"{path}.diskURI", uri, _BLOB))
    return faults


def _storageos(source: Object, path: str) -> list[FieldError]:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    faults = needs("volumeName")(source, path)
    if name:
        faults += invalid_all(f"{path}.volumeName", name, names.is_dns1123_label(name))
    if namespace:
        faults += invalid_all(f"{path}.volumeNamespace", namespace, names.is_dns1123_label(namespace))
    return faults


def driver_name(name: str, path: str) -> list[FieldError]:
    """Return every fault of the name of a CSI driver."""
    if not name:
        return [required(path)]
    faults = [too_long(path, _DRIVER_MAX)] if len(name) > _DRIVER_MAX else []
    return faults + invalid_all(path, name, names.is_dns1123_subdomain(name.lower()))


def _csi(source: Object, path: str) -> list[FieldError]:
    faults = driver_name(source.get("driver") or "", f"{path}.driver")
    reference = source.get("nodePublishSecretRef")
    if not isinstance(reference, dict):
        return faults
    name = reference.get("name") or ""
    if not name:
        return [*faults, required(f"{path}.nodePublishSecretRef.name")]
    return faults + invalid_all(f"{path}.name", name, names.is_dns1123_subdomain(name))


def _persistent_csi(source: Object, path: str) -> list[FieldError]:
    faults = driver_name(source.get("driver") or "", f"{path}.driver")
    faults += needs("volumeHandle")(source, path)
    for key in (
        "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):  # fmt: skip
        if isinstance(source.get(key), dict):
            faults += _placed_secret(source[key], f"{path}.{key}")
    return faults


def _placed_secret(reference: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key, check in (("name", names.is_dns1123_subdomain), ("namespace", names.is_dns1123_label)):
        value, at = reference.get(key) or "", f"{path}.{key}"
        faults += invalid_all(at, value, check(value)) if value else [required(at)]
    return faults


def _local(source: Object, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    return no_backsteps(target, f"{path}.path") if target else [required(f"{path}.path")]


def template_meta_faults(meta: Object, path: str) -> list[FieldError]:
    """Only labels and annotations of a template go along."""
    return [
        forbidden(f"{path}.{_META_SHOWN.get(key, key)}", "cannot be set")
        for key in _META
        if meta.get(key) not in (None, "", 0, [], {})
    ]


def _ephemeral(source: Object, path: str) -> list[FieldError]:
    template, at = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if not isinstance(template, dict):
        return [required(at)]
    meta = peek(template, "metadata")
    faults = validate_annotations(peek(meta, "annotations"), f"{at}.metadata.annotations")
    faults += validate_labels(peek(meta, "labels"), f"{at}.metadata.labels")
    faults += template_meta_faults(meta, f"{at}.metadata")
    return faults + claim_spec_faults(peek(template, "spec"), f"{at}.spec")


def _image(source: Object, path: str) -> list[FieldError]:
    faults = needs("reference")(source, path)
    return faults + one_of(source.get("pullPolicy"), f"{path}.pullPolicy", PULL_POLICIES)


_SHARED: dict[str, Check] = {
    "hostPath": _host_path,
    "gcePersistentDisk": _gce,
    "awsElasticBlockStore": _partition("volumeID"),
    "flocker": _flocker,
    "nfs": _nfs,
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "vsphereVolume": needs("volumePath"),
    "photonPersistentDisk": needs("pdID"),
    "portworxVolume": needs("volumeID"),
    "azureDisk": _azure_disk,
    "scaleIO": needs("gateway", "system", "volumeName"),
    "rbd": needs("monitors", "image"),
    "cephfs": needs("monitors"),
}
POD_SOURCES: dict[str, Check] = {
    **_SHARED,
    "gitRepo": _git_repo,
    "iscsi": _iscsi,
    "glusterfs": needs("endpoints", "path"),
    "persistentVolumeClaim": needs("claimName"),
    "cinder": both(needs("volumeID"), secret_reference("name")),
    "azureFile": needs("secretName", "shareName"),
    "storageos": both(_storageos, secret_reference("name")),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
PERSISTENT_SOURCES: dict[str, Check] = {
    **_SHARED,
    "iscsi": persistent_iscsi,
    "glusterfs": _persistent_glusterfs,
    "cinder": both(needs("volumeID"), secret_reference("name", "namespace")),
    "azureFile": _persistent_azure_file,
    "storageos": both(_storageos, secret_reference("name", "namespace")),
    "csi": _persistent_csi,
    "local": _local,
}
PERSISTENT_ORDER = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
    "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
    "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
POD_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI",
    "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
SHOWN_TWICE = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""How the API spells a source that is one too many."""
