"""A version of a definition in the shape that upstream's server has it in inside, which faults show.

Source: the internal types of k8s.io/apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from tiphys.apimachinery.field_errors import Struct
from tiphys.apimachinery.meta import Object
from tiphys.apis.inside import inside, inside_all

_PLAIN: dict[type | None, Any] = {str: "", bool: False, None: None}
_SCHEMA: tuple[tuple[str, str, type | None], ...] = (
    ("ID", "id", str), ("Schema", "$schema", str), ("Ref", "$ref", None), ("Description", "description", str),
    ("Type", "type", str), ("Nullable", "nullable", bool), ("Format", "format", str), ("Title", "title", str),
    ("Default", "default", None), ("Maximum", "maximum", None),
    ("ExclusiveMaximum", "exclusiveMaximum", bool), ("Minimum", "minimum", None),
    ("ExclusiveMinimum", "exclusiveMinimum", bool),
    ("MaxLength", "maxLength", None), ("MinLength", "minLength", None), ("Pattern", "pattern", str),
    ("MaxItems", "maxItems", None), ("MinItems", "minItems", None), ("UniqueItems", "uniqueItems", bool),
    ("MultipleOf", "multipleOf", None), ("Enum", "enum", None), ("MaxProperties", "maxProperties", None),
    ("MinProperties", "minProperties", None), ("Required", "required", None), ("Items", "items", None),
    ("AllOf", "allOf", None), ("OneOf", "oneOf", None), ("AnyOf", "anyOf", None), ("Not", "not", None),
    ("Properties", "properties", None), ("AdditionalProperties", "additionalProperties", None),
    ("PatternProperties", "patternProperties", None), ("Dependencies", "dependencies", None),
    ("AdditionalItems", "additionalItems", None), ("Definitions", "definitions", None),
    ("ExternalDocs", "externalDocs", None), ("Example", "example", None),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", None),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", bool),
    ("XIntOrString", "x-kubernetes-int-or-string", bool),
    ("XListMapKeys", "x-kubernetes-list-map-keys", None), ("XListType", "x-kubernetes-list-type", None),
    ("XMapType", "x-kubernetes-map-type", None), ("XValidations", "x-kubernetes-validations", None),
)  # fmt: skip


def shown_version(version: Object, shared: Collection[str]) -> Struct:
    """Return a version; what all versions share is not its own."""
    own = {key: value for key, value in version.items() if key not in shared}
    schema, subresources = own.get("schema"), own.get("subresources")
    return Struct(
        Name=version.get("name") or "",
        Served=bool(version.get("served")),
        Storage=bool(version.get("storage")),
        Deprecated=bool(version.get("deprecated")),
        DeprecationWarning=version.get("deprecationWarning"),
        Schema=None if schema is None else Struct(OpenAPIV3Schema=_optional(schema.get("openAPIV3Schema"))),
        Subresources=None if subresources is None else _subresources(subresources),
        AdditionalPrinterColumns=inside_all("CustomResourceColumn", own.get("additionalPrinterColumns")),
        SelectableFields=inside_all("SelectableField", own.get("selectableFields")),
    )


def _subresources(parts: Object) -> Struct:
    scale = parts.get("scale")
    shown = None if scale is None else inside("CustomResourceSubresourceScale", scale)
    return Struct(Status=parts.get("status"), Scale=shown)


def said(node: Object) -> Iterator[tuple[str, Any]]:
    """Yield what a schema says itself, by the name that it is shown under."""
    for name, key, kind in _SCHEMA:
        value = node.get(key)
        if value is not None and not (kind in (str, bool) and not value):
            yield name, value


def shown_schema(node: Object) -> Struct:
    """Return a schema; what is not said is there, empty."""
    return Struct(
        {name: _value(key, node.get(key) or _PLAIN[kind], node.get(key)) for name, key, kind in _SCHEMA}
    )


def _value(key: str, filled: Any, given: Any) -> Any:
    return filled if given is None or key not in _PARTS else _PARTS[key](given)


def _optional(node: Any) -> Struct | None:
    return shown_schema(node) if isinstance(node, dict) else None


def shown_items(node: Any) -> Struct:
    """Return what items are like: a schema, or many."""
    many = [shown_schema(one) for one in node] if isinstance(node, list) else None
    return Struct(Schema=_optional(node), JSONSchemas=many)


def _allowed(node: Any) -> Struct:
    """A schema, or whether there may be any."""
    return Struct(Allows=bool(node) or isinstance(node, dict), Schema=_optional(node))


def _many(nodes: Any) -> list[Struct]:
    return [shown_schema(node) for node in nodes]


def _named(nodes: Any) -> dict[str, Struct]:
    return {name: shown_schema(nodes[name]) for name in sorted(nodes)}


_PARTS: dict[str, Callable[[Any], Any]] = {
    "items": shown_items,
    "allOf": _many,
    "oneOf": _many,
    "anyOf": _many,
    "not": shown_schema,
    "properties": _named,
    "patternProperties": _named,
    "definitions": _named,
    "additionalProperties": _allowed,
    "additionalItems": _allowed,
    "externalDocs": lambda docs: inside("ExternalDocumentation", docs),
    "x-kubernetes-validations": lambda rules: inside_all("ValidationRule", rules),
}
"""Of a schema, what is not as it is on the wire."""
