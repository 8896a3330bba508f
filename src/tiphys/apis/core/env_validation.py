"""Rules of environment variables and of the downward API."""

from __future__ import annotations

import re

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, not_found, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.containers import each_container
from tiphys.apis.defaulting import each, peek
from tiphys.apis.meta_validation import mask_trailing_dash

_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KNOWN_FIELDS = frozenset(
    {
        *_ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
        "status.phase",
    }
)  # fmt: skip
VOLUME_FIELDS = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
)  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_RENAMED = {"spec.host": "spec.nodeName"}
_SUBSCRIPT = re.compile(r"^([^\[]*)\['(.*)'\]$", re.DOTALL)
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1 are supported with the cpu resource"),
    "memory": (_BYTES, f"{', '.join(_BYTES)} are supported with the memory resource"),
    "ephemeral-storage": (
        _BYTES, f"{', '.join(_BYTES)} are supported with the local ephemeral storage resource"
    ),
    "hugepages-": (_BYTES, f"{', '.join(_BYTES)} are supported with the hugepages resource"),
}  # fmt: skip
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
        faults += _whole_source(source, f"{path}.envFrom[{index}]", f"{path}.envFrom")
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
    version, field = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version:
        return [required(f"{path}.apiVersion")]
    if not field:
        return [required(f"{path}.fieldPath")]
    subscript = _SUBSCRIPT.match(field)
    fault = _conversion_fault(version, field, subscript)
    if fault:
        return [invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {fault}")]
    if subscript:
        key = subscript[2].lower() if subscript[1].endswith("annotations") else subscript[2]
        return invalid_all(path, key, names.is_qualified_name(key))
    field = _RENAMED.get(field, field)
    return [] if field in allowed else [not_supported(f"{path}.fieldPath", field, allowed)]


def _conversion_fault(version: str, field: str, subscript: re.Match[str] | None) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscript:
        known = subscript[1] in ("metadata.annotations", "metadata.labels")
        return "" if known else f"field label does not support subscript: {field}"
    return "" if field in _KNOWN_FIELDS or field in _RENAMED else f"field label not supported: {field}"


def resource_field(reference: Object, path: str, *, volume: bool = False) -> list[FieldError]:
    """Return every fault of a reference to a container's own requests or limits."""
    return _resource(reference, path, volume=volume) + _divisor(reference, f"{path}.divisor")


def _divisor(reference: Object, path: str) -> list[FieldError]:
    resource, divisor = reference.get("resource") or "", str(reference.get("divisor") or "0")
    what = resource.partition(".")[2]
    known = _DIVISORS.get("hugepages-" if what.startswith("hugepages-") else what)
    if known is None or divisor in known[0] or divisor == "0":
        return []
    return [invalid(path, resource, f"only divisor's values {known[1]}")]


def _resource(reference: Object, path: str, *, volume: bool) -> list[FieldError]:
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
    checks = (
        ("key", names.is_relaxed_env_var_name),
        ("volumeName", names.is_dns1123_label),
        ("path", lambda value: ["must not contain '..'"] if ".." in value.split("/") else []),
    )
    faults: list[FieldError] = []
    for key, check in checks:
        value, at = str(reference.get(key) or ""), f"{path}.{key}"
        faults += invalid_all(at, value, check(value)) if value else [required(at)]
    return faults


def validate_file_volumes(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of the volumes that variables are read from: each is an ``emptyDir``."""
    volumes = {str(volume.get("name") or ""): volume for volume in each(spec, "volumes")}
    faults: list[FieldError] = []
    for where, container in each_container(spec, path):
        for place, env in enumerate(each(container, "env")):
            reference = peek(env, "valueFrom").get("fileKeyRef")
            if isinstance(reference, dict):
                at = f"{where}.env[{place}].valueFrom.fileKeyRef.volumeName"
                faults += _empty_dir(str(reference.get("volumeName") or ""), volumes, at)
    return faults


def _empty_dir(name: str, volumes: dict[str, Object], path: str) -> list[FieldError]:
    if name not in volumes:
        return [not_found(path, name)]
    if volumes[name].get("emptyDir") is None:
        return [invalid(path, name, "referenced volume must be of type emptyDir")]
    return []


def _whole_source(source: Object, path: str, whole: str) -> list[FieldError]:
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
            texts = names.is_dns1123_subdomain(mask_trailing_dash(name))
            faults += invalid_all(f"{path}.{key}.name", name, texts)
    if not given:
        faults.append(invalid(whole, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        faults.append(invalid(whole, "", _MORE_THAN_ONE))
    return faults
