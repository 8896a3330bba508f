"""Documents of other API servers, as parts of ours in protobuf: what they may leave out, and nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.openapi.proto import document, readable

OURS: dict[str, Any] = {
    "swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}, "definitions": {},
    "security": [], "securityDefinitions": {},
}  # fmt: skip


def operation(**more: Any) -> dict[str, Any]:
    return {"/apis/x.io/v1/as": {"get": {"responses": {}, **more}}}


PARAMETERS = {
    "a reference": ({"$ref": "#/parameters/p"}, b"#/parameters/p"),
    "of a header": ({"in": "header", "name": "X-One", "type": "string"}, b"X-One"),
    "of a form": ({"in": "formData", "name": "one", "type": "file"}, b"file"),
    "of the query": ({"in": "query", "name": "one", "type": "integer"}, b"integer"),
    "of the path": ({"in": "path", "name": "one", "required": True, "type": "string"}, b"string"),
    "of no type": ({"in": "query", "name": "untyped"}, b"untyped"),
    "a body": ({"in": "body", "name": "body", "schema": {"$ref": "#/definitions/A"}}, b"#/definitions/A"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    parameter, expected = PARAMETERS[name]
    paths = operation(parameters=[parameter])
    assert readable(paths, {})
    assert expected in document(OURS | {"paths": paths})


PARTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[bytes]]] = {
    "only responses": (operation(), {}, [b"/apis/x.io/v1/as"]),
    "not even responses": ({"/a": {"get": {}}}, {}, [b"/a"]),
    "a response by reference": (
        operation(responses={"200": {"$ref": "#/responses/r"}}), {}, [b"200", b"#/responses/r"]),
    "a response that is not described": (operation(responses={"200": {}}), {}, [b"200"]),
    "what ours never say": (operation(summary="in short", deprecated=True), {}, [b"in short"]),
    "several types": ({}, {"A": {"type": ["string", "null"]}}, [b"string", b"null"]),
    "nothing": ({}, {}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_what_may_be_left_out(name: str) -> None:
    paths, definitions, expected = PARTS[name]
    assert readable(paths, definitions)
    encoded = document(OURS | {"paths": paths, "definitions": definitions})
    assert all(part in encoded for part in expected)


def deep() -> dict[str, Any]:
    node: dict[str, Any] = {}
    for _ in range(5000):
        node = {"items": node}
    return node


NONSENSE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "responses that are a text": ({"/a": {"get": {"responses": "200"}}}, {}),
    "a path that is a list": ({"/a": []}, {}),
    "a parameter of no place": (operation(parameters=[{"name": "a"}]), {}),
    "a parameter of an unknown place": (operation(parameters=[{"name": "a", "in": "cookie"}]), {}),
    "a body without schema": (operation(parameters=[{"name": "a", "in": "body"}]), {}),
    "tags that are a number": (operation(tags=3), {}),
    "a description that is a number": ({}, {"A": {"description": 3}}),
    "a limit that is a text": ({}, {"A": {"maximum": "many"}}),
    "a definition that is a text": ({}, {"A": "string"}),
    "a schema without end": ({}, {"A": deep()}),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_told_from_documents(name: str) -> None:
    assert not readable(*NONSENSE[name])
