"""An OpenAPI v3 document out of a v2 one, for API servers that publish only that.

Pure. What v3 says elsewhere is moved there (bodies, schemas of parameters and answers, definitions), and
references follow; whatever is no v2 is left out. Source: the OpenAPI specifications 2.0 and 3.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apis.openapi.merge import with_parameters

Document = dict[str, Any]
_OLD, _NEW = "#/definitions/", "#/components/schemas/"
_OLD_ANSWERS, _NEW_ANSWERS = "#/responses/", "#/components/responses/"
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_SAME: Final = ("tags", "summary", "description", "externalDocs", "operationId", "deprecated", "security")
_NAMED: Final = ("name", "in", "description", "required", "allowEmptyValue")
_SCHEMA: Final = (
    "type", "format", "items", "enum", "default", "maximum", "exclusiveMaximum", "minimum",
    "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems",
    "multipleOf",
)  # fmt: skip
_ANY: Final = ("*/*",)


def converted(v2: Mapping[str, Any]) -> Document:
    """Return the document of the same API."""
    found: Document = {"openapi": "3.0.0", "info": _mapping(v2.get("info"))}
    if paths := _mapping(with_parameters(v2.get("paths"), _mapping(v2.get("parameters")))):
        found["paths"] = {path: _path(_mapping(item)) for path, item in paths.items()}
    components: Document = {}
    if definitions := _mapping(v2.get("definitions")):
        components["schemas"] = {name: _schema(one) for name, one in definitions.items()}
    if answers := _mapping(v2.get("responses")):
        components["responses"] = {name: _answer(_mapping(one), _ANY) for name, one in answers.items()}
    if schemes := _mapping(v2.get("securityDefinitions")):
        components["securitySchemes"] = schemes
    found["components"] = components
    if v2.get("externalDocs"):
        found["externalDocs"] = v2["externalDocs"]
    return found


def _mapping(value: Any) -> Document:
    return dict(value) if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[Document]:
    return [one for one in value or () if isinstance(one, dict)] if isinstance(value, list) else []


def _extensions(node: Mapping[str, Any]) -> Document:
    return {key: value for key, value in node.items() if key.startswith("x-")}


def _schema(node: Any) -> Any:
    """Return a schema with references as v3 has them."""
    if isinstance(node, list):
        return [_schema(one) for one in node]
    if not isinstance(node, Mapping):
        return node
    target = node.get("$ref")
    if isinstance(target, str) and target.startswith(_OLD):
        return {"$ref": _NEW + target.removeprefix(_OLD)}
    return {key: _schema(value) for key, value in node.items()}


def _path(item: Document) -> Document:
    found = _extensions(item)
    for method in _METHODS:
        if isinstance(item.get(method), dict):
            found[method] = _operation(item[method])
    plain = [_parameter(one) for one in _listed(item.get("parameters")) if one.get("in") != "body"]
    return found | ({"parameters": plain} if plain else {})


def _operation(node: Document) -> Document:
    found = {key: node[key] for key in _SAME if node.get(key)} | _extensions(node)
    takes = node.get("consumes") or _ANY
    parameters = _listed(node.get("parameters"))
    for one in parameters:
        if one.get("in") == "body":
            found["requestBody"] = _body(one, takes)
    if plain := [_parameter(one) for one in parameters if one.get("in") != "body"]:
        found["parameters"] = plain
    gives = node.get("produces") or _ANY
    answers = _mapping(node.get("responses"))
    found["responses"] = {code: _answer(_mapping(one), gives) for code, one in answers.items()}
    return found


def _content(schema: Any, types: Any) -> Document:
    return {str(one): {"schema": _schema(schema)} for one in types}


def _body(node: Document, types: Any) -> Document:
    found = {"content": _content(node.get("schema") or {}, types)} | _extensions(node)
    return found | {key: node[key] for key in ("description", "required") if node.get(key)}


def _parameter(node: Document) -> Document:
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    found = {key: node[key] for key in _NAMED if node.get(key)} | _extensions(node)
    return found | {"schema": {key: _schema(node[key]) for key in _SCHEMA if key in node}}


def _answer(node: Document, types: Any) -> Document:
    target = node.get("$ref")
    if isinstance(target, str):
        return {"$ref": _NEW_ANSWERS + target.removeprefix(_OLD_ANSWERS)}
    found = {"description": node.get("description") or ""} | _extensions(node)
    return found | ({"content": _content(node["schema"], types)} if node.get("schema") else {})
