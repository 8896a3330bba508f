"""Rules of environment variables and of the downward API."""

from __future__ import annotations

import re

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KNOWN_FIELDS = frozenset(
    {
        *_ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
        "status.phase", "status.hostIP", "status.nominatedNodeName", "spec.hostNetwork",
    }
)  # fmt: skip
VOLUME_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
)  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"^(metadata\.(?:annotations|labels))\['(.*)'\]$", re.DOTALL)
_MORE_THAN_ONE = "may not have more than one field specified at a time"


def validate_env(container: Object, path: str) -> list[FieldError]:
    """Return every fault of a container's ``env`` and ``envFrom``."""
    faults: list[FieldError] = []
    for index, env in enumerate(each(container, "env")):
        at = f"{path}.env[{index}]"
        name = env.get("name") or ""
        if not name:
            faults.append(required(f"{at}.name"))
        else:
            faults += invalid_all(f"{at}.name", name, names.is_relaxed_env_var_name(name))
        if isinstance(env.get("valueFrom"), dict):
            faults += _source(env, f"{at}.valueFrom")
    for index, source in enumerate(each(container, "envFrom")):
        faults += _whole_source(source, f"{path}.envFrom[{index}]")
    return faults


def _source(env: Object, path: str) -> list[FieldError]:
    source = env["valueFrom"]
    faults: list[FieldError] = []
    given = 0
    for key, check in (
        ("fieldRef", env_field),
        ("resourceFieldRef", resource_field),
        ("configMapKeyRef", _key_selector),
        ("secretKeyRef", _key_selector),
        ("fileKeyRef", _file_key),
    ):
        reference = source.get(key)
        if isinstance(reference, dict):
            given += 1
            faults += check(reference, f"{path}.{key}")
    if not given:
        text = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
            "`fileKeyRef`"
        )
        faults.append(invalid(path, "", text))
    elif env.get("value"):
        faults.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif given > 1:
        faults.append(invalid(path, "", _MORE_THAN_ONE))
    return faults


def env_field(reference: Object, path: str) -> list[FieldError]:
    """A field of the pod that a variable may show."""
    return field_reference(reference, path, _ENV_FIELDS)


def field_reference(reference: Object, path: str, allowed: tuple[str, ...]) -> list[FieldError]:
    """Return every fault of a reference to one of the pod's own fields."""
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    field = reference.get("fieldPath") or ""
    if not field:
        return [required(f"{path}.fieldPath")]
    subscript = _SUBSCRIPT.match(field)
    if subscript:
        key = subscript[2]
        checked = key.lower() if subscript[1].endswith("annotations") else key
        return invalid_all(path, key, names.is_qualified_name(checked))
    if field not in _KNOWN_FIELDS:
        text = f"error converting fieldPath: field label not supported: {field}"
        return [invalid(f"{path}.fieldPath", field, text)]
    return [] if field in allowed else [not_supported(f"{path}.fieldPath", field, allowed)]


def resource_field(reference: Object, path: str, *, volume: bool = False) -> list[FieldError]:
    """Return every fault of a reference to a container's own requests or limits."""
    if volume and not reference.get("containerName"):
        return [required(f"{path}.containerName")]
    resource = reference.get("resource") or ""
    if not resource:
        return [required(f"{path}.resource")]
    if resource in _RESOURCES or resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        return []
    return [not_supported(f"{path}.resource", resource, _RESOURCES)]


def _key_selector(reference: Object, path: str) -> list[FieldError]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    faults = invalid_all(f"{path}.name", name, names.is_dns1123_subdomain(name))
    if not key:
        return [*faults, required(f"{path}.key")]
    return faults + invalid_all(f"{path}.key", key, names.is_config_map_key(key))


def _file_key(reference: Object, path: str) -> list[FieldError]:
    return [required(f"{path}.{key}") for key in ("key", "volumeName", "path") if not reference.get(key)]


def _whole_source(source: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    prefix = source.get("prefix")
    if prefix:
        faults += invalid_all(f"{path}.prefix", prefix, names.is_relaxed_env_var_name(prefix))
    given = [key for key in ("configMapRef", "secretRef") if isinstance(source.get(key), dict)]
    for key in given:
        name = peek(source, key).get("name") or ""
        if not name:
            faults.append(required(f"{path}.{key}.name"))
        else:
            faults += invalid_all(f"{path}.{key}.name", name, names.is_dns1123_subdomain(name))
    if not given:
        faults.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        faults.append(invalid(path, "", _MORE_THAN_ONE))
    return faults
