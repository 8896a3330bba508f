"""Rules of the volumes of pods, and of where containers mount them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_found,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.claim_validation import claim_spec_faults
from tiphys.apis.core.env_validation import VOLUME_FIELDS, field_reference, resource_field
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import no_backsteps, one_of, relative_path

_MODE_MAX = 0o777
_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_TOKEN_LIFETIME = (600, 1 << 32)
_DRIVER_MAX = 63


def validate_volumes(spec: Object, path: str) -> tuple[list[FieldError], dict[str, Object]]:
    """Return every fault of a pod's volumes, and the volumes by name."""
    faults: list[FieldError] = []
    volumes: dict[str, Object] = {}
    for index, volume in enumerate(each(spec, "volumes")):
        at = f"{path}[{index}]"
        faults += _source_faults(volume, at)
        name = volume.get("name") or ""
        texts = names.is_dns1123_label(name)
        if not name:
            faults.append(required(f"{at}.name"))
        elif texts:
            faults += invalid_all(f"{at}.name", name, texts)
        elif name in volumes:
            faults.append(duplicate(f"{at}.name", name))
        else:
            volumes[name] = volume
    return faults, volumes


def _source_faults(volume: Object, path: str) -> list[FieldError]:
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    faults = [forbidden(f"{path}.{key}", "may not specify more than 1 volume type") for key in given[1:]]
    check = _SOURCES.get(given[0])
    source = volume[given[0]]
    if check and isinstance(source, dict):
        faults += check(source, f"{path}.{given[0]}")
    return faults


def _needs(*keys: str) -> Callable[[Object, str], list[FieldError]]:
    def check(source: Object, path: str) -> list[FieldError]:
        return [required(f"{path}.{key}") for key in keys if not source.get(key)]

    return check


def _mode(source: Object, path: str, key: str = "defaultMode") -> list[FieldError]:
    mode = source.get(key)
    if mode is None or 0 <= mode <= _MODE_MAX:
        return []
    return [invalid(f"{path}.{key}", mode, _MODE_TEXT)]


def _reserved_relative(value: str, path: str) -> list[FieldError]:
    faults = relative_path(value, path)
    if value.startswith("..") and not faults:
        faults.append(invalid(path, value, "must not start with '..'"))
    return faults


def _key_items(source: Object, path: str) -> Iterator[FieldError]:
    for index, item in enumerate(each(source, "items")):
        at = f"{path}.items[{index}]"
        if not item.get("key"):
            yield required(f"{at}.key")
        if not item.get("path"):
            yield required(f"{at}.path")
        yield from _reserved_relative(item.get("path") or "", f"{at}.path")
        yield from _mode(item, at, "mode")


def _keyed(name_key: str) -> Callable[[Object, str], list[FieldError]]:
    def check(source: Object, path: str) -> list[FieldError]:
        faults = [] if source.get(name_key) else [required(f"{path}.{name_key}")]
        return [*faults, *_mode(source, path), *_key_items(source, path)]

    return check


def _downward_items(source: Object, path: str) -> Iterator[FieldError]:
    for index, item in enumerate(each(source, "items")):
        at = f"{path}.items[{index}]"
        target = item.get("path") or ""
        if not target:
            yield required(f"{at}.path")
        yield from _reserved_relative(target, f"{at}.path")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if isinstance(field, dict):
            yield from field_reference(field, f"{at}.fieldRef", VOLUME_FIELDS)
            if isinstance(resource, dict):
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield invalid(at, "resource", text)
        elif isinstance(resource, dict):
            yield from resource_field(resource, f"{at}.resourceFieldRef", volume=True)
        else:
            yield required(at, "one of fieldRef and resourceFieldRef is required")
        yield from _mode(item, at, "mode")


def _downward(source: Object, path: str) -> list[FieldError]:
    return [*_mode(source, path), *_downward_items(source, path)]


def _token(source: Object, path: str) -> Iterator[FieldError]:
    seconds = source.get("expirationSeconds")
    if seconds is not None and seconds < _TOKEN_LIFETIME[0]:
        yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds is not None and seconds > _TOKEN_LIFETIME[1]:
        yield invalid(
            f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"
        )
    if not source.get("path"):
        yield required(f"{path}.path")


def _projected(source: Object, path: str) -> list[FieldError]:
    faults = _mode(source, path)
    for index, part in enumerate(each(source, "sources")):
        at = f"{path}.sources[{index}]"
        given = [key for key, value in part.items() if isinstance(value, dict)]
        faults += [forbidden(f"{at}.{key}", "may not specify more than 1 volume type") for key in given[1:]]
        for key in ("secret", "configMap"):
            inner = part.get(key)
            if isinstance(inner, dict):
                faults += [] if inner.get("name") else [required(f"{at}.{key}.name")]
                faults += _key_items(inner, f"{at}.{key}")
        faults += _downward_items(peek(part, "downwardAPI"), f"{at}.downwardAPI")
        if isinstance(part.get("serviceAccountToken"), dict):
            faults += _token(part["serviceAccountToken"], f"{at}.serviceAccountToken")
    return faults


def _empty_dir(source: Object, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    parsed = parse_amount(limit) if limit is not None else None
    if parsed is not None and parsed.amount < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Object, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    if not target:
        return [required(f"{path}.path")]
    faults = no_backsteps(target, f"{path}.path")
    return faults + one_of(source.get("type"), f"{path}.type", _HOST_PATH_TYPES, optional=True)


def _nfs(source: Object, path: str) -> list[FieldError]:
    faults = _needs("server", "path")(source, path)
    if source.get("path") and not source["path"].startswith("/"):
        faults.append(invalid(f"{path}.path", source["path"], "must be an absolute path"))
    return faults


def _ephemeral(source: Object, path: str) -> list[FieldError]:
    if not isinstance(source.get("volumeClaimTemplate"), dict):
        return [required(f"{path}.volumeClaimTemplate")]
    spec = peek(source, "volumeClaimTemplate", "spec")
    return claim_spec_faults(spec, f"{path}.volumeClaimTemplate.spec")


_SOURCES: dict[str, Callable[[Object, str], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _keyed("secretName"),
    "configMap": _keyed("name"),
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _needs("claimName"),
    "ephemeral": _ephemeral,
    "nfs": _nfs,
    "csi": _needs("driver"),
    "gcePersistentDisk": _needs("pdName"),
    "awsElasticBlockStore": _needs("volumeID"),
    "gitRepo": _needs("repository"),
    "iscsi": _needs("targetPortal", "iqn"),
    "glusterfs": _needs("endpoints", "path"),
    "rbd": _needs("monitors", "image"),
    "cephfs": _needs("monitors"),
    "cinder": _needs("volumeID"),
    "flocker": lambda _source, _path: [],
    "flexVolume": _needs("driver"),
    "vsphereVolume": _needs("volumePath"),
    "azureFile": _needs("secretName", "shareName"),
    "azureDisk": _needs("diskName", "diskURI"),
}


def volume_source_faults(kind: str, source: Object, path: str) -> list[FieldError]:
    """Return every fault of where a PersistentVolume is stored."""
    check = _PERSISTENT.get(kind) or _SOURCES.get(kind)
    return check(source, path) if check is not None else []


def _csi(source: Object, path: str) -> list[FieldError]:
    driver = source.get("driver") or ""
    if not driver:
        faults = [required(f"{path}.driver")]
    elif len(driver) > _DRIVER_MAX:
        faults = [too_long(f"{path}.driver", _DRIVER_MAX)]
    else:
        faults = invalid_all(f"{path}.driver", driver, names.is_dns1123_subdomain(driver.lower()))
    if not source.get("volumeHandle"):
        faults.append(required(f"{path}.volumeHandle"))
    for key in (
        "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):  # fmt: skip
        if isinstance(source.get(key), dict):
            faults += _needs("name", "namespace")(source[key], f"{path}.{key}")
    return faults


def _local(source: Object, path: str) -> list[FieldError]:
    target = source.get("path") or ""
    return no_backsteps(target, f"{path}.path") if target else [required(f"{path}.path")]


_PERSISTENT: dict[str, Callable[[Object, str], list[FieldError]]] = {
    "csi": _csi,
    "local": _local,
    "azureFile": _needs("secretName", "shareName"),
}


def validate_mounts(container: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    """Return every fault of where a container mounts volumes and puts block devices."""
    faults: list[FieldError] = []
    mounted: set[str] = set()
    for index, mount in enumerate(each(container, "volumeMounts")):
        at = f"{path}.volumeMounts[{index}]"
        faults += _named_volume(mount, volumes, at)
        target = mount.get("mountPath") or ""
        if not target:
            faults.append(required(f"{at}.mountPath"))
        elif target in mounted:
            faults.append(invalid(f"{at}.mountPath", target, "must be unique"))
        mounted.add(target)
        faults += _sub_paths(mount, at)
        modes = ("Bidirectional", "HostToContainer", "None")
        faults += one_of(mount.get("mountPropagation"), f"{at}.mountPropagation", modes, optional=True)
        privileged = peek(container, "securityContext").get("privileged")
        if mount.get("mountPropagation") == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            faults.append(forbidden(f"{at}.mountPropagation", text))
    return faults + _devices(container, volumes, path)


def _named_volume(use: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    name = use.get("name") or ""
    if not name:
        return [required(f"{path}.name")]
    return [] if name in volumes else [not_found(f"{path}.name", name)]


def _sub_paths(mount: Object, path: str) -> list[FieldError]:
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    faults = relative_path(sub, f"{path}.subPath") if sub else []
    if expression:
        if sub:
            text = "subPathExpr and subPath are mutually exclusive"
            faults.append(invalid(f"{path}.subPathExpr", expression, text))
        faults += relative_path(expression, f"{path}.subPathExpr")
    return faults


def _devices(container: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    used: set[str] = set()
    for index, device in enumerate(each(container, "volumeDevices")):
        at = f"{path}.volumeDevices[{index}]"
        faults += _named_volume(device, volumes, at)
        volume = volumes.get(device.get("name") or "")
        if volume and not (volume.get("persistentVolumeClaim") or volume.get("ephemeral")):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            faults.append(invalid(f"{at}.name", device.get("name"), text))
        target = device.get("devicePath") or ""
        if not target:
            faults.append(required(f"{at}.devicePath"))
        elif target in used:
            faults.append(invalid(f"{at}.devicePath", target, "must be unique"))
        used.add(target)
        faults += no_backsteps(target, f"{at}.devicePath")
    return faults
