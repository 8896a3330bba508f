"""OpenAPI v3 documents that are made of v2 ones.

Source: upstream's test of aggregated servers without v3, the OpenAPI specifications.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.openapi import proto_v3
from tiphys.apis.openapi.convert import converted

INFO = {"title": "Kubernetes", "version": "unversioned"}
REF = {"$ref": "#/definitions/a.Thing"}
NEW = {"$ref": "#/components/schemas/a.Thing"}


def test_an_empty_document() -> None:
    assert converted({"swagger": "2.0", "info": INFO}) == {"openapi": "3.0.0", "info": INFO, "components": {}}


def operation(**more: Any) -> dict[str, Any]:
    return {"responses": {"200": {"description": "OK"}}, **more}


WITHOUT = {"responses": {"200": {"description": "OK"}}}
OPERATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "what stays": (
        operation(tags=["t"], summary="s", operationId="o", deprecated=True, schemes=["https"], **{"x-a": 1}),
        {**WITHOUT, "tags": ["t"], "summary": "s", "operationId": "o", "deprecated": True, "x-a": 1},
    ),
    "a body": (
        operation(
            consumes=["application/json", "application/yaml"],
            parameters=[{"in": "body", "name": "body", "required": True, "schema": REF}],
        ),
        {**WITHOUT, "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": NEW}, "application/yaml": {"schema": NEW}},
        }},
    ),
    "a body of whatever type": (
        operation(parameters=[{"in": "body", "name": "body", "schema": {"type": "object"}}]),
        {**WITHOUT, "requestBody": {"content": {"*/*": {"schema": {"type": "object"}}}}},
    ),
    "other parameters": (
        operation(parameters=[
            {"$ref": "#/parameters/shared"},
            {"in": "query", "name": "limit", "type": "integer", "uniqueItems": True, "description": "d"},
            {"$ref": "#/parameters/p"}, {"in": "path", "name": "n", "required": True, "type": "string"},
        ]),
        {**WITHOUT, "parameters": [
            {"in": "query", "name": "pretty", "schema": {"type": "string"}},
            {"in": "query", "name": "limit", "description": "d",
             "schema": {"type": "integer", "uniqueItems": True}},
            {"$ref": "#/parameters/p"},
            {"in": "path", "name": "n", "required": True, "schema": {"type": "string"}},
        ]},
    ),
    "an answer of several paths": (
        {"responses": {"401": {"$ref": "#/responses/R"}}},
        {"responses": {"401": {"$ref": "#/components/responses/R"}}},
    ),
    "an answer": (
        {"produces": ["application/json"], "responses": {"200": {"description": "OK", "schema": REF}}},
        {"responses": {"200": {"description": "OK", "content": {"application/json": {"schema": NEW}}}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str) -> None:
    old, new = OPERATIONS[name]
    shared = {"shared": {"in": "query", "name": "pretty", "type": "string"}}
    paths = {"/p": {"get": old, "x-b": 2, "trace": {}}}
    found = converted({"info": INFO, "parameters": shared, "paths": paths})
    assert found["paths"] == {"/p": {"get": new, "x-b": 2}}
    assert proto_v3.document(found)


def test_components() -> None:
    found = converted({
        "info": INFO, "externalDocs": {"url": "u"},
        "securityDefinitions": {"BearerToken": {"type": "apiKey"}},
        "definitions": {"a.Thing": {
            "type": "object", "properties": {"next": REF, "all": {"type": "array", "items": REF}},
            "allOf": [REF], "x-kubernetes-group-version-kind": [{"kind": "T"}],
        }},
        "responses": {"R": {"description": "d", "schema": REF}},
    })  # fmt: skip
    thing = {"type": "object", "properties": {"next": NEW, "all": {"type": "array", "items": NEW}},
             "allOf": [NEW], "x-kubernetes-group-version-kind": [{"kind": "T"}]}  # fmt: skip
    assert found["components"] == {
        "schemas": {"a.Thing": thing}, "securitySchemes": {"BearerToken": {"type": "apiKey"}},
        "responses": {"R": {"description": "d", "content": {"*/*": {"schema": NEW}}}},
    }  # fmt: skip
    assert found["externalDocs"] == {"url": "u"}


@pytest.mark.parametrize(
    "v2", [{"paths": 3, "definitions": [], "info": None}, {"paths": {"/p": {"get": {"parameters": [1]}}}}]
)
def test_what_is_no_document(v2: dict[str, Any]) -> None:
    assert converted(v2)["openapi"] == "3.0.0"
