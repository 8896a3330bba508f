"""OpenAPI v3 as protobuf: read back by message classes of gnostic's schema, it is the same document."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.protobuf import build
from tiphys.apis.openapi import proto_v3
from tiphys.apis.openapi.documents import OpenApi

_NAMED = (
    "Any",
    "MediaType",
    "PathItem",
    "ResponseOrReference",
    "SchemaOrReference",
    "SecuritySchemeOrReference",
)


def _fields(*rows: str) -> dict[str, list[Any]]:
    """``name type number`` a row."""
    found = {}
    for row in rows:
        name, *kind, number = row.split()
        found[name] = [int(number), " ".join(kind)]
    return found


TABLE = {
    "Document": _fields("openapi string 1", "info Info 2", "paths Paths 4", "components Components 5"),
    "Info": _fields("title string 1", "version string 6"),
    "Paths": _fields("path repeated NamedPathItem 1"),
    "Components": _fields("schemas Schemas 1", "securitySchemes Schemes 7"),
    "Schemas": _fields("additional repeated NamedSchemaOrReference 1"),
    "Schemes": _fields("additional repeated NamedSecuritySchemeOrReference 1"),
    "SecuritySchemeOrReference": _fields("value SecurityScheme 1"),
    "SecurityScheme": _fields("type string 1", "description string 2", "name string 3", "in string 4"),
    "PathItem": _fields(
        "get Operation 4", "put Operation 5", "post Operation 6", "delete Operation 7",
        "options Operation 8", "head Operation 9", "patch Operation 10",
        "parameters repeated ParameterOrReference 13",
    ),
    "Operation": _fields(
        "tags repeated string 1", "description string 3", "operationId string 5",
        "parameters repeated ParameterOrReference 6", "requestBody BodyOrReference 7",
        "responses Responses 8", "x repeated NamedAny 13",
    ),
    "ParameterOrReference": _fields("value Parameter 1"),
    "Parameter": _fields(
        "name string 1", "in string 2", "description string 3", "required bool 4",
        "schema SchemaOrReference 10",
    ),
    "BodyOrReference": _fields("value RequestBody 1"),
    "RequestBody": _fields("content MediaTypes 2", "required bool 3"),
    "MediaTypes": _fields("additional repeated NamedMediaType 1"),
    "MediaType": _fields("schema SchemaOrReference 1"),
    "Responses": _fields("additional repeated NamedResponseOrReference 2"),
    "ResponseOrReference": _fields("value Response 1"),
    "Response": _fields("description string 1", "content MediaTypes 3"),
    "SchemaOrReference": _fields("schema Schema 1", "reference Reference 2"),
    "Reference": _fields("ref string 1"),
    "Schema": _fields(
        "nullable bool 1", "readOnly bool 3", "writeOnly bool 4", "example Any 7", "deprecated bool 8",
        "title string 9", "multipleOf double 10", "maximum double 11", "exclusiveMaximum bool 12",
        "minimum double 13", "exclusiveMinimum bool 14", "maxLength int64 15", "minLength int64 16",
        "pattern string 17", "maxItems int64 18", "minItems int64 19", "uniqueItems bool 20",
        "maxProperties int64 21", "minProperties int64 22", "required repeated string 23",
        "enum repeated Any 24", "type string 25", "allOf repeated SchemaOrReference 26",
        "oneOf repeated SchemaOrReference 27", "anyOf repeated SchemaOrReference 28", "not Schema 29",
        "items Items 30", "properties Schemas 31", "additionalProperties Additional 32",
        "default Default 33", "description string 34", "format string 35", "x repeated NamedAny 36",
    ),
    "Items": _fields("value repeated SchemaOrReference 1"),
    "Additional": _fields("schema SchemaOrReference 1", "boolean bool 2"),
    "Default": _fields("number double 1", "boolean bool 2", "string string 3"),
    "Any": _fields("yaml string 2"),
    **{f"Named{kind}": _fields("name string 1", f"value {kind} 2") for kind in _NAMED},
}  # fmt: skip
MESSAGES = build(
    {
        f"v3.{name}": {
            field: [number, " ".join(f"v3.{word}" if word in TABLE else word for word in kind.split())]
            for field, (number, kind) in fields.items()
        }
        for name, fields in TABLE.items()
    },
    {},
    syntax="proto2",  # so that what was not written can be told from what is empty
)
_WRAPPERS = ("SecuritySchemeOrReference", "ParameterOrReference", "BodyOrReference", "ResponseOrReference")


def tree_of(message: Any) -> Any:
    """Return a message as the JSON that it stands for."""
    kind = message.DESCRIPTOR.name
    values = {field.name: value for field, value in message.ListFields()}
    if kind == "Any":
        return orjson.loads(values["yaml"])
    if kind in _WRAPPERS:
        return tree_of(values["value"])
    if kind == "SchemaOrReference":
        return {"$ref": values["reference"].ref} if "reference" in values else tree_of(values["schema"])
    if kind in ("Schemas", "Schemes", "MediaTypes", "Responses", "Paths"):
        pairs = values.get("additional") or values.get("path") or ()
        return {pair.name: tree_of(pair.value) for pair in pairs}
    if kind in ("Additional", "Default"):
        (value,) = values.values()
        return plain(value)
    if kind == "Items":
        return tree_of(values["value"][0])
    found = {name: plain(value) for name, value in values.items() if name != "x"}
    return found | {pair.name: tree_of(pair.value) for pair in values.get("x") or ()}


def plain(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return tree_of(value)
    if isinstance(value, str | bool | int | float):
        return value
    return [plain(one) for one in value]


def decode(payload: bytes) -> Any:
    message = MESSAGES["v3.Document"]()
    message.ParseFromString(payload)
    return tree_of(message)


def without_room(node: Any) -> Any:
    """Return a tree without what the schema has no room for: defaults of lists and objects, empty values."""
    if isinstance(node, list):
        return [without_room(one) for one in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key.startswith("x-"):
            found[key] = value
        elif key in ("properties", "schemas"):
            found[key] = {name: without_room(schema) for name, schema in value.items()}
        elif key == "default":
            found |= {} if isinstance(value, dict | list) else {key: value}
        elif value not in ("", [], False):
            found[key] = without_room(value)
    return found


@pytest.mark.parametrize(
    "path", ["api/v1", "apis/apiextensions.k8s.io/v1", "apis/autoscaling/v2", "openid/v1/jwks"]
)
def test_the_whole_document_is_there(path: str) -> None:
    api = OpenApi()
    payload = api.v3_protobuf(path)
    assert payload is not None
    assert decode(payload) == without_room(orjson.loads(api.v3_group(path) or b""))
    assert api.v3_protobuf(path) is payload
    assert api.v3_protobuf("apis/none/v1") is None


SCHEMAS = [
    ("switches", {"nullable": True, "readOnly": True, "writeOnly": True, "deprecated": True}),
    ("limits", {"maximum": 1.5, "exclusiveMaximum": True, "minimum": -2.0, "multipleOf": 0.5}),
    ("counts", {"maxLength": 3, "minLength": 1, "maxItems": 300, "minItems": 2, "minProperties": 1}),
    ("texts", {"title": "T", "pattern": "^a$", "type": "string", "format": "date", "description": "é"}),
    ("choices", {"enum": ["a", 1, None], "oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/A"}]}),
    ("a negation", {"not": {"type": "string"}, "anyOf": [{"required": ["a"]}]}),
    ("further properties", {"additionalProperties": {"type": "string"}}),
    ("any property", {"additionalProperties": True}),
    ("a default text", {"default": "TCP"}),
    ("an empty default", {"default": ""}),
    ("a default number", {"default": 3.0}),
    ("a default switch", {"default": False}),
    ("an example", {"example": {"a": [1]}}),
    ("extensions", {"x-kubernetes-list-map-keys": ["name"], "x-kubernetes-int-or-string": True}),
]


@pytest.mark.parametrize(("name", "schema"), SCHEMAS, ids=[name for name, _ in SCHEMAS])
def test_schemas(name: str, schema: dict[str, Any]) -> None:
    tree = {
        "openapi": "3.0.0", "info": {"title": "T", "version": "v1"}, "paths": {},
        "components": {"schemas": {name: schema}, "securitySchemes": {}},
    }  # fmt: skip
    assert decode(proto_v3.document(tree))["components"]["schemas"] == {name: schema}


def test_what_has_no_room_is_left_out() -> None:
    schema = {"type": "object", "default": {}}
    tree = {
        "openapi": "3.0.0", "info": {"title": "T", "version": "v1"}, "paths": {},
        "components": {"schemas": {"A": schema}, "securitySchemes": {}},
    }  # fmt: skip
    assert decode(proto_v3.document(tree))["components"]["schemas"] == {"A": {"type": "object"}}
