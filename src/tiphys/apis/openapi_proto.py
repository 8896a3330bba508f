"""Writes an OpenAPI v2 JSON tree as protobuf ``openapi.v2.Document``, the form that kubectl asks for.

Field numbers are the schema's of gnostic (openapiv2/OpenAPIv2.proto); only what our documents contain is
written. Extensions and defaults travel as YAML text, for which JSON will do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import orjson

Node = dict[str, Any]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _text(number: int, value: str | None) -> bytes:
    return _message(number, value.encode()) if value else b""


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_message(number, value.encode()) for value in values)


def _bool(number: int, value: bool | None) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _any(value: Any) -> bytes:
    return _text(2, orjson.dumps(value).decode())


def _named(number: int, pairs: Iterable[tuple[str, Any]], encode: Callable[[Any], bytes]) -> bytes:
    """Write a map as gnostic does: repeated messages of a name (1) and a value (2)."""
    return b"".join(_message(number, _text(1, name) + _message(2, encode(value))) for name, value in pairs)


def _extensions(number: int, node: Node) -> bytes:
    return _named(number, ((key, value) for key, value in node.items() if key.startswith("x-")), _any)


def document(tree: Node) -> bytes:
    """Return the encoded document."""
    info = _text(1, tree["info"]["title"]) + _text(2, tree["info"]["version"])
    return b"".join(
        (
            _text(1, tree["swagger"]),
            _message(2, info),
            _message(8, _named(2, tree["paths"].items(), _path_item)),
            _message(9, _named(1, tree["definitions"].items(), _schema)),
            _security(tree),
        )
    )


def _security(tree: Node) -> bytes:
    requirements = b"".join(
        _message(12, _named(1, requirement.items(), lambda scopes: _texts(1, scopes)))
        for requirement in tree["security"]
    )
    return requirements + _message(13, _named(1, tree["securityDefinitions"].items(), _api_key))


def _api_key(node: Node) -> bytes:
    payload = _text(1, node["type"]) + _text(2, node["name"]) + _text(3, node["in"])
    return _message(2, payload + _text(4, node["description"]))


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def _path_item(node: Node) -> bytes:
    methods = b"".join(
        _message(number, _operation(node[method])) for method, number in _METHODS.items() if method in node
    )
    return methods + b"".join(_message(9, _parameter(item)) for item in node.get("parameters", ()))


def _operation(node: Node) -> bytes:
    return b"".join(
        (
            _texts(1, node["tags"]),
            _text(3, node["description"]),
            _text(5, node["operationId"]),
            _texts(6, node["produces"]),
            _texts(7, node["consumes"]),
            b"".join(_message(8, _parameter(item)) for item in node["parameters"]),
            _message(9, _named(1, node["responses"].items(), _response)),
            _texts(10, node["schemes"]),
            _extensions(13, node),
        )
    )


def _parameter(node: Node) -> bytes:
    """Return a ParametersItem: a body parameter, or one of query or path."""
    description = node.get("description")
    if node["in"] == "body":
        body = _text(1, description) + _text(2, node["name"]) + _text(3, "body")
        body += _bool(4, node.get("required")) + _message(5, _schema(node["schema"]))
        return _message(1, _message(1, body))
    query = node["in"] == "query"
    payload = _bool(1, node.get("required")) + _text(2, node["in"])
    payload += _text(3, description) + _text(4, node["name"])
    payload += _text(6 if query else 5, node["type"])
    return _message(1, _message(2, _message(3 if query else 4, payload)))


def _response(node: Node) -> bytes:
    payload = _text(1, node["description"])
    if "schema" in node:
        payload += _message(2, _message(1, _schema(node["schema"])))
    return _message(1, payload)


_NUMBERS = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_COUNTS = {
    "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17,
    "minProperties": 18,
}  # fmt: skip


def _schema(node: Node) -> bytes:
    parts = [
        _text(1, node.get("$ref")),
        _text(2, node.get("format")),
        _text(3, node.get("title")),
        _text(4, node.get("description")),
    ]
    if "default" in node:
        parts.append(_message(5, _any(node["default"])))
    parts.append(_limits(node))
    parts.append(_texts(19, node.get("required") or ()))
    parts.extend(_message(20, _any(value)) for value in node.get("enum") or ())
    additional = node.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(_message(21, _message(1, _schema(additional))))
    elif isinstance(additional, bool):
        parts.append(_message(21, _varint(2 << 3) + (b"\x01" if additional else b"\x00")))
    if node.get("type"):
        parts.append(_message(22, _text(1, node["type"])))
    if isinstance(node.get("items"), dict):
        parts.append(_message(23, _message(1, _schema(node["items"]))))
    if node.get("properties"):
        parts.append(_message(25, _named(1, node["properties"].items(), _schema)))
    parts.append(_extensions(31, node))
    return b"".join(parts)


def _limits(node: Node) -> bytes:
    parts = []
    for key, number in _NUMBERS.items():
        if key in node:
            parts.append(_varint(number << 3 | 1) + struct.pack("<d", node[key]))
    parts.append(_bool(8, node.get("exclusiveMaximum")))
    parts.append(_bool(10, node.get("exclusiveMinimum")))
    parts.extend(
        _varint(number << 3) + _varint(node[key]) for key, number in _COUNTS.items() if node.get(key)
    )
    parts.append(_text(13, node.get("pattern")))
    parts.append(_bool(16, node.get("uniqueItems")))
    return b"".join(parts)
