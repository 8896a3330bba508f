"""Messages that show a number, as the documentation writes them, cost little enough to be allowed."""

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


@pytest.mark.parametrize(
    ("kind", "limit", "shown"),
    [
        ({"type": "integer"}, 5, "5"),
        ({"type": "number"}, 1.5, "1.5"),
        ({"type": "string", "format": "duration"}, "1s", "1s"),
    ],
    ids=["integer", "number", "duration"],
)
async def test_a_number_in_a_message(api: Any, kind: dict[str, Any], limit: Any, shown: str) -> None:
    message = '"x exceeded max limit of " + string(self.maxLimit)'
    await api.create(DEFINITIONS, definition(message, x=kind, maxLimit=kind))
    await api.settle()
    more = "2s" if isinstance(limit, str) else limit + 1
    spec = {"x": more, "maxLimit": limit}
    one = {"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "a"}, "spec": spec}
    answer = await api("POST", LIMITS, one)
    assert answer.status == 422
    assert answer.json["details"]["causes"][0]["message"].endswith(f": x exceeded max limit of {shown}")


async def test_a_text_without_a_bound_in_a_list_without_one_is_still_too_dear(api: Any) -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    number = {"type": "integer"}
    message = "self.all.map(one, one + string(self.x)).map(one, one + one).join(', ')"
    answer = await api("POST", DEFINITIONS, definition(message, x=number, maxLimit=number, all=texts))
    assert answer.status == 422
    assert "estimated messageExpression cost exceeds budget" in answer.message
