"""Writes an OpenAPI v2 JSON tree as protobuf ``openapi.v2.Document``, the form that kubectl asks for.

Field numbers are the schema's of gnostic (openapiv2/OpenAPIv2.proto); only what our documents contain is
written. Extensions and defaults travel as YAML text, for which JSON will do.
"""

from __future__ import annotations

import struct
from functools import cache

from tiphys.apimachinery.protowire import double, head, message, switch, text, varint
from tiphys.apis.openapi.wire import Buffer, Node, any_value, counts, extensions, named, texts


def document(tree: Node) -> bytes:
    """Return the encoded document."""
    return b"".join(framed(tree, [encode_paths(tree["paths"])], [encode_definitions(tree["definitions"])]))


def framed(top: Node, paths: list[Buffer], definitions: list[Buffer]) -> list[Buffer]:
    """Return the chunks of a document whose paths and definitions are encoded already, piece by piece."""
    info = text(1, top["info"]["title"]) + text(2, top["info"]["version"])
    start = text(1, top["swagger"]) + message(2, info)
    return [
        start, head(8, sum(map(len, paths))), *paths, head(9, sum(map(len, definitions))), *definitions,
        _security(top),
    ]  # fmt: skip


def encode_paths(paths: Node) -> bytes:
    """Return some of a document's paths; what is put one behind the other is all of them."""
    return named(2, paths.items(), _path_item)


def encode_definitions(definitions: Node) -> bytes:
    """Return some of a document's definitions."""
    return named(1, definitions.items(), _schema)


def _security(tree: Node) -> bytes:
    requirements = b"".join(
        message(12, named(1, requirement.items(), lambda scopes: texts(1, scopes)))
        for requirement in tree["security"]
    )
    return requirements + message(13, named(1, tree["securityDefinitions"].items(), _api_key))


def _api_key(node: Node) -> bytes:
    payload = text(1, node["type"]) + text(2, node["name"]) + text(3, node["in"])
    return message(2, payload + text(4, node["description"]))


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def readable(paths: Node, definitions: Node) -> bool:
    """Tell whether parts of a document that others wrote can be part of ours."""
    try:
        encode_paths(paths)
        encode_definitions(definitions)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, struct.error):
        return False
    return True


def _path_item(node: Node) -> bytes:
    methods = b"".join(
        message(number, _operation(node[method])) for method, number in _METHODS.items() if method in node
    )
    return methods + b"".join(message(9, _parameter(item)) for item in node.get("parameters", ()))


def _operation(node: Node) -> bytes:
    return b"".join(
        (
            texts(1, node.get("tags") or ()),
            text(2, node.get("summary")),
            text(3, node.get("description")),
            text(5, node.get("operationId")),
            texts(6, node.get("produces") or ()),
            texts(7, node.get("consumes") or ()),
            b"".join(message(8, _parameter(item)) for item in node.get("parameters") or ()),
            message(9, named(1, (node.get("responses") or {}).items(), _response)),
            texts(10, node.get("schemes") or ()),
            switch(11, node.get("deprecated")),
            extensions(13, node),
        )
    )


_PLACES = {"header": 1, "formData": 2, "query": 3, "path": 4}


def _parameter(node: Node) -> bytes:
    """Return a ParametersItem: a body parameter, one of another place, or a reference."""
    if "$ref" in node:
        return _reference(node)
    description = node.get("description")
    if node["in"] == "body":
        body = text(1, description) + text(2, node["name"]) + text(3, "body")
        body += switch(4, node.get("required")) + message(5, _schema(node["schema"]))
        return message(1, message(1, body))
    place = _PLACES[node["in"]]
    shift = node["in"] in ("formData", "query")  # these have a field more before the type
    payload = switch(1, node.get("required")) + text(2, node["in"])
    payload += text(3, description) + text(4, node["name"])
    payload += text(5 + shift, node.get("type"))
    payload += switch(19 + shift, node.get("uniqueItems"))
    return message(1, message(2, message(place, payload)))


def _reference(node: Node) -> bytes:
    return message(2, text(1, node["$ref"]) + text(2, node.get("description")))


def _response(node: Node) -> bytes:
    if "$ref" in node:
        return _reference(node)
    payload = text(1, node.get("description"))
    if "schema" in node:
        payload += message(2, message(1, _schema(node["schema"])))
    return message(1, payload)


_NUMBERS = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_COUNTS = {
    "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17,
    "minProperties": 18,
}  # fmt: skip


_LEAF = frozenset(("type", "description", "format"))


@cache
def _type(name: str) -> bytes:
    return message(22, texts(1, (name,)))


def _schema(node: Node) -> bytes:
    if node.keys() <= _LEAF and isinstance(kind := node.get("type"), str):
        return text(2, node.get("format")) + text(4, node.get("description")) + _type(kind)
    parts = [
        text(1, node.get("$ref")),
        text(2, node.get("format")),
        text(3, node.get("title")),
        text(4, node.get("description")),
    ]
    if "default" in node:
        parts.append(message(5, any_value(node["default"])))
    parts.append(_limits(node))
    parts.append(texts(19, node.get("required") or ()))
    parts.extend(message(20, any_value(value)) for value in node.get("enum") or ())
    additional = node.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(message(21, message(1, _schema(additional))))
    elif isinstance(additional, bool):
        parts.append(message(21, varint(2 << 3) + (b"\x01" if additional else b"\x00")))
    if node.get("type"):
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        parts.append(message(22, texts(1, kinds)))
    if isinstance(node.get("items"), dict):
        parts.append(message(23, message(1, _schema(node["items"]))))
    if node.get("properties"):
        parts.append(message(25, named(1, node["properties"].items(), _schema)))
    parts.append(extensions(31, node))
    return b"".join(parts)


def _limits(node: Node) -> bytes:
    parts = []
    for key, number in _NUMBERS.items():
        if key in node:
            parts.append(double(number, node[key]))
    parts.append(switch(8, node.get("exclusiveMaximum")))
    parts.append(switch(10, node.get("exclusiveMinimum")))
    parts.append(counts(node, _COUNTS))
    parts.append(text(13, node.get("pattern")))
    parts.append(switch(16, node.get("uniqueItems")))
    return b"".join(parts)
