"""Builds ``Schema`` graphs: from OpenAPI definitions that refer to each other, or from a CRD's own schema.

One node stands for each named definition, however many fields refer to it. Well-known types that JSON
schema cannot say (quantities, times, raw JSON) are told apart by ``format`` or ``preserve_unknown``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from tiphys.apimachinery.schema.node import MISSING, Schema

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
FREE_FORM = frozenset(
    {
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        _META + "FieldsV1",
        _META + "Patch",
        _APIEXTENSIONS + "JSON",
        _APIEXTENSIONS + "JSONSchemaPropsOrArray",
        _APIEXTENSIONS + "JSONSchemaPropsOrBool",
        _APIEXTENSIONS + "JSONSchemaPropsOrStringArray",
    }
)
"""Definitions whose values are any JSON and are kept as they are."""

_EXTENSION = "x-kubernetes-"
_KNOWN = frozenset(
    {
        "$ref", "allOf", "type", "format", "description", "properties", "additionalProperties", "items",
        "required", "default", "enum", "nullable", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type", "x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key",
        "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
        "x-kubernetes-embedded-resource", "x-kubernetes-group-version-kind", "x-kubernetes-unions",
    }
)  # fmt: skip


_ZEROS: Final = {"string": "", "integer": 0, "number": 0, "boolean": False}


class SchemaBuilder:
    """Turns named definitions into nodes, each once; ``definition`` builds what it needs and no more.

    ``omitted`` tells which fields of a definition mean nothing when they are zero, ``shown`` which are there
    in any case without having to be given.
    """

    def __init__(
        self,
        definitions: Mapping[str, Mapping[str, Any]],
        omitted: Callable[[str], frozenset[str]] = lambda _name: frozenset(),
        shown: Callable[[str], dict[str, Any]] = lambda _name: {},
    ) -> None:
        self._definitions, self._omitted, self._shown = definitions, omitted, shown
        self._nodes: dict[str, Schema] = {}
        self._late: list[tuple[Schema, Schema, Mapping[str, Any]]] = []

    def definition(self, name: str) -> Schema:
        """Return the node of a definition and, through it, of all that it refers to.

        Raises:
            KeyError: no such definition.
        """
        node = self._named(name)
        # Copies of a node that was still being filled are completed once all is built.
        while self._late:
            copy, original, source = self._late.pop()
            _overlay(copy, original, source)
        return node

    def _named(self, name: str) -> Schema:
        node = self._nodes.get(name)
        if node is None:
            source = self._definitions[name]
            node = self._nodes[name] = Schema(name=name)
            if not _well_known(node):
                self._fill(node, source)
                node.omitted = self._omitted(name)
                written = [key for key in node.required if key not in node.omitted]
                node.shown = _zeros(written, source.get("properties") or {}) | self._shown(name)
        return node

    def _build(self, source: Mapping[str, Any]) -> Schema:
        reference = _reference(source) if self._definitions else None
        if reference is None:
            node = Schema()
            self._fill(node, source)
            return node
        shared = self._named(reference)
        if not any(key.startswith(_EXTENSION) or key in ("default", "nullable") for key in source):
            return shared
        copy = Schema()
        self._late.append((copy, shared, source))
        return copy

    def _fill(self, node: Schema, source: Mapping[str, Any]) -> None:
        _scalars(node, source)
        if not self._definitions and source.get("allOf"):  # here it holds demands, not a reference
            node.constraints["allOf"] = source["allOf"]
        for key, child in (source.get("properties") or {}).items():
            node.properties[key] = self._build(child)
        additional = source.get("additionalProperties")
        if isinstance(additional, Mapping):
            node.additional = self._build(additional)
        elif additional is True:
            node.additional = Schema(preserve_unknown=True) if self._definitions else Schema(any_value=True)
        items = source.get("items")
        if isinstance(items, Mapping):
            node.items = self._build(items)


def _zeros(required: Iterable[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain fields that have to be given, and what the type has in their place without."""
    kinds = ((key, properties.get(key) or {}) for key in required)
    return {
        key: _ZEROS[kind["type"]]
        for key, kind in kinds
        if kind.get("type") in _ZEROS and kind.get("format") not in ("byte", "date-time")
    }


def build_custom(source: Mapping[str, Any]) -> Schema:
    """Build the tree of a CRD's schema; its references, which are refused, lead nowhere."""
    return SchemaBuilder({})._build(source)


def _reference(source: Mapping[str, Any]) -> str | None:
    """Return the definition that a node stands for: ``$ref``, or OpenAPI v3's lone ``allOf`` around it."""
    ref = source.get("$ref")
    if ref is None:
        wrapped = source.get("allOf")
        if isinstance(wrapped, list) and len(wrapped) == 1 and "properties" not in source:
            ref = wrapped[0].get("$ref")
    return None if ref is None else str(ref).rpartition("/")[2]


def _well_known(node: Schema) -> bool:
    """Fill the nodes of types with a meaning beyond JSON schema."""
    if node.name == QUANTITY:
        node.type, node.format = "string", "quantity"
    elif node.name == INT_OR_STRING:
        node.int_or_string = True
    elif node.name == TIME:
        node.type, node.format = "string", "date-time"
    elif node.name == MICRO_TIME:
        node.type, node.format = "string", "micro-time"
    elif node.name in FREE_FORM:
        node.preserve_unknown = True
        # Apply and patches treat what they cannot look into as one value.
        node.map_type = "atomic"
        if node.name == "io.k8s.apimachinery.pkg.runtime.RawExtension":
            node.type = "object"
    else:
        return False
    return True


def _scalars(node: Schema, source: Mapping[str, Any]) -> None:
    kind = source.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), None)
    node.type = kind or ("object" if "properties" in source else None)
    node.format = source.get("format")
    node.description = source.get("description", "")
    node.required = tuple(source.get("required") or ())
    enum = source.get("enum")
    node.enum = tuple(enum) if enum is not None else None
    _extensions(node, source)
    node.constraints = {key: value for key, value in source.items() if key not in _KNOWN}


def _extensions(node: Schema, source: Mapping[str, Any]) -> None:
    if "default" in source:
        node.default = source["default"]
    node.nullable = bool(source.get("nullable", node.nullable))
    node.list_type = source.get("x-kubernetes-list-type", node.list_type)
    node.list_map_keys = tuple(source.get("x-kubernetes-list-map-keys", node.list_map_keys))
    node.map_type = source.get("x-kubernetes-map-type", node.map_type)
    strategy = source.get("x-kubernetes-patch-strategy")
    if strategy:
        node.patch_strategies = tuple(strategy.split(","))
    node.patch_merge_key = source.get("x-kubernetes-patch-merge-key", node.patch_merge_key)
    node.preserve_unknown = source.get("x-kubernetes-preserve-unknown-fields", node.preserve_unknown)
    node.int_or_string = source.get("x-kubernetes-int-or-string", node.int_or_string)
    node.embedded_resource = source.get("x-kubernetes-embedded-resource", node.embedded_resource)


def _overlay(copy: Schema, original: Schema, source: Mapping[str, Any]) -> None:
    """Make ``copy`` the shared node with what the referring field says of itself."""
    whole = replace(original)
    for slot in Schema.__slots__:
        setattr(copy, slot, getattr(whole, slot))
    _extensions(copy, source)


__all__ = ["FREE_FORM", "MISSING", "SchemaBuilder", "build_custom"]
