"""Rules of the spec of a claim, whether it stands alone or is a template of others."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.resource_validation import parse_amount, quantity_faults
from tiphys.apis.defaulting import peek
from tiphys.apis.value_validation import label_selector

_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_MODES = ("Block", "Filesystem")


def access_mode_faults(spec: Object, path: str, text: str) -> list[FieldError]:
    """Return every fault of the access modes of a claim or volume."""
    modes, at = spec.get("accessModes") or [], f"{path}.accessModes"
    if not modes:
        return [required(at, text)]
    return _modes(modes, at)


def _modes(modes: list[str], path: str) -> list[FieldError]:
    faults = [not_supported(path, mode, _ACCESS_MODES) for mode in modes if mode not in _ACCESS_MODES]
    known = {mode for mode in modes if mode in _ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        faults.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return faults


def claim_spec_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a PersistentVolumeClaim's spec."""
    modes, at = spec.get("accessModes") or [], f"{path}.accessModes"
    faults = [] if modes else [required(at, "at least 1 access mode is required")]
    faults += label_selector(spec.get("selector"), f"{path}.selector")
    faults += _modes(modes, at)
    faults += _size(peek(spec, "resources", "requests").get("storage"), f"{path}.resources[storage]")
    name = spec.get("storageClassName")
    if name:
        faults += invalid_all(f"{path}.storageClassName", name, names.is_dns1123_subdomain(name))
    mode = spec.get("volumeMode")
    if mode is not None and mode not in _MODES:
        faults.append(not_supported(f"{path}.volumeMode", mode, _MODES))
    faults += _sources(spec, path)
    name = spec.get("volumeAttributesClassName")
    if name:
        at = f"{path}.volumeAttributesClassName"
        faults += invalid_all(at, name, names.is_dns1123_subdomain(name))
    return faults


def _size(asked: object, path: str) -> list[FieldError]:
    if asked is None:
        return [required(path)]
    parsed = parse_amount(asked)
    if parsed is not None and parsed.amount <= 0:
        return [invalid(path, str(asked), "must be greater than zero")]
    return quantity_faults("storage", asked, path)


def _sources(spec: Object, path: str) -> list[FieldError]:
    """What a new volume is filled with."""
    faults: list[FieldError] = []
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if isinstance(source, dict):
        faults += _source(source, f"{path}.dataSource")
    if isinstance(reference, dict):
        faults += _source(reference, f"{path}.dataSourceRef")
        home = reference.get("namespace")
        if home:
            at = f"{path}.dataSourceRef.namespace"
            faults += invalid_all(at, home, names.is_dns1123_label(home))
    if not isinstance(source, dict) or not isinstance(reference, dict):
        return faults
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        faults.append(invalid(path, f"{path}.dataSource", text))
    elif any(source.get(key) != reference.get(key) for key in ("apiGroup", "kind", "name")):
        faults.append(invalid(path, f"{path}.dataSource", "must match dataSourceRef"))
    return faults


def _source(source: Object, path: str) -> list[FieldError]:
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    faults = [required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        faults.append(invalid(path, kind, text))
    if group:
        faults += invalid_all(f"{path}.apiGroup", group, names.is_dns1123_subdomain(group))
    return faults
