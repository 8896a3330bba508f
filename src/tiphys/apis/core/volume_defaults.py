"""Defaults of volumes in pods, of persistent volumes' sources and of claims."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.amount_defaults import round_amounts
from tiphys.apis.core.container_defaults import default_resource_field, pull_policy
from tiphys.apis.defaulting import each, fill, fill_optional, section, show

_FILE_MODE = 0o644
_TOKEN_LIFETIME_S = 3600


def default_volume(volume: Object) -> None:
    """Complete one volume of a pod; one that names no source is an emptyDir."""
    if not any(volume.get(key) is not None for key in volume if key != "name"):
        volume["emptyDir"] = {}
    default_source(volume)


def default_source(holder: Object) -> None:
    """Complete the volume source that ``holder`` (a volume, or a persistent volume's spec) carries."""
    for name, complete in _SOURCES.items():
        source = holder.get(name)
        if isinstance(source, dict):
            complete(source)


def default_claim_spec(spec: Object) -> None:
    """Complete a PersistentVolumeClaim's spec."""
    fill_optional(spec, "volumeMode", "Filesystem")
    round_amounts(section(spec, "resources"), "limits", "requests")
    show_groups(spec)


def show_groups(spec: Object) -> None:
    """What a claim is filled from always shows its group, or that it is of none."""
    for key in ("dataSource", "dataSourceRef"):
        if isinstance(spec.get(key), dict):
            show(spec[key], "apiGroup")


def _default_mode(source: Object) -> None:
    fill_optional(source, "defaultMode", _FILE_MODE)


def _default_items(source: Object) -> None:
    for item in each(source, "items"):
        field = item.get("fieldRef")
        if isinstance(field, dict):
            fill(field, "apiVersion", "v1")
        default_resource_field(item)


def _default_downward(source: Object) -> None:
    _default_mode(source)
    _default_items(source)


def _default_projected(source: Object) -> None:
    _default_mode(source)
    show(source, "sources")
    for part in each(source, "sources"):
        token = part.get("serviceAccountToken")
        if isinstance(token, dict):
            fill_optional(token, "expirationSeconds", _TOKEN_LIFETIME_S)
        downward = part.get("downwardAPI")
        if isinstance(downward, dict):
            _default_items(downward)


def _default_rbd(source: Object) -> None:
    fill(source, "pool", "rbd")
    fill(source, "user", "admin")
    fill(source, "keyring", "/etc/ceph/keyring")


def _default_azure_disk(source: Object) -> None:
    fill_optional(source, "cachingMode", "ReadWrite")
    fill_optional(source, "kind", "Shared")
    fill_optional(source, "fsType", "ext4")
    fill_optional(source, "readOnly", False)


def _default_scale_io(source: Object) -> None:
    fill(source, "storageMode", "ThinProvisioned")
    fill(source, "fsType", "xfs")


def _default_ephemeral(source: Object) -> None:
    template = source.get("volumeClaimTemplate")
    if isinstance(template, dict):
        section(template, "metadata")
        default_claim_spec(section(template, "spec"))


_SOURCES: dict[str, Callable[[Object], None]] = {
    "secret": _default_mode,
    "configMap": _default_mode,
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "hostPath": lambda source: fill_optional(source, "type", ""),
    "iscsi": lambda source: fill(source, "iscsiInterface", "default"),
    "rbd": _default_rbd,
    "azureDisk": _default_azure_disk,
    "scaleIO": _default_scale_io,
    "ephemeral": _default_ephemeral,
    "image": lambda source: fill(source, "pullPolicy", pull_policy(source.get("reference") or "")),
}
