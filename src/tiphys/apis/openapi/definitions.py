"""The definitions part of the OpenAPI documents: built-in kinds and CRDs, worded for v2 and for v3.

Source definitions refer to each other as ``#/$defs/<name>``; v2 and v3 differ in the prefix, in what may
stand beside a reference, and in how they say "number or text".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.build import INT_OR_STRING, QUANTITY
from tiphys.apis import schemas
from tiphys.apis.openapi import enums, values
from tiphys.apis.openapi.operations import definition_name, list_kind

Definition = dict[str, Any]
CustomSchemas = Callable[[GVK], Mapping[str, Any] | None]
"""Gives the ``openAPIV3Schema`` of a custom kind, None where it has none."""

V2_PREFIX = "#/definitions/"
V3_PREFIX = "#/components/schemas/"
_DEFS = "#/$defs/"
_ANY_KIND = "io.k8s.api.core.v1.ConfigMap"
_ANY_LIST = "io.k8s.api.core.v1.PodList"
"""Say of apiVersion, kind, metadata and items what is said of them everywhere."""
_CONVENTIONS = (
    "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#"
)
_EMBEDDED = {
    "apiVersion": "apiVersion defines the versioned schema of this representation of an object. "
    f"{_CONVENTIONS}resources",
    "kind": "kind is a string value representing the type of this object. In CamelCase. "
    f"{_CONVENTIONS}types-kinds",
}
"""What is said of the type of an embedded object, which is shorter than elsewhere."""
_V2_WELL_KNOWN: dict[str, Definition] = {
    QUANTITY: {"type": "string"},
    INT_OR_STRING: {"type": "string", "format": "int-or-string"},
}
_V3_WELL_KNOWN: dict[str, Definition] = {
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_GVK = "x-kubernetes-group-version-kind"
_SELECTABLE = "x-kubernetes-selectable-fields"
_V2_REFUSES = frozenset(("oneOf", "anyOf", "allOf", "not", "nullable"))
_PLAIN = frozenset(
    "type description format default enum minimum maximum minLength maxLength pattern".split()  # noqa: SIM905
)
_PLAIN_V2 = _PLAIN - {"default"}
_SIMPLE = ("string", "integer", "boolean", "number")


def no_custom_schemas(_gvk: GVK) -> None:
    """Know no custom kinds."""


class BuiltIn(Mapping[str, Definition]):
    """The definitions of built-in kinds, each decoded when it is asked for: a tree of one's own.

    All of them as trees weigh ten times what their bytes do, and most documents need a few.
    """

    def __init__(self, *, with_values: bool) -> None:
        definitions = schemas.full_definitions()
        if with_values:
            enums.tell(definitions)
        for name, definition in definitions.items():
            # The package narrows apiVersion and kind to one value; the published schema does not.
            if _GVK in definition:
                for field in ("apiVersion", "kind"):
                    definition.get("properties", {}).get(field, {}).pop("enum", None)
            if name in _V2_WELL_KNOWN:
                definition.pop("oneOf", None)
            for node in definition.get("properties", {}).values():
                node.pop("default", None)
        self._texts = {name: orjson.dumps(definition) for name, definition in definitions.items()}

    def __getitem__(self, name: str) -> Definition:
        found: Definition = orjson.loads(self._texts[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


class WithDefaults(Mapping[str, Definition]):
    """The same definitions with what absent fields are worth, which v3 alone tells."""

    def __init__(self, definitions: BuiltIn) -> None:
        self._definitions = definitions

    def __getitem__(self, name: str) -> Definition:
        found = self._definitions[name]
        for field, value in schemas.DEFAULTS.get(name, {}).items():
            found["properties"][field]["default"] = value
        values.tell(name, found)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __iter__(self) -> Iterator[str]:
        return iter(self._definitions)

    def __len__(self) -> int:
        return len(self._definitions)


def built_in() -> BuiltIn:
    """Return the definitions of built-in kinds as this server's gates have them, read once."""
    return _built_in(with_values=on("OpenAPIEnums"))


def built_in_v3() -> WithDefaults:
    """Return them as v3 has them."""
    return WithDefaults(built_in())


@cache
def _built_in(*, with_values: bool) -> BuiltIn:
    return BuiltIn(with_values=with_values)


def custom_definitions(row: Resource, schema: Mapping[str, Any] | None, *, v3: bool) -> dict[str, Definition]:
    """Return what a custom kind adds: itself and its list."""
    gvk = row.gvk
    name, listing = definition_name(gvk), definition_name(gvk._replace(kind=list_kind(row)))
    kind = {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
    own: Definition
    keeps = getattr(row.definition, "keeps_unknown", False)
    if schema and (v3 or not keeps):
        own = _published(schema, v3=v3)
        own["properties"] = own.get("properties", {}) | _head() | _metadata()
    else:
        own = {"type": "object"}  # properties would be read as the only ones
    own[_GVK] = [kind]
    if row.selectable_fields:
        own[_SELECTABLE] = [{"fieldPath": path} for path in row.selectable_fields]
    metadata, described = _listed()
    described = described.replace("List of pods", f"List of {row.plural}")
    items = {"type": "array", "description": described, "items": {"$ref": _DEFS + name}}
    list_definition = {
        "description": f"{list_kind(row)} is a list of {gvk.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_head(), "items": items, **metadata},
        _GVK: [{**kind, "kind": list_kind(row)}],
    }
    return {name: own, listing: list_definition}


@cache
def _head() -> Definition:
    known = built_in()[_ANY_KIND]["properties"]
    return {
        key: {"type": "string", "description": known[key].get("description", "")}
        for key in ("apiVersion", "kind")
    }


@cache
def _embedded_head() -> Definition:
    return {key: {"type": "string", "description": text} for key, text in _EMBEDDED.items()}


@cache
def _metadata() -> Definition:
    return {"metadata": built_in()[_ANY_KIND]["properties"]["metadata"]}


@cache
def _listed() -> tuple[Definition, str]:
    """Return the metadata of lists, and what is said of the items of one."""
    known = built_in()[_ANY_LIST]["properties"]
    return {"metadata": known["metadata"]}, known["items"]["description"]


def _published(node: Mapping[str, Any], *, v3: bool) -> Definition:
    """Return a custom schema that says what its extensions imply.

    Embedded resources have what every object has. Clients of v2 read listed properties as the only ones:
    there a resource that keeps anything lists none. Nor does v2 tell defaults. Neither tells examples.
    """
    if node.keys() <= (_PLAIN if v3 else _PLAIN_V2):
        return node if isinstance(node, dict) else dict(node)
    made = {key: value for key, value in node.items() if key not in _UNTOLD}
    if not v3:
        made.pop("default", None)
    if isinstance(node.get("properties"), dict):
        made["properties"] = {key: _published(one, v3=v3) for key, one in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = _published(node[key], v3=v3)
    if v3 and node.get("x-kubernetes-int-or-string"):
        made |= _either(node)
    keeps = node.get("x-kubernetes-preserve-unknown-fields")
    if node.get("x-kubernetes-embedded-resource") and (v3 or not keeps):
        made["properties"] = made.get("properties", {}) | _embedded_head() | _metadata()
        required = list(made.get("required") or ())
        made["required"] = required + [key for key in ("kind", "apiVersion") if key not in required]
    return made


_UNTOLD: Final = frozenset({"example", "externalDocs"})
"""What a structural schema does not keep."""
_INTEGER_OR_TEXT: Final = [{"type": "integer"}, {"type": "string"}]


def _either(node: Mapping[str, Any]) -> Definition:
    """Return what says that a number or a text is meant, where a schema does not say so itself."""
    either, every = node.get("anyOf"), node.get("allOf") or []
    if either == _INTEGER_OR_TEXT or (every and every[0].get("anyOf") == _INTEGER_OR_TEXT):
        return {}
    if not either:
        return {"anyOf": _INTEGER_OR_TEXT}
    return {"allOf": [{"anyOf": _INTEGER_OR_TEXT}, *every]}


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
        return {"type": "object"} | {key: definition[key] for key in (_GVK, _SELECTABLE) if key in definition}
    return _render(definition, v3=False) | _V2_WELL_KNOWN.get(name, {})


def render_v3(name: str, definition: Definition) -> Definition:
    return _render(definition, v3=True) | _V3_WELL_KNOWN.get(name, {})


def _render(node: Definition, *, v3: bool) -> Definition:
    if node.keys() <= _PLAIN and node.get("type") in _SIMPLE:
        return node  # most are: texts and numbers that v2 and v3 say alike
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
        return _only_v2(out, node)
    if "$ref" in out and len(out) > 1:
        return {"allOf": [{"$ref": out.pop("$ref")}], **out}
    return out


def _only_v2(node: Definition, given: Definition) -> Definition:
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
    if absent:
        node = {key: value for key, value in node.items() if key not in absent}
    if "required" in node:
        required = _required_v2(node, given)
        node = {**node, "required": required}
        if not required:
            del node["required"]
    if node.keys().isdisjoint(_V2_REFUSES):
        return node
    return {key: value for key, value in node.items() if key not in _V2_REFUSES}


def _required_v2(node: Definition, given: Definition) -> list[str]:
    """Return the fields that are required; ``given`` still tells which of them may be null."""
    values = given.get("additionalProperties")
    if isinstance(values, dict) and values.get("nullable"):
        return []
    fields = given.get("properties", {}) if "properties" in node else {}
    return [name for name in node["required"] if not fields.get(name, {}).get("nullable")]
