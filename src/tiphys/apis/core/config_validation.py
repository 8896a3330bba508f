"""Rules of ConfigMaps and Secrets: keys, sizes, what each type of secret needs, and immutability."""

from __future__ import annotations

import base64
import json

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, immutable, invalid, invalid_all, required, too_long
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.json_fault import explain
from tiphys.apis.defaulting import peek

MAX_BYTES = 1024 * 1024

_IMMUTABLE = "field is immutable when `immutable` is set"
_ACCOUNT = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_JSON_WORDS: dict[type, str] = {list: "array", str: "string", int: "number", float: "number", bool: "bool"}


def _size(data: Object, *, encoded: bool) -> int:
    """Return how many bytes the values have; their keys do not count."""
    values = [str(value) for value in data.values() if value]
    if encoded:
        return sum(len(value) * 3 // 4 - value.count("=", -2) for value in values)
    return len("".join(values).encode())


def validate_config_map(obj: Object) -> list[FieldError]:
    """Return every fault of a ConfigMap."""
    data, binary = peek(obj, "data"), peek(obj, "binaryData")
    faults: list[FieldError] = []
    for key in data:
        if texts := names.is_config_map_key(key):
            faults += invalid_all(f"data[{key}]", key, texts)
        if key in binary:
            faults.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        faults += invalid_all(f"binaryData[{key}]", key, names.is_config_map_key(key))
    if _size(data, encoded=False) + _size(binary, encoded=True) > MAX_BYTES:
        faults.append(too_long("", MAX_BYTES))
    return faults


def _frozen(new: Object, old: Object, *keys: str) -> list[FieldError]:
    """An object once declared immutable stays so, data and all."""
    if not old.get("immutable"):
        return []
    faults = [] if new.get("immutable") else [forbidden("immutable", _IMMUTABLE)]
    return faults + [forbidden(key, _IMMUTABLE) for key in keys if peek(new, key) != peek(old, key)]


def validate_config_map_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ConfigMap."""
    return _frozen(new, old, "data", "binaryData") + validate_config_map(new)


def validate_secret(obj: Object) -> list[FieldError]:
    """Return every fault of a Secret; its contents are never repeated in a text."""
    data = peek(obj, "data")
    faults: list[FieldError] = []
    for key in data:
        faults += invalid_all(f"data[{key}]", key, names.is_config_map_key(key))
    if _size(data, encoded=True) > MAX_BYTES:
        faults.append(too_long("data", MAX_BYTES))
    return faults + _by_type(obj, data)


def _by_type(obj: Object, data: Object) -> list[FieldError]:
    kind = obj.get("type") or ""
    if kind == "kubernetes.io/service-account-token":
        given = peek(obj, "metadata", "annotations").get(_ACCOUNT)
        return [] if given else [required(f"metadata.annotations[{_ACCOUNT}]")]
    if kind == "kubernetes.io/dockercfg":
        return _json_key(data, ".dockercfg")
    if kind == "kubernetes.io/dockerconfigjson":
        return _json_key(data, ".dockerconfigjson")
    if kind == "kubernetes.io/basic-auth":
        if "username" in data or "password" in data:
            return []
        return [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/ssh-auth":
        return [] if data.get("ssh-privatekey") else [required("data[ssh-privatekey]")]
    if kind == "kubernetes.io/tls":
        return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def _json_key(data: Object, key: str) -> list[FieldError]:
    path = f"data[{key}]"
    if key not in data:
        return [required(path)]
    fault = _json_fault(base64.b64decode(str(data[key] or "")))
    return [invalid(path, _REDACTED, fault)] if fault else []


def _json_fault(raw: bytes) -> str:
    """Why bytes are no JSON object, in the words of the API's parser."""
    fault = explain(raw)
    if fault:
        return fault
    word = _JSON_WORDS.get(type(json.loads(raw)))
    return f"json: cannot unmarshal {word} into Go value of type map[string]interface {{}}" if word else ""


def validate_secret_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Secret."""
    faults = immutable("type", new.get("type") or "", old.get("type") or "")
    return faults + _frozen(new, old, "data") + validate_secret(new)
