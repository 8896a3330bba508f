"""The definitions part of the OpenAPI documents: built-in kinds and CRDs, worded for v2 and for v3.

Source definitions refer to each other as ``#/$defs/<name>``; v2 and v3 differ in the prefix, in what may
stand beside a reference, and in how they say "number or text".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.schema.build import INT_OR_STRING, QUANTITY
from tiphys.apis import schemas
from tiphys.apis.openapi_operations import META, definition_name
from tiphys.apis.table import ResourceTable

Definition = dict[str, Any]
CustomSchemas = Callable[[GVK], Mapping[str, Any] | None]
"""Gives the ``openAPIV3Schema`` of a custom kind, None where it has none."""

V2_PREFIX = "#/definitions/"
V3_PREFIX = "#/components/schemas/"
_DEFS = "#/$defs/"
_ANY_KIND = "io.k8s.api.core.v1.ConfigMap"
"""Says of apiVersion and kind what is said of them everywhere."""
_V2_WELL_KNOWN: dict[str, Definition] = {
    QUANTITY: {"type": "string"},
    INT_OR_STRING: {"type": "string", "format": "int-or-string"},
}
_V3_WELL_KNOWN: dict[str, Definition] = {
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_GVK = "x-kubernetes-group-version-kind"
_V2_REFUSES = ("oneOf", "anyOf", "allOf", "not", "nullable")


def no_custom_schemas(_gvk: GVK) -> None:
    """Know no custom kinds."""


def source_definitions(table: ResourceTable, custom: CustomSchemas) -> dict[str, Definition]:
    """Return all definitions, those of the table's custom kinds included."""
    definitions = schemas.full_definitions()
    for name, definition in definitions.items():
        # The package narrows apiVersion and kind to one value; the published schema does not.
        if _GVK in definition:
            for field in ("apiVersion", "kind"):
                definition.get("properties", {}).get(field, {}).pop("enum", None)
        if name in _V2_WELL_KNOWN:
            definition.pop("oneOf", None)
    known = definitions[_ANY_KIND]["properties"]
    common = {key: known[key].get("description", "") for key in ("apiVersion", "kind")}
    for row in table:
        if row.custom:
            definitions |= _custom_definitions(row.gvk, custom(row.gvk), common)
    return definitions


def _custom_definitions(
    gvk: GVK, schema: Mapping[str, Any] | None, common: Mapping[str, str]
) -> dict[str, Definition]:
    name = definition_name(gvk)
    kind = {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
    head: Definition = {key: {"type": "string", "description": text} for key, text in common.items()}
    own: Definition = dict(schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    own = _with_embedded(own, head)
    properties = {
        **own.get("properties", {}),
        **head,
        "metadata": {"$ref": f"{_DEFS}{META}ObjectMeta", "description": "Standard object's metadata."},
    }
    items = {"type": "array", "description": f"List of {gvk.kind}.", "items": {"$ref": _DEFS + name}}
    listing = {
        "description": f"{gvk.kind}List is a list of {gvk.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**head, "items": items, "metadata": {"$ref": f"{_DEFS}{META}ListMeta"}},
        _GVK: [{**kind, "kind": f"{gvk.kind}List"}],
    }
    return {
        name: {**own, "properties": properties, _GVK: [kind]},
        f"{name}List": listing,
    }


def _with_embedded(node: Definition, head: Definition) -> Definition:
    """Return a custom schema in which embedded resources have what every object has."""
    made = dict(node)
    if isinstance(node.get("properties"), dict):
        made["properties"] = {key: _with_embedded(one, head) for key, one in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = _with_embedded(node[key], head)
    if node.get("x-kubernetes-embedded-resource"):
        meta = {"$ref": f"{_DEFS}{META}ObjectMeta", "description": "Standard object's metadata."}
        made["properties"] = {**made.get("properties", {}), **head, "metadata": meta}
        made["required"] = sorted({*made.get("required", ()), "apiVersion", "kind"})
    return made


def closure(definitions: Mapping[str, Definition], names: Iterable[str]) -> list[str]:
    """Return the names, and all that they refer to directly or not, sorted."""
    found: set[str] = set()
    pending = [name for name in names if name in definitions]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(_references(definitions[name]))
    return sorted(found)


def _references(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_DEFS)
            elif isinstance(value, (dict, list)):
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def render_v2(name: str, definition: Definition) -> Definition:
    if _GVK in definition and definition.get("x-kubernetes-preserve-unknown-fields"):
        # Clients of v2 read listed properties as the only ones: a kind that keeps anything lists none.
        return {"type": "object", _GVK: definition[_GVK]}
    return _render(definition, v3=False) | _V2_WELL_KNOWN.get(name, {})


def render_v3(name: str, definition: Definition) -> Definition:
    return _render(definition, v3=True) | _V3_WELL_KNOWN.get(name, {})


def _render(node: Definition, *, v3: bool) -> Definition:
    out: Definition = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, list):
            out[key] = next(item for item in value if item != "null")
        elif key == "properties":
            out[key] = {name: _render(child, v3=v3) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "not") and isinstance(value, dict):
            out[key] = _render(value, v3=v3)
        elif key in ("oneOf", "anyOf", "allOf"):
            out[key] = [_render(child, v3=v3) for child in value]
        elif key == "$ref":
            out[key] = (V3_PREFIX if v3 else V2_PREFIX) + value.removeprefix(_DEFS)
        else:
            out[key] = value
    if not v3:
        return _only_v2(out, _nullable_of(node))
    if "$ref" in out and len(out) > 1:
        return {"allOf": [{"$ref": out.pop("$ref")}], **out}
    return out


def _nullable_of(node: Definition) -> set[str]:
    return {name for name, child in node.get("properties", {}).items() if child.get("nullable")}


def _only_v2(node: Definition, nullable: set[str]) -> Definition:
    """Leave out what v2 cannot say; a node that it cannot say at all takes anything.

    So may a required field that is null: it is not required here, lest kubectl refuse what the server takes.
    """
    absent: set[str] = set()
    if node.get("nullable") or node.get("x-kubernetes-int-or-string"):
        absent |= {"type", "items", "properties"}
    if node.get("x-kubernetes-preserve-unknown-fields"):
        absent |= {"items", "properties"} | ({"type"} if node.get("type") == "object" else set())
    if node.get("type") == "array" and ("items" not in node or "items" in absent):
        absent.add("type")
    node = {key: value for key, value in node.items() if key not in absent}
    if nullable and "required" in node:
        required = [name for name in node.pop("required") if name not in nullable]
        node |= {"required": required} if required else {}
    return {key: value for key, value in node.items() if key not in _V2_REFUSES}
