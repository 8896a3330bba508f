"""Schemas of definitions that are not structural, and patterns that are none."""

# ruff: noqa: E501 -- the API's texts are longer than our lines

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.test_crd_rule_faults import INTEGER, TEXT, thing

from tiphys.apis.apiextensions.structural_rules import structural_faults

PATTERNS: dict[str, str] = {
    "a(?=b)": "invalid or unsupported Perl syntax: `(?=`",
    r"(a)\\1": r"invalid escape sequence: `\1`",
    "a**": "invalid nested repetition operator: `**`",
    r"^\\pL[[:alpha:]]\\z$": "",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_those_of_go(pattern: str) -> None:
    text = pattern.replace("\\\\", "\\")
    found = [str(fault) for fault in structural_faults(thing(a={"type": "string", "pattern": text}), "s")]
    why = f"must be a valid regular expression, but isn't: error parsing regexp: {PATTERNS[pattern]}"
    wanted = [f's.properties[a].pattern: Invalid value: "{pattern}": {why}']
    assert found == (wanted if PATTERNS[pattern] else [])


NOT_STRUCTURAL: dict[str, tuple[dict[str, Any], list[str]]] = {
    "root map": (
        {"type": "object", "additionalProperties": TEXT},
        ["s.additionalProperties: Forbidden: must not be used at the root"],
    ),
    "embedded map": (
        thing(
            e={
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True,
                "additionalProperties": TEXT,
            }
        ),
        [
            "s.properties[e].additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set"
        ],
    ),
    "number or text with a type, which counts for nothing": (
        thing(a={"type": "string", "x-kubernetes-int-or-string": True, "pattern": "^[0-9]+$"}),
        [],
    ),
    "number or text or anything": (
        thing(a={"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
        [
            "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true"
        ],
    ),
    "structure below junctors": (
        {
            **thing(a=TEXT),
            "anyOf": [
                {
                    "type": "object",
                    "nullable": True,
                    "default": {},
                    "additionalProperties": TEXT,
                    "x-kubernetes-list-type": "set",
                }
            ],
        },
        [
            "s.anyOf[0].additionalProperties: Forbidden: must be undefined to be structural",
            "s.anyOf[0].default: Forbidden: must be undefined to be structural",
            "s.anyOf[0].nullable: Forbidden: must be false to be structural",
            "s.anyOf[0].type: Forbidden: must be empty to be structural",
            "s.anyOf[0].x-kubernetes-list-type: Forbidden: must be undefined to be structural",
        ],
    ),
    "no others below junctors": ({**thing(a=TEXT), "anyOf": [{"additionalProperties": False}]}, []),
    "a root of anything": ({"x-kubernetes-preserve-unknown-fields": True}, []),
    "an embedded map without fields": (
        thing(e={"type": "object", "x-kubernetes-embedded-resource": True, "additionalProperties": TEXT}),
        [
            "s.properties[e].additionalProperties: Forbidden: must not be used if x-kubernetes-embedded-resource is set",
            "s.properties[e].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    ),
    "number or text without saying so": (thing(a={**TEXT, "anyOf": [INTEGER, TEXT]}), []),
    "number or text in the first allOf only": (
        thing(
            a={
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": [INTEGER, TEXT], "title": "t"}, {"anyOf": [INTEGER, TEXT]}],
            }
        ),
        [
            "s.properties[a].allOf[0].title: Forbidden: must be empty to be structural",
            "s.properties[a].allOf[1].anyOf[0].type: Forbidden: must be empty to be structural",
            "s.properties[a].allOf[1].anyOf[1].type: Forbidden: must be empty to be structural",
        ],
    ),
    "a pattern below a junctor": (
        {**thing(a=TEXT), "not": {"properties": {"a": {"pattern": "("}}}},
        [
            's.not.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing closing ): `(`'
        ],
    ),
    "metadata with a text": (
        thing(metadata={"type": "object", "description": "of the object"}),
        [
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        ],
    ),
    "metadata with limits that say nothing": (
        thing(metadata={"type": "object", "minProperties": 0}),
        [
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        ],
    ),
    "metadata and no others": (
        thing(metadata={"type": "object", "nullable": False, "additionalProperties": False}),
        [
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        ],
    ),
    "metadata of another type": (
        thing(metadata={"type": "array", "items": TEXT}, kind=INTEGER),
        [
            's.properties[kind].type: Invalid value: "integer": must be string',
            's.properties[metadata].type: Invalid value: "array": must be object',
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    ),
    "metadata with a name's pattern": (
        thing(metadata=thing(name={**TEXT, "pattern": "a"}, generateName={**TEXT, "maxLength": 1})),
        [],
    ),
    "metadata of an embedded object, which may say more": (
        thing(
            e={"x-kubernetes-embedded-resource": True, **thing(metadata=thing(labels={"type": "object"}))},
        ),
        [],
    ),
    "fields that only junctors of the root name": (
        {
            **thing(a=TEXT, l={"type": "array", "items": thing()}, f={"type": "object"}),
            "x-kubernetes-preserve-unknown-fields": True,
            "oneOf": [{"properties": {"b": {"minLength": 1}, "l": {"items": {"properties": {"c": {}}}}}}],
            "not": {"properties": {"a": {"items": {}}}},
        },
        [
            "s.properties[a].items: Required value: because it is defined in s.not.properties[a].items",
            "s.properties[b]: Required value: because it is defined in s.oneOf[0].properties[b]",
            "s.properties[l].items.properties[c]: Required value: because it is defined in s.oneOf[0].properties[l].items.properties[c]",
        ],
    ),
    "fields that junctors further down name": (
        thing(o={**thing(a=TEXT), "oneOf": [{"properties": {"b": {}}}]}),
        [],
    ),
    "metadata below junctors": (
        {**thing(metadata={"type": "object"}), "not": {"properties": {"metadata": {"required": ["name"]}}}},
        ["s.not.properties[metadata]: Forbidden: must not be specified in a nested context"],
    ),
}


@pytest.mark.parametrize("name", NOT_STRUCTURAL)
def test_what_is_not_structural(name: str) -> None:
    schema, wanted = NOT_STRUCTURAL[name]
    assert [str(fault) for fault in structural_faults(schema, "s")] == wanted
