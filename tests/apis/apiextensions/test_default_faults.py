"""Defaults of definitions: values that their schemas let through, in objects that are whole."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import Budget
from tiphys.apis.apiextensions.default_faults import default_faults

INTEGER = {"type": "integer"}
TEXT = {"type": "string"}


def ruled(schema: dict[str, Any], *rules: dict[str, Any] | str) -> dict[str, Any]:
    made = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, "x-kubernetes-validations": made}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


POSITIVE = {"rule": "self > 0", "message": "must be positive"}
OPTIONAL = {
    "rule": "oldSelf.hasValue() || self > 5",
    "message": "new ones are large",
    "optionalOldSelf": True,
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}
LIST = {"type": "array", "items": TEXT}
KIND = (
    "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or "
    "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex "
    "used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
DEFAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "sound": (thing(a={**INTEGER, "default": 1}, b={**TEXT, "default": "x"}), []),
    "wrong type": (
        thing(a={**INTEGER, "default": "x"}),
        [
            's.properties[a].default: Invalid value: "string": s.properties[a].default in body must be of type integer: "string"'
        ],
    ),
    "against its own rule": (
        thing(a=ruled({**INTEGER, "default": -1}, POSITIVE)),
        ["s.properties[a].default: Invalid value: -1: must be positive"],
    ),
    "against a rule inside": (
        thing(o={**thing(a=ruled(INTEGER, POSITIVE)), "default": {"a": 0}}),
        ["s.properties[o].default.a: Invalid value: 0: must be positive"],
    ),
    "a transition that holds when nothing changes": (
        thing(a=ruled({**INTEGER, "default": 1}, "self == oldSelf")),
        [],
    ),
    "a transition that never holds": (
        thing(a=ruled({**INTEGER, "default": 1}, {"rule": "self > oldSelf", "message": "grows"})),
        ["s.properties[a].default: Invalid value: 1: grows"],
    ),
    "where there was nothing": (
        thing(a=ruled({**INTEGER, "default": 1}, OPTIONAL)),
        ["s.properties[a].default: Invalid value: 1: new ones are large"],
    ),
    "rules of those around it are not asked": (
        ruled(thing(a={**INTEGER, "default": 1}), "self.a > 5"),
        [],
    ),
    "unknown fields": (
        thing(o={**thing(a=INTEGER), "default": {"a": 1, "b": 2}}),
        ['s.properties[o].default: Invalid value: {"a":1,"b":2}: must not have unknown fields'],
    ),
    "required fields are not filled in": (
        thing(
            o={
                "type": "object",
                "required": ["a"],
                "properties": {"a": {**INTEGER, "default": 1}},
                "default": {},
            }
        ),
        ["s.properties[o].default.a: Required value"],
    ),
    "in items": (
        thing(l={"type": "array", "items": thing(a=ruled({**INTEGER, "default": 0}, POSITIVE))}),
        ["s.properties[l].items.properties[a].default: Invalid value: 0: must be positive"],
    ),
    "the same twice in a set": (
        thing(l={"type": "array", "x-kubernetes-list-type": "set", "items": TEXT, "default": ["a", "a"]}),
        [],
    ),
    "a name of its own": (
        thing(metadata=thing(name={**TEXT, "default": ".."}, generateName={**TEXT, "default": "a"})),
        [
            's.properties[metadata].properties[name].default: Invalid value: "..": must result in valid metadata: '
            "metadata.name: Invalid value: \"..\": may not be '..'"
        ],
    ),
    "a kind and metadata of its own": (
        thing(kind={**TEXT, "default": "%"}, metadata={"type": "object", "default": {"labels": 1}}),
        [
            f's.properties[kind].default: Invalid value: "%": must result in valid metadata: kind: Invalid value: "%": {KIND}',
            's.properties[metadata].default: Invalid value: {"labels":1}: must result in valid metadata: metadata: '
            'Invalid value: {"labels":1}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of '
            "type map[string]string",
        ],
    ),
    "an object of no kind": (
        thing(e={**EMBEDDED, "default": {"apiVersion": "v1", "metadata": {"name": "/"}}}),
        [
            "s.properties[e].default.kind: Required value",
            "s.properties[e].default.metadata.name: Invalid value: \"/\": may not contain '/'",
        ],
    ),
    "an object that is none": (
        thing(o={**thing(e=EMBEDDED), "default": {"e": {"kind": 1}}}),
        ["s.properties[o].default.e.kind: Invalid value: 1: must be a string"],
    ),
    "a list of objects": (
        thing(l={"type": "array", "items": EMBEDDED, "default": [{"apiVersion": "v1", "kind": "A"}, {}]}),
        [f"s.properties[l].default[1].{key}: Required value" for key in ("apiVersion", "kind")],
    ),
    "metadata inside of an object inside": (
        thing(e={**EMBEDDED, **thing(metadata=thing(finalizers={**LIST, "default": ["a b"]}))}),
        [
            's.properties[e].properties[metadata].properties[finalizers].default: Invalid value: ["a b"]: must result '
            f'in valid metadata: metadata.finalizers: Invalid value: "a b": {NAME}'
        ],
    ),
    "no answer": (
        thing(o=ruled({**thing(a=INTEGER), "default": {}}, "self.a > 1")),
        ['s.properties[o].default: Invalid value: "object": no such key: a evaluating rule: self.a > 1'],
    ),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_values_that_the_schema_lets_through(name: str) -> None:
    schema, wanted = DEFAULTS[name]
    assert [str(fault) for fault in default_faults(schema, "s")] == wanted


def test_defaults_of_older_definitions_may_have_unknown_fields() -> None:
    schema = thing(o={**thing(a=INTEGER), "default": {"a": 1, "b": 2}})
    assert default_faults(schema, "s", pruned=False) == []


OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
COSTS = thing(
    e=thing(
        metadata={
            **thing(name=ruled({**TEXT, "default": "singleton"}, "self == 'singleton'")),
            "x-kubernetes-embedded-resource": True,
        }
    ),
    v=ruled({**TEXT, "default": "kube-everything"}, "self.startsWith('kube')"),
    o=ruled({**thing(a=INTEGER, b=INTEGER), "default": {"a": 1, "b": 2}}, "self.a < self.b"),
)
"""Rules that cost 2, 3 and 5."""


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        (10, []),
        (9, [f's.properties[o].default: Invalid value: "object": {OUT_OF_BUDGET}']),
        (
            0,
            [
                f's.properties[e].properties[metadata].properties[name].default: Invalid value: "string": {OUT_OF_BUDGET}'
            ],
        ),
    ],
)
def test_defaults_pay_for_one_run_of_two_and_end_with_the_budget(budget: int, wanted: list[str]) -> None:
    assert [str(fault) for fault in default_faults(COSTS, "s", budget=Budget(budget))] == wanted
