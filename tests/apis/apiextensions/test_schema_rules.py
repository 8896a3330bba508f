"""What each node of a definition's schema may say, and what an update may leave as it was."""

# ruff: noqa: E501 -- the API's texts are longer than our lines

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.field_errors import render
from tiphys.apimachinery.meta import GVK
from tiphys.apis.apiextensions.shown import shown_items
from tiphys.apis.strategies import strategy_for

CRD = strategy_for(GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition"))
TEXT = {"type": "string"}
S = "spec.validation.openAPIV3Schema"
STATUS = {"status": {}}
AT_THE_ROOT = (
    "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems "
    "UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the "
    "root of the schema if the status subresource is enabled"
)


def thing(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def items(of: dict[str, Any], kind: str = "map", *keys: str) -> dict[str, Any]:
    return thing(
        l={
            "type": "array",
            "items": of,
            "x-kubernetes-list-type": kind,
            **({"x-kubernetes-list-map-keys": list(keys)} if keys else {}),
        }
    )


def crd(schema: dict[str, Any], **version: Any) -> dict[str, Any]:
    whole = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    obj = {
        "metadata": {"name": "foos.a.example"},
        "spec": {
            "group": "a.example",
            "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [whole],
            "conversion": {"strategy": "None"},
        },
    }
    CRD.prepare_create(obj)
    return obj


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "types": (
        thing(a={"type": "bogus"}, b={"type": "null"}),
        [
            f'{S}.properties[a].type: Unsupported value: "bogus": supported values: "array", "boolean", "integer", "number", "object", "string"',
            f'{S}.properties[b].type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string"',
            f"{S}.properties[b].type: Forbidden: type cannot be set to null, use nullable as an alternative",
        ],
    ),
    "a type below a junctor is refused twice": (
        {**thing(a=TEXT), "anyOf": [{"type": "bogus"}]},
        [
            f"{S}.anyOf[0].type: Forbidden: must be empty to be structural",
            f'{S}.anyOf[0].type: Unsupported value: "bogus": supported values: "array", "boolean", "integer", "number", "object", "string"',
        ],
    ),
    "what hides the structure is told alone": (
        thing(a={"id": "x", "patternProperties": {"a": TEXT}, "dependencies": {}}),
        [
            f"{S}.properties[a].id: Forbidden: id is not supported",
            f"{S}.properties[a].patternProperties: Forbidden: patternProperties is not supported",
            f"{S}.properties[a].dependencies: Forbidden: dependencies is not supported",
        ],
    ),
    "another language's schema": (
        {**thing(a=TEXT), "$schema": "http://json-schema.org/schema#"},
        [f"{S}: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"],
    ),
    "a null root": (
        {**thing(a=TEXT), "nullable": True},
        [f"{S}.nullable: Forbidden: nullable cannot be true at the root"],
    ),
    "anything beside fields": (thing(o={**thing(a=TEXT), "additionalProperties": True}), []),
    "nothing beside fields": (
        thing(o={**thing(a=TEXT), "additionalProperties": False}),
        [
            f"{S}.properties[o].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
        ],
    ),
    "defaults in the metadata of the object": (
        thing(metadata=thing(name={**TEXT, "default": "a"}), kind={**TEXT, "default": "A"}),
        [
            f"{S}.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata",
            f"{S}.properties[kind].default: Forbidden: must not be set in top-level kind",
        ],
    ),
    "defaults in the metadata of what is embedded": (
        thing(
            e={
                "x-kubernetes-embedded-resource": True,
                **thing(
                    metadata=thing(
                        name={**TEXT, "default": 1},
                        labels={"type": "object", "additionalProperties": {**TEXT, "default": "a"}},
                    )
                ),
            }
        ),
        [
            f'{S}.properties[e].properties[metadata].properties[name].default: Invalid value: 1: must result in valid metadata: metadata: Invalid value: {{"name":1}}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string',
            f"{S}.properties[e].properties[metadata].properties[labels].additionalProperties.default: Forbidden: must not be set inside additionalProperties applying to object metadata",
        ],
    ),
    "an object in metadata": (
        thing(
            e={
                "x-kubernetes-embedded-resource": True,
                **thing(
                    metadata=thing(
                        o={
                            "type": "object",
                            "x-kubernetes-embedded-resource": True,
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    )
                ),
            }
        ),
        [
            f"{S}.properties[e].properties[metadata].properties[o].x-kubernetes-embedded-resource: Forbidden: must not be used inside of resource meta"
        ],
    ),
    "a set of parts": (
        items(thing(a=TEXT), "set"),
        [
            f"{S}.properties[l].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"
        ],
    ),
    "a set of sets": (
        items({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, "set"),
        [
            f'{S}.properties[l].items.x-kubernetes-list-type: Invalid value: "set": must be atomic as item of a list with x-kubernetes-list-type=set'
        ],
    ),
    "a set of whole objects": (items({**thing(a=TEXT), "x-kubernetes-map-type": "atomic"}, "set"), []),
    "a set of nulls": (
        items({**TEXT, "nullable": True}, "set"),
        [
            f"{S}.properties[l].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"
        ],
    ),
    "keys that may be missing": (
        items(
            {**thing(a=TEXT, b={**TEXT, "nullable": True, "default": "b"}), "nullable": True}, "map", "a", "b"
        ),
        [
            f"{S}.properties[l].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
            f"{S}.properties[l].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            f"{S}.properties[l].items.properties[b].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
        ],
    ),
    "keys that are none": (
        items({**thing(a=thing(b=TEXT)), "required": ["a"]}, "map", "a", "x", "x"),
        [
            f'{S}.properties[l].items.properties[a].type: Invalid value: "object": must be a scalar type if parent array\'s x-kubernetes-list-type is map',
            f'{S}.properties[l].x-kubernetes-list-map-keys: Invalid value: ["a","x","x"]: entries must all be names of item properties',
            f'{S}.properties[l].x-kubernetes-list-map-keys: Invalid value: ["a","x","x"]: entries must all be names of item properties',
            f'{S}.properties[l].x-kubernetes-list-map-keys: Invalid value: ["a","x","x"]: must not contain duplicate entries',
        ],
    ),
    "keys of many schemas": (
        items([TEXT], "map", "a"),  # type: ignore[arg-type]
        [
            f"{S}.properties[l].items: Forbidden: items must be a schema object and not an array",
            f"{S}.properties[l].items: Invalid value: {render(shown_items([TEXT]))}: must only have a single schema if x-kubernetes-list-type is map",
        ],
    ),
    "keys of no objects": (
        items(TEXT, "map", "a"),
        [
            f'{S}.properties[l].items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map'
        ],
    ),
    "rules of a broken part are not compiled, others are": (
        thing(
            o={**items({**TEXT, "nullable": True}, "set"), "x-kubernetes-validations": [{"rule": "nope"}]},
            p={**TEXT, "x-kubernetes-validations": [{"rule": "self"}]},
        ),
        [
            f"{S}.properties[o].properties[l].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set",
            f'{S}.properties[p].x-kubernetes-validations[0].rule: Invalid value: {{"Rule":"self","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}}: cel expression must evaluate to a bool',
        ],
    ),
}


def told(found: list[Any]) -> list[str]:
    return [str(fault) for fault in found]


@pytest.mark.parametrize(("schema", "expected"), CASES.values(), ids=CASES)
def test_new(schema: dict[str, Any], expected: list[str]) -> None:
    assert told(CRD.validate(crd(schema))) == expected


def test_root_where_the_status_is_a_resource_of_its_own() -> None:
    schema = {**thing(a=TEXT), "enum": [{}], "title": "t"}
    assert told(CRD.validate(crd(schema))) == []
    (fault,) = CRD.validate(crd(schema, subresources=STATUS))
    assert str(fault).startswith(
        f'{S}: Invalid value: {{"ID":"","Schema":"","Ref":null,"Description":"","Type":"object",'
    )
    assert str(fault).endswith(AT_THE_ROOT)
    found = told(CRD.validate(crd({**schema, "type": "string"}, subresources=STATUS)))
    assert found == [
        f'{S}.type: Invalid value: "string": only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
        f'{S}.type: Invalid value: "string": must be object at the root',
    ]


TOLERATED = {
    "types": ("a type", {"type": "bogus"}),
    "sets": ("a set", items(thing(a=TEXT), "set")["properties"]["l"]),
    "keys": ("keys", items(thing(a=TEXT), "map", "a")["properties"]["l"]),
    "defaults": ("a default", {**thing(a=TEXT), "default": {"b": 1}}),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_stood_before_later_rules_may_stay(name: str) -> None:
    _, node = TOLERATED[name]
    old, new, sound = crd(thing(x=node)), crd(thing(x=node, y=TEXT)), crd(thing(x=TEXT))
    assert told(CRD.validate(new)) != []
    assert told(CRD.validate_update(new, old)) == []
    assert told(CRD.validate_update(new, sound)) == told(CRD.validate(new))
