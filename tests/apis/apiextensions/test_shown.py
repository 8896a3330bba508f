"""How faults show a version of a definition: as the server has it inside."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.field_errors import render
from tiphys.apis.apiextensions.shown import shown_version

EMPTY = (
    '"ID":"","Schema":"","Ref":null,"Description":"","Type":"","Nullable":false,"Format":"","Title":"","Default":null,'
    '"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,'
    '"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,'
    '"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,'
    '"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,'
    '"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,'
    '"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null'
)


def schema(**shown: str) -> str:
    """A schema as it is shown, with these fields in it."""
    fields = (field.split(":") for field in EMPTY.split(","))
    return "{" + ",".join(f"{name}:{shown.get(name.strip(chr(34)), empty)}" for name, empty in fields) + "}"


RULE = (
    '{"Rule":"true","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}'
)
SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, schema()),
    "plain": (
        {"type": "string", "nullable": True, "maxLength": 3, "enum": ["a"], "default": {"b": 1, "a": 2}},
        schema(Type='"string"', Nullable="true", MaxLength="3", Enum='["a"]', Default='{"a":2,"b":1}'),
    ),
    "items": ({"items": {}}, schema(Items=f'{{"Schema":{schema()},"JSONSchemas":null}}')),
    "many items": ({"items": [{}]}, schema(Items=f'{{"Schema":null,"JSONSchemas":[{schema()}]}}')),
    "more, whatever": (
        {"additionalProperties": True},
        schema(AdditionalProperties='{"Allows":true,"Schema":null}'),
    ),
    "more": (
        {"additionalProperties": {"type": "integer"}},
        schema(
            AdditionalProperties=f'{{"Allows":true,"Schema":{schema(Type=chr(34) + "integer" + chr(34))}}}'
        ),
    ),
    "below": (
        {"properties": {"b": {}, "a": {}}, "not": {}, "anyOf": [{}]},
        schema(AnyOf=f"[{schema()}]", Not=schema(), Properties=f'{{"a":{schema()},"b":{schema()}}}'),
    ),
    "extensions": (
        {"x-kubernetes-list-type": "set", "x-kubernetes-validations": [{"rule": "true"}]},
        schema(XListType='"set"', XValidations=f"[{RULE}]"),
    ),
}


@pytest.mark.parametrize(("given", "expected"), SCHEMAS.values(), ids=SCHEMAS)
def test_schemas(given: dict[str, Any], expected: str) -> None:
    shown = render(shown_version({"name": "v1", "schema": {"openAPIV3Schema": given}}, ()))
    lead = '{"Name":"v1","Served":false,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":{"OpenAPIV3Schema":'
    rest = '},"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}'
    assert shown == lead + expected + rest


def test_all_but_the_schema() -> None:
    version = {
        "name": "v1",
        "served": True,
        "schema": {"openAPIV3Schema": {}},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".a", "statusReplicasPath": ".b"}},
        "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}],
        "selectableFields": [{"jsonPath": ".a"}],
    }
    assert render(shown_version(version, ("schema",))) == (
        '{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,'
        '"Subresources":{"Status":{},"Scale":{"SpecReplicasPath":".a","StatusReplicasPath":".b","LabelSelectorPath":null}},'
        '"AdditionalPrinterColumns":[{"Name":"A","Type":"string","Format":"","Description":"","Priority":0,"JSONPath":".a"}],'
        '"SelectableFields":[{"JSONPath":".a"}]}'
    )
