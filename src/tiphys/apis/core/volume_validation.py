"""Rules of the volumes of pods, and of where containers mount them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_found,
    not_supported,
    required,
    shown_selector,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.signer import (
    bundle_name,
    expiration_range,
    signer_faults,
    user_annotation_faults,
)
from tiphys.apis.core.env_validation import VOLUME_FIELDS, field_reference, resource_field
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.core.volume_sources import POD_ORDER, POD_SOURCES, SHOWN_TWICE, Check, long_portal
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import label_selector, no_backsteps, one_of, relative_path

_READ_ONLY = ("Disabled", "Enabled", "IfPossible")
_MODE_MAX = 0o777
_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_TOKEN_LIFETIME = (600, 1 << 32)
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_KEY_FILES = ("credentialBundlePath", "keyPath", "certificateChainPath")


def validate_volumes(
    spec: Object, path: str, *, pod_name: str = ""
) -> tuple[list[FieldError], dict[str, Object]]:
    """Return every fault of a pod's volumes, and by name those without: nobody can mount the others.

    Claims that ephemeral volumes make are named by the pod, where its name is given.
    """
    faults: list[FieldError] = []
    volumes: dict[str, Object] = {}
    made = _made_claims(spec, pod_name)
    for index, volume in enumerate(each(spec, "volumes")):
        at, name = f"{path}[{index}]", volume.get("name") or ""
        found = _source_faults(volume, at)
        if made and name and volume.get("ephemeral") is not None:
            claim = f"{pod_name}-{name}"
            told = [f'PVC name "{claim}": {text}' for text in names.is_dns1123_subdomain(claim)]
            found += invalid_all(f"{at}.name", name, told)
        if not name:
            found.append(required(f"{at}.name"))
        else:
            found += invalid_all(f"{at}.name", name, names.is_dns1123_label(name))
        if name in volumes:
            found.append(duplicate(f"{at}.name", name))
        if not found:
            volumes[name] = volume
        faults += found
        target = str(peek(volume, "persistentVolumeClaim").get("claimName") or "")
        if target in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            faults.append(invalid(f"{at}.persistentVolumeClaim.claimName", target, text))
    return faults, volumes


def _made_claims(spec: Object, pod_name: str) -> set[str]:
    return {
        f"{pod_name}-{volume.get('name') or ''}"
        for volume in each(spec, "volumes")
        if pod_name and volume.get("ephemeral") is not None
    }


def _source_faults(volume: Object, path: str) -> list[FieldError]:
    given = [key for key in POD_ORDER if volume.get(key) is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    faults: list[FieldError] = []
    for key in given:
        check, source = _SOURCES.get(key), volume[key]
        if key != given[0]:
            at = f"{path}.{SHOWN_TWICE.get(key, key)}"
            faults.append(forbidden(at, "may not specify more than 1 volume type"))
        elif check and isinstance(source, dict):
            faults += check(source, f"{path}.{key}")
        if key == "iscsi" and (text := long_portal(source, name := str(volume.get("name") or ""))):
            faults.append(invalid(f"{path}.name", name, text))
    return faults


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


def _downward_files(source: Object, path: str) -> Iterator[FieldError]:
    """The API tells of the whole list, not of the item."""
    for item in each(source, "items"):
        target = item.get("path") or ""
        if not target:
            yield required(f"{path}.path")
        yield from _reserved_relative(target, f"{path}.path")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if isinstance(field, dict):
            yield from field_reference(field, f"{path}.fieldRef", VOLUME_FIELDS)
            if isinstance(resource, dict):
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield invalid(path, "resource", text)
        elif isinstance(resource, dict):
            yield from resource_field(resource, f"{path}.resourceFieldRef", volume=True)
        else:
            yield required(path, "one of fieldRef and resourceFieldRef is required")
        yield from _mode(item, path, "mode")


def _downward(source: Object, path: str) -> list[FieldError]:
    return [*_mode(source, path), *_downward_files(source, path)]


def _token(source: Object, path: str, whole: str) -> Iterator[FieldError]:
    seconds, target = source.get("expirationSeconds"), source.get("path") or ""
    at = f"{path}.expirationSeconds"
    if seconds is not None and seconds < _TOKEN_LIFETIME[0]:
        yield invalid(at, seconds, "may not specify a duration less than 10 minutes")
    if seconds is not None and seconds > _TOKEN_LIFETIME[1]:
        yield invalid(at, seconds, "may not specify a duration larger than 2^32 seconds")
    if not target:
        yield required(f"{whole}.path")
    else:
        yield from _reserved_relative(target, f"{whole}.path")


def _trust_bundle(source: Object, path: str) -> Iterator[FieldError]:
    name, signer, selector = (source.get(key) for key in ("name", "signerName", "labelSelector"))
    if name is not None and signer is not None:
        shown = inside("ClusterTrustBundleProjection", source)
        yield invalid(path, shown, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield required(f"{path}.name", "must be a valid object name")
        prefix = name.rpartition(":")[0].replace(":", "/")
        for text in bundle_name(name, prefix):
            yield invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {text}")
        if selector is not None:
            text = "labelSelector must be unset if name is specified"
            yield invalid(f"{path}.labelSelector", shown_selector(selector), text)
    elif signer is not None:
        if not signer:
            yield required(f"{path}.signerName", "must be a valid signer name")
        yield from signer_faults(signer, f"{path}.signerName")
        yield from label_selector(selector, f"{path}.labelSelector")
    else:
        yield required(path, "either name or signerName must be specified")
    if not source.get("path"):
        yield required(f"{path}.path")
    yield from _reserved_relative(source.get("path") or "", f"{path}.path")


def _projected(source: Object, path: str) -> list[FieldError]:
    faults = _mode(source, path)
    taken: set[str] = set()
    for index, part in enumerate(each(source, "sources")):
        at = f"{path}.sources[{index}]"
        faults += _projection(part, at, path, taken)
        if sum(isinstance(value, dict) for value in part.values()) > 1:
            faults.append(forbidden(at, "may not specify more than 1 volume type per source"))
    return faults


def _projection(part: Object, path: str, whole: str, taken: set[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("secret", "configMap"):
        inner = part.get(key)
        if isinstance(inner, dict):
            faults += [] if inner.get("name") else [required(f"{path}.{key}.name")]
            faults += _key_items(inner, f"{path}.{key}")
            faults += _twice(inner, inner.get("name") or "", whole, taken)
    if isinstance(part.get("downwardAPI"), dict):
        faults += _downward_files(part["downwardAPI"], f"{path}.downwardAPI")
        faults += _twice(part["downwardAPI"], None, whole, taken)
    if isinstance(part.get("serviceAccountToken"), dict):
        faults += _token(part["serviceAccountToken"], f"{path}.serviceAccountToken", whole)
    bundle = part.get("clusterTrustBundle")
    if isinstance(bundle, dict):
        faults += _trust_bundle(bundle, f"{path}.clusterTrustBundle")
        faults += _once(bundle.get("path") or "", whole, taken)
    if isinstance(part.get("podCertificate"), dict):
        faults += _pod_certificate(part["podCertificate"], f"{path}.podCertificate", whole, taken)
    return faults


def _pod_certificate(source: Object, path: str, whole: str, taken: set[str]) -> Iterator[FieldError]:
    """A key and its certificates, in one file or in two."""
    signer, kind = source.get("signerName") or "", source.get("keyType") or ""
    yield from signer_faults(signer, f"{path}.signerName")
    yield from user_annotation_faults(peek(source, "userAnnotations"), f"{path}.userAnnotations")
    if kind not in _KEY_TYPES:
        yield not_supported(f"{path}.keyType", kind, _KEY_TYPES)
    seconds, (least, most) = source.get("maxExpirationSeconds"), expiration_range(signer)
    if seconds is not None and not least <= seconds <= most:
        wanted = f">= {least}" if seconds < least else f"<= {most}"
        text = f"if provided, maxExpirationSeconds must be {wanted}"
        yield invalid(f"{path}.maxExpirationSeconds", seconds, text)
    files = {key: source[key] for key in _KEY_FILES if source.get(key)}
    for key, target in files.items():
        yield from _reserved_relative(target, f"{path}.{key}")
        yield from _once(target, whole, taken)
    if not files:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        yield required(path, text)


def _once(target: str, path: str, taken: set[str]) -> list[FieldError]:
    faults = [invalid(path, target, "conflicting duplicate paths")] if target in taken else []
    taken.add(target)
    return faults


def _twice(source: Object, name: str | None, path: str, taken: set[str]) -> Iterator[FieldError]:
    """Two files may not have one path."""
    for item in each(source, "items"):
        target = item.get("path")
        if target and target in taken:
            shown = target if name is None else name
            yield invalid(path, shown, "conflicting duplicate paths")
        elif target:
            taken.add(target)


def _empty_dir(source: Object, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    parsed = parse_amount(limit) if limit is not None else None
    if parsed is not None and parsed.amount < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


_SOURCES: dict[str, Check] = {
    **POD_SOURCES,
    "emptyDir": _empty_dir,
    "secret": _keyed("secretName"),
    "configMap": _keyed("name"),
    "downwardAPI": _downward,
    "projected": _projected,
}


def validate_mounts(container: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    """Return every fault of where a container mounts volumes and puts block devices.

    Some are told of the whole list, as the API does.
    """
    faults: list[FieldError] = []
    all_of_them = f"{path}.volumeMounts"
    mounted: set[str] = set()
    devices = [(one.get("name"), one.get("devicePath")) for one in each(container, "volumeDevices")]
    for index, mount in enumerate(each(container, "volumeMounts")):
        at = f"{path}.volumeMounts[{index}]"
        faults += _named_volume(mount, volumes, at)
        target = mount.get("mountPath") or ""
        if not target:
            faults.append(required(f"{at}.mountPath"))
        if target in mounted:
            faults.append(invalid(f"{at}.mountPath", target, "must be unique"))
        mounted.add(target)
        faults += _shared(mount, "mountPath", devices, at, "volumeDevices")
        faults += _sub_paths(mount, at, all_of_them)
        modes = ("Bidirectional", "HostToContainer", "None")
        faults += one_of(
            mount.get("mountPropagation"), f"{all_of_them}.mountPropagation", modes, nullable=True
        )
        privileged = peek(container, "securityContext").get("privileged")
        if mount.get("mountPropagation") == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            faults.append(forbidden(f"{all_of_them}.mountPropagation", text))
        faults += _read_only(mount, f"{all_of_them}.recursiveReadOnly")
    return faults + _devices(container, volumes, path)


def _read_only(mount: Object, path: str) -> list[FieldError]:
    how = mount.get("recursiveReadOnly")
    if how in (None, "Disabled"):
        return []
    if how not in _READ_ONLY:
        return [not_supported(path, how, _READ_ONLY)]
    faults: list[FieldError] = []
    if not mount.get("readOnly"):
        faults.append(forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        text = "may only be specified when mountPropagation is None or not specified"
        faults.append(forbidden(path, text))
    return faults


def _shared(use: Object, key: str, others: list[tuple[Any, Any]], path: str, where: str) -> list[FieldError]:
    """A volume is mounted or given as a device, not both."""
    faults: list[FieldError] = []
    name, target = use.get("name") or "", use.get(key) or ""
    if any(name == other for other, _ in others):
        faults.append(invalid(f"{path}.name", name, f"must not already exist in {where}"))
    if any(target == other for _, other in others):
        text = f"must not already exist as a path in {where}"
        faults.append(invalid(f"{path}.{key}", target, text))
    return faults


def _named_volume(use: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    name = use.get("name") or ""
    faults = [] if name else [required(f"{path}.name")]
    return faults if name in volumes else [*faults, not_found(f"{path}.name", name)]


def _sub_paths(mount: Object, path: str, whole: str) -> list[FieldError]:
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    faults = relative_path(sub, f"{whole}.subPath") if sub else []
    if expression:
        if sub:
            text = "subPathExpr and subPath are mutually exclusive"
            faults.append(invalid(f"{path}.subPathExpr", expression, text))
        faults += relative_path(expression, f"{whole}.subPathExpr")
    return faults


def _devices(container: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    used: set[str] = set()
    named: set[str] = set()
    mounts = [(one.get("name"), one.get("mountPath")) for one in each(container, "volumeMounts")]
    for index, device in enumerate(each(container, "volumeDevices")):
        at, name = f"{path}.volumeDevices[{index}]", device.get("name") or ""
        target = device.get("devicePath") or ""
        faults += [] if name else [required(f"{at}.name")]
        if name in named:
            faults.append(invalid(f"{at}.name", name, "must be unique"))
        volume = volumes.get(name)
        if volume and not (volume.get("persistentVolumeClaim") or volume.get("ephemeral")):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            faults.append(invalid(f"{at}.name", name, text))
        if name not in volumes:
            faults.append(not_found(f"{at}.name", name))
        if not target:
            faults.append(required(f"{at}.devicePath"))
        if target in used:
            faults.append(invalid(f"{at}.devicePath", target, "must be unique"))
        if no_backsteps(target, ""):
            faults.append(invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            used.add(target)
        if name:
            named.add(name)
        faults += _shared(device, "devicePath", mounts, at, "volumeMounts")
    return faults
