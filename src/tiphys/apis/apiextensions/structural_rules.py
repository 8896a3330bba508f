"""What a definition's schema must be like to be structural, and so usable for pruning and defaulting. Pure.

Values may be restricted anywhere, but the structure is said once, outside of ``allOf``, ``anyOf``, ``oneOf``
and ``not``. Called by the validation of CustomResourceDefinitions; faults carry the API's own wording.

Source: apiextensions.k8s.io/v1, "Specifying a structural schema".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, required
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.regex import RegexError, compile_regex
from tiphys.apis.apiextensions.rules import KEY
from tiphys.apis.apiextensions.schema_rules import is_readable

_LEVELS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_JUNCTORS = ("anyOf", "allOf", "oneOf")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NOT_NESTED = {
    "type": "empty", "additionalProperties": "undefined", "default": "undefined", "title": "empty",
    "description": "empty", "nullable": "false", "externalDocs": "undefined",
    "x-kubernetes-preserve-unknown-fields": "false", "x-kubernetes-embedded-resource": "false",
    "x-kubernetes-int-or-string": "false", "x-kubernetes-list-map-keys": "empty",
    "x-kubernetes-list-type": "undefined", "x-kubernetes-map-type": "undefined", KEY: "empty",
}  # fmt: skip
"""What only the structure itself may say, not what stands under a junctor."""
_OWN_NAMES = frozenset({"name", "generateName"})

Faults = Iterator[FieldError]


def is_structural(schema: Object) -> bool:
    """Tell whether a schema can be looked at as a structure, and is one."""
    return is_readable(schema) and not structural_faults(schema, "")


def structural_faults(schema: Object, path: str) -> list[FieldError]:
    """Return every reason why a version's schema is not structural, in the order of their texts."""
    return sorted([*_node(schema, path, "root"), *_unsaid(schema, schema, path, path)], key=str)


def _node(node: Object, path: str, level: str) -> Faults:
    yield from _type(node, path, level)
    yield from _extensions(node, path)
    yield from _values(node, path, int_or_string=True)
    properties = node.get("properties") or {}
    if level == "root" or node.get("x-kubernetes-embedded-resource"):
        for key, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
            if key in properties and properties[key].get("type") != kind:
                shown = properties[key].get("type") or ""
                yield invalid(f"{path}.properties[{key}].type", shown, f"must be {kind}")
    if level == "root" and "metadata" in properties and not _is_own_metadata(properties["metadata"]):
        text = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield forbidden(f"{path}.properties[metadata]", text)
    if isinstance(node.get("items"), dict):
        yield from _node(node["items"], f"{path}.items", "item")
    for key, child in properties.items():
        yield from _node(child, f"{path}.properties[{key}]", "field")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _node(node["additionalProperties"], f"{path}.additionalProperties", "field")


def _type(node: Object, path: str, level: str) -> Faults:
    kind, place = node.get("type") or "", f"{path}.type"
    embedded = node.get("x-kubernetes-embedded-resource")
    if kind == "array" and node.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(place, kind, text) if kind else required(place, text)
    elif not kind and not (
        node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    ):
        yield required(place, _LEVELS[level])
    if level == "root" and kind and kind != "object":
        yield invalid(place, kind, "must be object at the root")
    if node.get("additionalProperties") is not None:
        if level == "root":
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if embedded:
            text = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden(f"{path}.additionalProperties", text)


def _extensions(node: Object, path: str) -> Faults:
    free, embedded = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
    if node.get("x-kubernetes-int-or-string"):
        for key in (free, embedded):
            if node.get(key):
                text = "must be false if x-kubernetes-int-or-string is true"
                yield invalid(f"{path}.{key}", True, text)
    if node.get(embedded) and not node.get(free) and not node.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", text)


def _is_own_metadata(metadata: Object) -> bool:
    """A default is another rule's matter."""
    said = {key for key, value in metadata.items() if _says(key, value)}
    return said <= {"type", "default", "properties"} and metadata.get("properties", {}).keys() <= _OWN_NAMES


def _says(key: str, value: Any) -> bool:
    """A limit of zero says something, and so do no other fields."""
    if type(value) is bool:
        return value or key == "additionalProperties"
    return value is not None and value not in ("", {}, [])


def _values(node: Object, path: str, *, int_or_string: bool = False) -> Faults:
    """Look at the junctors of a node.

    In ``anyOf``, and in that of the first ``allOf``, both types of an int-or-string may be named.
    """
    for junctor, index, inner in _junctions(node):
        if junctor == "anyOf" and int_or_string and node["anyOf"] == _INT_OR_STRING:
            continue
        first = int_or_string and junctor == "allOf" and index == "[0]"
        yield from _nested(inner, f"{path}.{junctor}{index}", int_or_string=first)
    if node.get("pattern"):
        try:
            compile_regex(node["pattern"])
        except RegexError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", node["pattern"], text)


def _junctions(node: Object) -> Iterator[tuple[str, str, Object]]:
    """Yield each schema under a junctor, with the junctor and its index."""
    for junctor in _JUNCTORS:
        for index, inner in enumerate(node.get(junctor) or ()):
            yield junctor, f"[{index}]", inner
    if isinstance(node.get("not"), dict):
        yield "not", "", node["not"]


def _nested(node: Object, path: str, *, int_or_string: bool = False) -> Faults:
    """Below a junctor only values are restricted."""
    kept = node
    if int_or_string:
        kept = {key: value for key, value in node.items() if key != "anyOf" or value != _INT_OR_STRING}
    yield from _values(kept, path)
    if isinstance(node.get("items"), dict):
        yield from _nested(node["items"], f"{path}.items")
    properties = node.get("properties") or {}
    for key, child in properties.items():
        yield from _nested(child, f"{path}.properties[{key}]")
    for key, wanted in _NOT_NESTED.items():
        given = node.get(key)
        if given or (wanted == "undefined" and given is not None and given is not False):
            yield forbidden(f"{path}.{key}", f"must be {wanted} to be structural")
    if "metadata" in properties:
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _unsaid(node: Object, outer: Any, path: str, outer_path: str) -> Faults:
    """What the junctors of the root speak of must be said outside of them as well."""
    for junctor, index, inner in _junctions(node):
        yield from _unsaid_below(inner, outer, f"{path}.{junctor}{index}", outer_path)


def _unsaid_below(node: Object, outer: Any, path: str, outer_path: str) -> Faults:
    if not isinstance(outer, dict):
        yield required(outer_path, f"because it is defined in {path}")
        return
    yield from _unsaid(node, outer, path, outer_path)
    if isinstance(node.get("items"), dict):
        yield from _unsaid_below(node["items"], outer.get("items"), f"{path}.items", f"{outer_path}.items")
    said = outer.get("properties") or {}
    for key, child in (node.get("properties") or {}).items():
        place = f".properties[{key}]"
        yield from _unsaid_below(child, said.get(key), f"{path}{place}", f"{outer_path}{place}")
