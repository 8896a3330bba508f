"""Pods from templates, and the hash that tells templates apart. Pure."""

from __future__ import annotations

import json
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object, copy_object, owner_reference
from tiphys.apimachinery.schema import semantic

TEMPLATE_HASH = "pod-template-hash"
_TYPE = "io.k8s.api.core.v1.PodTemplateSpec"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619


def pod_from_template(template: Object, owner: Object, *, prefix: str = "") -> Object:
    """Build the pod that a controller creates; its name is generated unless the caller sets one."""
    source = template.get("metadata") or {}
    metadata: Object = {
        "namespace": owner["metadata"]["namespace"],
        "generateName": _prefix(prefix or owner["metadata"]["name"]),
        "labels": dict(source.get("labels") or {}),
        "annotations": dict(source.get("annotations") or {}),
        "finalizers": list(source.get("finalizers") or ()),
        "ownerReferences": [owner_reference(owner)],
    }
    for name in ("annotations", "finalizers"):
        if not metadata[name]:
            del metadata[name]
    spec = copy_object(template.get("spec") or {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _prefix(name: str) -> str:
    # Too long a prefix is cut by name generation; upstream then leaves the dash away.
    prefix = f"{name}-"
    return prefix if len(prefix) <= 253 else name


def template_hash(template: Object, collisions: int = 0) -> str:
    """Return a short name-safe hash, the same for equal templates on every machine and version."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    value = _FNV_OFFSET
    for byte in f"{text}{collisions or ''}".encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return safe_encode(str(value))


def safe_encode(text: str) -> str:
    """Map each character to one that cannot help to spell a word."""
    return "".join(_SAFE[ord(char) % len(_SAFE)] for char in text)


def without_hash(template: Object) -> Object:
    """Return the template as the user wrote it: without the hash label."""
    copy: Object = copy_object(template)
    metadata = copy.get("metadata") or {}
    labels = metadata.get("labels") or {}
    labels.pop(TEMPLATE_HASH, None)
    # Absent and empty metadata mean the same; compare them alike.
    metadata.pop("creationTimestamp", None)
    copy["metadata"] = {key: value for key, value in metadata.items() if value}
    return copy


def same_template(one: Object, other: Object) -> bool:
    """Tell whether two templates ``without_hash`` mean the same, however their amounts are written."""
    if one == other:
        return True
    if not _may_mean_the_same(one, other):
        return False
    from tiphys.apis import schemas  # seldom needed, and large

    respelled = semantic.respelled(one, other, schemas.definition(_TYPE))
    return bool(respelled == other)


def _may_mean_the_same(one: Any, other: Any) -> bool:
    """Tell whether two values differ in texts alone that are as much, should they be amounts."""
    if isinstance(one, dict) and isinstance(other, dict):
        same_keys = one.keys() == other.keys()
        return same_keys and all(_may_mean_the_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_may_mean_the_same, one, other))
    if one == other or not (isinstance(one, str) and isinstance(other, str)):
        return bool(one == other)
    try:
        return quantity.parse(one).amount == quantity.parse(other).amount
    except quantity.QuantityError:
        return False
