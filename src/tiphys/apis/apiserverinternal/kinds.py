"""Rules and strategies of the ``internal.apiserver.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, required
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.strategy import Strategy

_COMMON = "status.commonEncodingVersion"
_NONE_COMMON = (
    "should be nil if servers do not agree on the same encoding version, or if there is no server reporting "
    "the supported versions yet"
)
_NEITHER = names.regex_error(
    "a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
)


def is_storage_version_name(value: str) -> list[str]:
    """``<group>.<resource>``."""
    group, dot, resource = value.rpartition(".")
    if not dot:
        return ["name must be in the form of <group>.<resource>"]
    texts = [f"the group segment {text}" for text in names.is_dns1123_subdomain(group)]
    return texts + [f"the resource segment {text}" for text in names.is_dns1035_label(resource)]


def _api_version_texts(value: str) -> list[str]:
    *groups, version = value.split("/")
    if len(groups) > 1:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"
        return [f"an apiVersion is {_NEITHER} {optional}"]
    texts = []
    if groups:
        group = names.is_dns1123_subdomain(groups[0]) if groups[0] else [names.EMPTY]
        texts += [f"group part: {text}" for text in group]
    own = names.is_dns1035_label(version) if version else [names.EMPTY]
    return texts + [f"version part: {text}" for text in own]


def _version(value: str, path: str) -> list[FieldError]:
    texts = _api_version_texts(value)
    return [invalid(path, value, ",".join(texts))] if texts else []


def _servers(status: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, server in enumerate(each(status, "storageVersions")):
        at, name = f"status.storageVersions[{index}]", server.get("apiServerID") or ""
        encoding, known = server.get("encodingVersion") or "", server.get("decodableVersions")
        faults += invalid_all(f"{at}.apiServerID", name, names.is_dns1123_subdomain(name))
        faults += _version(encoding, f"{at}.encodingVersion")
        for place, version in enumerate(known or ()):
            faults += _version(version, f"{at}.decodableVersions[{place}]")
        if encoding not in (known or ()):
            text = f"decodableVersions must include encodingVersion {encoding}"
            faults.append(invalid(f"{at}.decodableVersions", known, text))
    return faults


def _common(status: Object) -> list[FieldError]:
    """The version that all servers write, where they agree."""
    written = {server.get("encodingVersion") or "" for server in each(status, "storageVersions")}
    told, common = status.get("commonEncodingVersion"), written.pop() if len(written) == 1 else None
    if told == common:
        return []
    if common is None:
        return [invalid(_COMMON, told, _NONE_COMMON)]
    actual = "common" if told is None else "actual common"
    return [invalid(_COMMON, told, f"the {actual} encoding version is {common}")]


def _conditions(status: Object) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: dict[str, int] = {}
    for index, condition in enumerate(each(status, "conditions")):
        # The API's own paths leave out the name of the list, and show the type for the status.
        at, kind = f"status[{index}]", condition.get("type") or ""
        if kind in seen:
            text = f"the type of the condition is not unique, it also appears in conditions[{seen[kind]}]"
            faults.append(invalid(f"{at}.type", kind, text))
        seen[kind] = index
        faults += invalid_all(f"{at}.type", kind, names.is_qualified_name(kind))
        faults += invalid_all(f"{at}.status", kind, names.is_qualified_name(condition.get("status") or ""))
        faults += [
            required(f"{at}.{key}", f"{key} cannot be empty") for key in _TOLD if not condition.get(key)
        ]
    return faults


_TOLD = ("reason", "message")


def prepare_storage_version(obj: Object) -> None:
    """Servers tell what they store only later; the field is there all the same, with nothing in it."""
    obj["status"] = {}


def validate_storage_version(obj: Object) -> list[FieldError]:
    """Return every fault of a StorageVersion: of what servers tell of how they store a resource."""
    status = peek(obj, "status")
    return _servers(status) + _common(status) + _conditions(status)


def validate_storage_version_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of a StorageVersion's new status."""
    return validate_storage_version(new)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("internal.apiserver.k8s.io", "v1alpha1", "StorageVersion"),
        prepare_create=prepare_storage_version,
        validate=validate_storage_version,
        validate_status_update=validate_storage_version_status,
        validate_name=is_storage_version_name,
        unconditional_update=False,
    ),
)
