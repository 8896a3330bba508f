"""What expressions give, as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import Environment, EvaluationError, declare, to_json, types
from tiphys.apimachinery.schema.build import build_custom

SCHEMA = {
    "type": "object",
    "properties": {
        "when": {"type": "string", "format": "date-time"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    },
}
VALUE = {"when": "2020-01-01T00:00:00Z", "tags": {"a": "b"}, "list": [{"x": 1, "kept": True}], "kept": 1}
CASES: dict[str, Any] = {
    "null": None,
    "true": True,
    "7u": 7,
    "-3": -3,
    "1.5": 1.5,
    "'é'": "é",
    "b'ab'": "YWI=",
    "timestamp('2020-01-01T00:00:00.5Z')": "2020-01-01T00:00:00.5Z",
    "duration('90s')": "90s",
    "optional.of(1)": 1,
    "optional.none()": None,
    "[1, 2]": [1, 2],
    "{'a': [duration('1s')]}": {"a": ["1s"]},
    "{true: 1, false: 2}": {"true": 1, "false": 2},
    "{1: 'x'}": {"1": "x"},
    "{1u: 'x'}": {"1": "x"},
    "self": VALUE,
    "self.tags": {"a": "b"},
    "self.list": [{"x": 1, "kept": True}],
    "[self.when]": ["2020-01-01T00:00:00Z"],
    "Object{list: [Object.list{x: 2}]}": {"list": [{"x": 2}]},
}


def _structs(name: str) -> types.Type | None:
    return types.object_of(name, None) if name.startswith("Object") else None


def environment() -> Environment:
    declared = declare(build_custom(SCHEMA))
    assert declared is not None
    return Environment({"self": declared}, structs=_structs)


@pytest.mark.parametrize("expression", CASES)
def test_to_json(expression: str) -> None:
    found = to_json(environment().compile(expression).evaluate({"self": VALUE}))
    assert found == CASES[expression]
    assert type(found) is type(CASES[expression])


@pytest.mark.parametrize("expression", ["int", "1.0 / 0.0", "[ip('1.2.3.4')]", "{'a': 0.0 / 0.0}"])
def test_not_json(expression: str) -> None:
    with pytest.raises(EvaluationError, match="type conversion error from"):
        to_json(environment().compile(expression).evaluate({}))
