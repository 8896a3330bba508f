"""Writes an OpenAPI v3 JSON tree as protobuf ``openapi.v3.Document``, the form that Go clients ask for.

Field numbers are the schema's of gnostic (openapiv3/OpenAPIv3.proto); only what our documents contain is
written. Extensions travel as YAML text, for which JSON will do. Of defaults the schema has room for plain
values only: lists and objects are left out, as upstream leaves them out.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.protowire import double, message, switch, text, varint
from tiphys.apis.openapi.wire import Node, any_value, counts, extensions, named, texts


def document(tree: Node) -> bytes:
    """Return the encoded document."""
    info = text(1, tree["info"].get("title")) + text(6, tree["info"].get("version"))
    return b"".join(
        (
            text(1, tree["openapi"]),
            message(2, info),
            message(4, named(1, tree.get("paths", {}).items(), _path_item)),
            message(5, _components(tree["components"])),
        )
    )


def _components(node: Node) -> bytes:
    schemas = b""
    if "schemas" in node:
        schemas = message(1, named(1, node["schemas"].items(), _schema_or_reference))
    if "responses" in node:
        schemas += message(2, named(1, node["responses"].items(), _response))
    return schemas + message(7, named(1, node.get("securitySchemes", {}).items(), _security_scheme))


def _security_scheme(node: Node) -> bytes:
    payload = text(1, node.get("type")) + text(2, node.get("description")) + text(3, node.get("name"))
    return message(1, payload + text(4, node.get("in")))


_METHODS = {"get": 4, "put": 5, "post": 6, "delete": 7, "options": 8, "head": 9, "patch": 10}


def _path_item(node: Node) -> bytes:
    methods = b"".join(
        message(number, _operation(node[method])) for method, number in _METHODS.items() if method in node
    )
    return methods + b"".join(message(13, _parameter(item)) for item in node.get("parameters") or ())


def _operation(node: Node) -> bytes:
    parts = [
        texts(1, node.get("tags", ())),
        text(3, node.get("description")),
        text(5, node.get("operationId")),
        b"".join(message(6, _parameter(item)) for item in node.get("parameters", ())),
    ]
    if "requestBody" in node:
        body = node["requestBody"]
        payload = message(2, _content(body["content"])) + switch(3, body.get("required"))
        parts.append(message(7, message(1, payload)))
    parts.append(message(8, named(2, node["responses"].items(), _response)))
    parts.append(extensions(13, node))
    return b"".join(parts)


def _parameter(node: Node) -> bytes:
    if "$ref" in node:
        return message(2, text(1, node["$ref"]))
    payload = text(1, node["name"]) + text(2, node["in"]) + text(3, node.get("description"))
    payload += switch(4, node.get("required")) + message(10, _schema_or_reference(node["schema"]))
    return message(1, payload)


def _response(node: Node) -> bytes:
    if "$ref" in node:
        return message(2, text(1, node["$ref"]))
    payload = text(1, node["description"])
    if "content" in node:
        payload += message(3, _content(node["content"]))
    return message(1, payload)


def _content(node: Node) -> bytes:
    return named(1, node.items(), lambda media: message(1, _schema_or_reference(media["schema"])))


def _schema_or_reference(node: Node) -> bytes:
    if "$ref" in node:
        return message(2, text(1, node["$ref"]))
    return message(1, _schema(node))


_LIMITS = {"multipleOf": 10, "maximum": 11, "minimum": 13}
_COUNTS = {
    "maxLength": 15, "minLength": 16, "maxItems": 18, "minItems": 19, "maxProperties": 21,
    "minProperties": 22,
}  # fmt: skip
_SWITCHES = {
    "nullable": 1, "readOnly": 3, "writeOnly": 4, "deprecated": 8, "exclusiveMaximum": 12,
    "exclusiveMinimum": 14, "uniqueItems": 20,
}  # fmt: skip
_TEXTS = {"title": 9, "pattern": 17, "type": 25, "description": 34, "format": 35}
_ALTERNATIVES = {"allOf": 26, "oneOf": 27, "anyOf": 28}


_LEAF = frozenset(("type", "description", "format"))


def _schema(node: Node) -> bytes:
    if node.keys() <= _LEAF:
        return text(25, node.get("type")) + text(34, node.get("description")) + text(35, node.get("format"))
    parts = [switch(number, node.get(key)) for key, number in _SWITCHES.items()]
    parts.extend(text(number, node.get(key)) for key, number in _TEXTS.items())
    parts.extend(double(number, node[key]) for key, number in _LIMITS.items() if key in node)
    parts.append(counts(node, _COUNTS))
    parts.append(texts(23, node.get("required") or ()))
    parts.extend(message(24, any_value(value)) for value in node.get("enum") or ())
    for key, number in _ALTERNATIVES.items():
        parts.extend(message(number, _schema_or_reference(one)) for one in node.get(key) or ())
    parts.append(_inner(node))
    if "example" in node:
        parts.append(message(7, any_value(node["example"])))
    parts.append(_default(node.get("default")))
    parts.append(extensions(36, node))
    return b"".join(parts)


def _inner(node: Node) -> bytes:
    """Write the schemas within one: of what is not, of items, properties and further properties."""
    parts = []
    if isinstance(node.get("not"), dict):
        parts.append(message(29, _schema(node["not"])))
    if isinstance(node.get("items"), dict):
        parts.append(message(30, message(1, _schema_or_reference(node["items"]))))
    if node.get("properties"):
        parts.append(message(31, named(1, node["properties"].items(), _schema_or_reference)))
    additional = node.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(message(32, message(1, _schema_or_reference(additional))))
    elif isinstance(additional, bool):
        parts.append(message(32, varint(2 << 3) + varint(int(additional))))
    return b"".join(parts)


def _default(value: Any) -> bytes:
    """Write a default that is a truth value, a number or a text; of one that is empty, that there is one."""
    if isinstance(value, bool):
        return message(33, varint(2 << 3) + varint(int(value)))
    if isinstance(value, int | float):
        return message(33, double(1, value))
    if isinstance(value, str):
        return message(33, message(3, value.encode()))
    return b""
