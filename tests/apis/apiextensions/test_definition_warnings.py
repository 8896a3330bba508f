"""Formats that nobody checks: told of when a definition brings them, and not again."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.apiextensions.definition_warnings import definition_warnings

KNOWN = (
    "date-time", "datetime", "email", "k8s-short-name", "k8slongname", "password", "bsonobjectid", "uuid",
)  # fmt: skip


def definition(*schemas: dict[str, Any]) -> dict[str, Any]:
    versions = [
        {"name": f"v{number}", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": schema}}}}
        for number, schema in enumerate(schemas, 1)
    ]
    return {"spec": {"versions": [*versions, {"name": "bare"}]}}


def text(name: str) -> dict[str, Any]:
    return {"type": "string", "format": name}


def told(*names: str) -> list[str]:
    return [f'unrecognized format "{name}"' for name in names]


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "none": ({"type": "string"}, []),
    "empty": (text(""), []),
    "unknown": (text("unknown-format"), told("unknown-format")),
    "of a number": ({"type": "integer", "format": "int32"}, []),
    "of no type": ({"format": "x", "x-kubernetes-int-or-string": True}, []),
    "of items": ({"type": "array", "items": text("x")}, told("x")),
    "of values": ({"type": "object", "additionalProperties": text("x")}, told("x")),
    "of an alternative": ({"type": "string", "anyOf": [text("x")], "not": text("y")}, told("y", "x")),
    "twice": ({"type": "object", "properties": {"b": text("x"), "c": text("x")}}, told("x")),
    "with quotes": (text('"'), ['unrecognized format "\\""']),
}


@pytest.mark.parametrize("case", CASES)
def test_new_definitions(case: str) -> None:
    schema, expected = CASES[case]
    assert sorted(definition_warnings(definition(schema), None)) == sorted(expected)


@pytest.mark.parametrize("name", KNOWN)
def test_known_formats(name: str) -> None:
    assert definition_warnings(definition(text(name)), None) == []


def test_every_version_is_looked_at() -> None:
    assert definition_warnings(definition(text("a"), text("b")), None) == told("a", "b")


def test_what_a_definition_had_is_not_told_again() -> None:
    old = definition(text("a"))
    assert definition_warnings(definition(text("a")), old) == []
    assert definition_warnings(definition(text("a"), text("b")), old) == told("b")
