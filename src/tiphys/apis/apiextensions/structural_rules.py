"""What a definition's schema must be like to be structural, and so usable for pruning and defaulting. Pure.

Called by the validation of CustomResourceDefinitions; faults carry the API's own wording.

Source: apiextensions.k8s.io/v1, "Specifying a structural schema".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.regex import RegexError, compile_regex
from tiphys.apis.apiextensions.rule_faults import text_faults
from tiphys.apis.apiextensions.rules import KEY

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LEVELS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NOT_NESTED = {
    "type": "empty", "description": "empty", "title": "empty", "default": "undefined", "nullable": "false",
    "externalDocs": "undefined", "additionalProperties": "undefined",
    "x-kubernetes-preserve-unknown-fields": "false", "x-kubernetes-embedded-resource": "false",
    "x-kubernetes-int-or-string": "false", "x-kubernetes-list-type": "undefined",
    "x-kubernetes-list-map-keys": "empty", "x-kubernetes-map-type": "undefined", KEY: "empty",
}  # fmt: skip
"""What only the structure itself may say, not what stands under allOf, anyOf, oneOf and not."""

Faults = Iterator[FieldError]


def structural_faults(schema: Object, path: str) -> list[FieldError]:
    """Return every reason why a version's schema is not structural."""
    return list(_node(schema, path, "root"))


def _node(node: Any, path: str, level: str) -> Faults:
    if not isinstance(node, dict):
        return
    yield from _type(node, path, level)
    yield from _refused(node, path)
    yield from _list(node, path)
    yield from _map(node, path)
    if level == "root" or node.get("x-kubernetes-embedded-resource"):
        yield from _object_fields(node, f"{path}.properties")
    yield from text_faults(node, path)
    for junctor, inner, place in _nested(node, path):
        if not (junctor and _is_int_or_string(node, junctor)):
            yield from _value_validation(inner, node, place, path)
    if isinstance(node.get("items"), dict):
        yield from _node(node["items"], f"{path}.items", "item")
    for key, child in (node.get("properties") or {}).items():
        yield from _node(child, f"{path}.properties[{key}]", "field")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _node(node["additionalProperties"], f"{path}.additionalProperties", "field")


def _type(node: Object, path: str, level: str) -> Faults:
    kind, place = node.get("type") or "", f"{path}.type"
    embedded, free = (
        node.get("x-kubernetes-embedded-resource"),
        node.get("x-kubernetes-preserve-unknown-fields"),
    )
    if kind == "null":
        yield forbidden(place, "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in _TYPES:
        yield not_supported(place, kind, _TYPES)
    if level == "root" and kind and kind != "object":
        yield invalid(place, kind, "must be object at the root")
    elif embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(place, kind, text) if kind else required(place, text)
    elif not kind and (level == "root" or not (node.get("x-kubernetes-int-or-string") or free)):
        yield required(place, _LEVELS[level])
    if level == "root" and node.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if embedded and node.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        yield forbidden(f"{path}.additionalProperties", text)
    yield from _int_or_string(node, path)
    if embedded and not free and not node.get("properties") and node.get("additionalProperties") is None:
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", text)
    if kind == "array" and node.get("items") is None:
        yield required(f"{path}.items", "must be specified")


def _int_or_string(node: Object, path: str) -> Faults:
    if node.get("x-kubernetes-int-or-string"):
        for key in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if node.get(key):
                text = "must be false if x-kubernetes-int-or-string is true"
                yield invalid(f"{path}.{key}", True, text)


def _refused(node: Object, path: str) -> Faults:
    for key in _UNSUPPORTED:
        if node.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if node.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", text)
    additional = node.get("additionalProperties")
    if additional is False:
        text = "additionalProperties cannot be set to false"
        yield forbidden(f"{path}.additionalProperties", text)
    elif additional is not None and node.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", text)
    if isinstance(node.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    if node.get("pattern"):
        try:
            compile_regex(node["pattern"])
        except RegexError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", node["pattern"], text)


def _list(node: Object, path: str) -> Faults:
    kind, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys") or []
    place = f"{path}.x-kubernetes-list-type"
    if kind is None:
        if keys:
            yield required(place, "must be map if x-kubernetes-list-map-keys is non-empty")
        return
    if node.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        yield (
            invalid(f"{path}.type", node["type"], text)
            if node.get("type")
            else required(f"{path}.type", text)
        )
    if kind not in ("atomic", "set", "map"):
        yield not_supported(place, kind, ("atomic", "map", "set"))
    if keys and kind != "map":
        yield invalid(place, kind, "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind in ("set", "map") and not isinstance(node.get("items"), dict):
        yield required(f"{path}.items", f"must have a schema if x-kubernetes-list-type is {kind}")
    elif kind == "map":
        yield from _map_keys(node["items"], keys, path)


def _map_keys(items: Object, keys: list[str], path: str) -> Faults:
    place = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(place, "must not be empty if x-kubernetes-list-type is map")
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key in keys[:index]:
            yield duplicate(f"{place}[{index}]", key)
        elif key not in properties:
            yield invalid(f"{place}[{index}]", key, "entries must all be names of item properties")
        elif properties[key].get("type") in ("object", "array"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", properties[key]["type"], text)
        elif key not in (items.get("required") or ()) and "default" not in properties[key]:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required "
                "property"
            )
            yield required(f"{path}.items.properties[{key}].default", text)


def _map(node: Object, path: str) -> Faults:
    kind = node.get("x-kubernetes-map-type")
    if kind is None:
        return
    if node.get("type") != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        yield (
            invalid(f"{path}.type", node["type"], text)
            if node.get("type")
            else required(f"{path}.type", text)
        )
    if kind not in ("granular", "atomic"):
        yield not_supported(f"{path}.x-kubernetes-map-type", kind, ("atomic", "granular"))


def _object_fields(node: Object, path: str) -> Faults:
    """What a schema may say of the fields that every object has."""
    properties = node.get("properties") or {}
    for key, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        found = (properties.get(key) or {}).get("type")
        if key in properties and found != kind:
            yield invalid(f"{path}[{key}].type", found or "", f"must be {kind}")
    meta = properties.get("metadata") or {}
    if set(meta) - {"type", "properties", "description"} or set(meta.get("properties") or ()) - {
        "name",
        "generateName",
    }:
        text = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield forbidden(f"{path}[metadata]", text)


def _nested(node: Object, path: str) -> Iterator[tuple[str, Object, str]]:
    for junctor in _JUNCTORS:
        for index, inner in enumerate(node.get(junctor) or ()):
            yield junctor, inner, f"{path}.{junctor}[{index}]"
    if isinstance(node.get("not"), dict):
        yield "", node["not"], f"{path}.not"


def _is_int_or_string(node: Object, junctor: str) -> bool:
    """The one pattern in which types may stand below a junctor."""
    if not node.get("x-kubernetes-int-or-string"):
        return False
    found = node.get(junctor) or []
    if junctor == "allOf":
        found = found[0].get("anyOf") if found else []
    return junctor in ("anyOf", "allOf") and found == _INT_OR_STRING


def _value_validation(node: Object, outer: Object, path: str, outer_path: str) -> Faults:
    """Below a junctor only values are validated; the structure is said outside."""
    for key, wanted in _NOT_NESTED.items():
        if node.get(key) or (wanted == "undefined" and node.get(key) is not None):
            yield forbidden(f"{path}.{key}", f"must be {wanted} to be structural")
    if "metadata" in (node.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
    for key, child in (node.get("properties") or {}).items():
        inner = (outer.get("properties") or {}).get(key)
        place = f"{outer_path}.properties[{key}]"
        if inner is None and not outer.get("x-kubernetes-preserve-unknown-fields"):
            yield required(place, f"because it is defined in {path}.properties[{key}]")
        elif isinstance(inner, dict):
            yield from _value_validation(child, inner, f"{path}.properties[{key}]", place)
    if isinstance(node.get("items"), dict):
        if not isinstance(outer.get("items"), dict):
            yield required(f"{outer_path}.items", f"because it is defined in {path}.items")
        else:
            yield from _value_validation(
                node["items"], outer["items"], f"{path}.items", f"{outer_path}.items"
            )
    for _, inner, place in _nested(node, path):
        yield from _value_validation(inner, outer, place, outer_path)
