"""Messages that show a number: put into a format they are allowed, joined to a text they are not."""

from __future__ import annotations

from typing import Any

import pytest

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LIMITS = "/apis/example.com/v1/namespaces/default/limits"


def definition(message: str, **types: dict[str, Any]) -> dict[str, Any]:
    rule = {"rule": "self.x <= self.maxLimit", "messageExpression": message}
    schema = {
        "type": "object", "properties": {"spec": {
            "type": "object", "properties": types, "x-kubernetes-validations": [rule],
        }},
    }  # fmt: skip
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "limits", "singular": "limit", "kind": "Limit"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "limits.example.com"}, "spec": spec}


INTEGER = {"type": "integer"}
RULE = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].messageExpression"
MORE = (
    "exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, "
    "maxProperties, and maxLength where arrays, maps, and strings are declared)"
)


@pytest.mark.parametrize(
    ("kind", "limit", "verb", "shown"),
    [
        (INTEGER, 5, "%d", "5"),
        ({"type": "number"}, 1.5, "%s", "1.5"),
        ({"type": "string", "format": "duration"}, "1s", "%s", "1s"),
    ],
    ids=["integer", "number", "duration"],
)
async def test_a_number_in_a_format(
    api: Any, kind: dict[str, Any], limit: Any, verb: str, shown: str
) -> None:
    message = f"'x exceeded max limit of {verb}'.format([self.maxLimit])"
    await api.create(DEFINITIONS, definition(message, x=kind, maxLimit=kind))
    await api.settle()
    more = "2s" if isinstance(limit, str) else limit + 1
    spec = {"x": more, "maxLimit": limit}
    one = {"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "a"}, "spec": spec}
    answer = await api("POST", LIMITS, one)
    assert answer.status == 422
    assert answer.json["details"]["causes"][0]["message"].endswith(f": x exceeded max limit of {shown}")


@pytest.mark.parametrize(
    "kind",
    [
        {**INTEGER, "minimum": 0, "maximum": 9}, {"type": "number"}, {"type": "boolean"},
        {"type": "string", "format": "duration"}, {"type": "string", "format": "date"},
    ],
    ids=["integer", "number", "boolean", "duration", "date"],
)  # fmt: skip
async def test_its_text_is_of_unknown_length_to_what_joins_it(api: Any, kind: dict[str, Any]) -> None:
    message = '"x exceeded max limit of " + string(self.maxLimit)'
    answer = await api("POST", DEFINITIONS, definition(message, x=kind, maxLimit=kind))
    told = [(one["field"], one["message"]) for one in answer.json["details"]["causes"]]
    total = "estimated rule cost total"
    assert told == [
        (RULE, f"Forbidden: estimated messageExpression cost {MORE}"),
        (RULE, f"Forbidden: contributed to {total} exceeding cost limit for entire OpenAPIv3 schema"),
        (
            "spec.validation.openAPIV3Schema",
            f"Forbidden: x-kubernetes-validations {total} for entire OpenAPIv3 schema {MORE}",
        ),
    ]


async def test_alone_it_is_a_message(api: Any) -> None:
    await api.create(DEFINITIONS, definition("string(self.maxLimit)", x=INTEGER, maxLimit=INTEGER))
