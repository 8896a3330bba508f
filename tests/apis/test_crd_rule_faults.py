"""CEL rules of definitions: texts, types, costs, and where old values can be had."""

# ruff: noqa: E501 -- the API's texts are longer than our lines

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apis.apiextensions.rule_faults import compile_faults, text_faults, too_costly
from tiphys.apis.apiextensions.rules import field_path
from tiphys.apis.apiextensions.structural_rules import structural_faults
from tiphys.apis.apiextensions.validation import validate_crd_update

INTEGER, TEXT = {"type": "integer"}, {"type": "string"}
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
    "are declared)"
)  # fmt: skip
CONTRIBUTED = (
    "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
)
RULE = "x-kubernetes-validations[0]"


NO_NUMBER = "string(int('x'))"
BELOW = r"self.b \u003c 1"


def ruled(schema: dict[str, Any], *rules: dict[str, Any] | str) -> dict[str, Any]:
    made = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, "x-kubernetes-validations": made}


def thing(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


TEXTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "fine": ({"rule": "true"}, []),
    "no rule": ({"rule": " "}, [f"s.{RULE}.rule: Required value: rule is not specified"]),
    "blank message": (
        {"rule": "true", "message": " "},
        [f's.{RULE}.message: Invalid value: " ": must be non-empty if specified'],
    ),
    "message of two lines": (
        {"rule": "true", "message": "a\nb"},
        [f's.{RULE}.message: Invalid value: "a\\nb": must not contain line breaks'],
    ),
    "rule of two lines": (
        {"rule": "true &&\ntrue"},
        [f"s.{RULE}.message: Required value: message must be specified if rule contains line breaks"],
    ),
    "rule of two lines with a message": ({"rule": "true &&\ntrue", "message": "no"}, []),
    "blank message expression": (
        {"rule": "true", "messageExpression": " "},
        [f"s.{RULE}.messageExpression: Required value: messageExpression must be non-empty if specified"],
    ),
    "unknown reason": (
        {"rule": "true", "reason": "Nope"},
        [
            f's.{RULE}.reason: Unsupported value: "Nope": supported values: "FieldValueDuplicate", '
            '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"'
        ],
    ),
    "field path": ({"rule": "true", "fieldPath": ".a"}, []),
    "unknown field path": (
        {"rule": "true", "fieldPath": ".nope"},
        [f's.{RULE}.fieldPath: Invalid value: ".nope": must be a valid path'],
    ),
    "blank field path": (
        {"rule": "true", "fieldPath": "  "},
        [
            f's.{RULE}.fieldPath: Invalid value: "  ": must be non-empty if specified',
            f's.{RULE}.fieldPath: Invalid value: "  ": must be a valid path',
        ],
    ),
    "field path with blanks around": (
        {"rule": "true", "fieldPath": " .a "},
        [f's.{RULE}.fieldPath: Invalid value: " .a ": must be a valid path'],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str) -> None:
    rule, wanted = TEXTS[name]
    assert [str(fault) for fault in text_faults(ruled(thing(a=INTEGER), rule), "s")] == wanted


PATHS: dict[str, str | None] = {
    ".a": "a",
    ".o.x": "o.x",
    ".m['k'].x": "m[k].x",
    ".m['it\\'s'].x": "m[it's].x",
    ".m.k": "m[k]",
    "['a']": "a",
    ".o": "o",
    "a": None,
    ".nope": None,
    ".a.b": None,
    ".l[0]": None,
    ".m['\\q']": None,
    ".o.": None,
}


@pytest.mark.parametrize("path", PATHS)
def test_field_path(path: str) -> None:
    inner = thing(x=INTEGER)
    schema = thing(
        a=INTEGER, o=inner, m={"type": "object", "additionalProperties": inner}, l={"type": "array"}
    )
    assert field_path(path, build_custom(schema)) == PATHS[path]


def whole(rule: str, **more: str) -> str:
    shown = {"Rule": rule, "Message": "", "MessageExpression": "", **more}
    text = ",".join(f'"{key}":"{value}"' for key, value in shown.items())
    return f'{{{text},"Reason":null,"FieldPath":"","OptionalOldSelf":null}}'


COMPILED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "fine": (ruled(thing(a=INTEGER), "self.a > 1"), []),
    "undeclared": (
        ruled(thing(a=INTEGER), "self.b < 1"),
        [
            f"s.{RULE}.rule: Invalid value: {whole(BELOW)}: compilation failed: "
            "ERROR: <input>:1:5: undefined field 'b'\n | self.b < 1\n | ....^"
        ],
    ),
    "no bool": (
        ruled(thing(a=INTEGER), "self.a"),
        [f"s.{RULE}.rule: Invalid value: {whole('self.a')}: cel expression must evaluate to a bool"],
    ),
    "message that does not compile": (
        ruled(thing(a=INTEGER), {"rule": "true", "messageExpression": "x"}),
        [
            f"s.{RULE}.messageExpression: Invalid value: {whole('true', MessageExpression='x')}: messageExpression "
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^"
        ],
    ),
    "message that is no text": (
        ruled(thing(a=INTEGER), {"rule": "true", "messageExpression": "1"}),
        [
            f"s.{RULE}.messageExpression: Invalid value: {whole('true', MessageExpression='1')}: "
            "messageExpression must evaluate to a string"
        ],
    ),
    "costly": (
        thing(l={"type": "array", "items": ruled(TEXT, "self.contains('a')")}),
        [
            f"s.properties[l].items.{RULE}.rule: Forbidden: estimated rule cost exceeds budget by factor of more "
            f"than 100x {ADVICE}",
            f"s.properties[l].items.{RULE}.rule: {CONTRIBUTED}",
            "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire "
            f"OpenAPIv3 schema exceeds budget by factor of more than 100x {ADVICE}",
        ],
    ),
    "bounded": (
        thing(l={"type": "array", "maxItems": 10, "items": ruled({**TEXT, "maxLength": 10}, "self.contains('a')")}),
        [],
    ),
    "one text in another, twenty times": (
        thing(l={"type": "array", "maxItems": 20, "items": ruled(
            thing(a={**TEXT, "maxLength": 4096}, b={**TEXT, "maxLength": 4096}), "!self.a.contains(self.b)")}),
        [
            f"s.properties[l].items.{RULE}.rule: Forbidden: estimated rule cost exceeds budget by factor of 5.4x "
            f"{ADVICE}"
        ],
    ),
    "the same with smaller bounds": (
        thing(l={"type": "array", "maxItems": 20, "items": ruled(
            thing(a={**TEXT, "maxLength": 4096}, b={**TEXT, "maxLength": 512}), "!self.a.contains(self.b)")}),
        [],
    ),
    "costly message": (
        ruled(thing(l={"type": "array", "items": TEXT}),
              {"rule": "true", "messageExpression": "self.l.map(x, self.l.join(x)).join('')"}),
        [
            f"s.{RULE}.messageExpression: Forbidden: estimated messageExpression cost exceeds budget by factor of "
            f"more than 100x {ADVICE}",
            f"s.{RULE}.messageExpression: {CONTRIBUTED}",
            "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire "
            f"OpenAPIv3 schema exceeds budget by factor of more than 100x {ADVICE}",
        ],
    ),
    "old value in a list": (
        thing(l={"type": "array", "items": ruled(INTEGER, "self >= oldSelf")}),
        [
            f's.properties[l].items.{RULE}.rule: Invalid value: "self >= oldSelf": oldSelf cannot be used on the '
            "uncorrelatable portion of the schema within s.properties[l]"
        ],
    ),
    "old value in a list by key": (
        thing(l={"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                 "maxItems": 10, "items": ruled(thing(k=TEXT, v=INTEGER), "self.v >= oldSelf.v")}),
        [],
    ),
    "the old value in a map of a type that is unknown": (
        thing(o={**thing(a=thing(b=ruled(INTEGER, "self >= oldSelf"))), "x-kubernetes-map-type": "future"}),
        [
            f's.properties[o].properties[a].properties[b].{RULE}.rule: Invalid value: "self >= oldSelf": oldSelf '
            "cannot be used on the uncorrelatable portion of the schema within s.properties[o]"
        ],
    ),
    "old value below an atomic map": (
        thing(o={**thing(a=ruled(INTEGER, "self >= oldSelf")), "x-kubernetes-map-type": "atomic"}),
        [],
    ),
    "optional old value": (
        ruled(thing(a=INTEGER), {"rule": "oldSelf.hasValue() || self.a > 1", "optionalOldSelf": True}),
        [],
    ),
    "optional old value that is not used": (
        ruled(thing(a=INTEGER), {"rule": "self.a > 1", "optionalOldSelf": False}),
        [
            f"s.{RULE}.optionalOldSelf: Invalid value: false: may not be set if oldSelf is not used in rule"
        ],
    ),
    "optional old value of a rule that does not compile": (
        ruled(thing(a=INTEGER), {"rule": "self.a", "optionalOldSelf": True}),
        [
            f"s.{RULE}.rule: Invalid value: {whole('self.a').replace('null}', 'true}')}: cel expression must evaluate to a bool",
            f"s.{RULE}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ],
    ),
    "message of a constant without a value": (
        ruled(thing(a=INTEGER), {"rule": "true", "messageExpression": "string(int('x'))"}),
        [
            f"s.{RULE}.messageExpression: Invalid value: {whole('true', MessageExpression=NO_NUMBER)}: "
            "messageExpression instantiation failed: type conversion error from 'string' to 'int'"
        ],
    ),
    "no type": (
        thing(a=ruled({"x-kubernetes-preserve-unknown-fields": True}, "true")),
        [
            "s.properties[a].x-kubernetes-validations: Internal error: internal error: failed to construct type "
            "information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"
        ],
    ),
    "names of the object": (ruled(thing(), "self.metadata.name.size() < 10 && self.kind == 'Foo'"), []),
    "labels of the object": (
        ruled(thing(), "has(self.metadata.labels)"),
        [
            f"s.{RULE}.rule: Invalid value: {whole('has(self.metadata.labels)')}: compilation failed: "
            "ERROR: <input>:1:4: undefined field 'labels'\n | has(self.metadata.labels)\n | ...^"
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str) -> None:
    schema, wanted = COMPILED[name]
    assert [str(fault) for fault in compile_faults(schema, "s")] == wanted


def test_many_rules_cost_too_much_together() -> None:
    one = {
        "type": "array",
        "maxItems": 900,
        "items": ruled({**TEXT, "maxLength": 25000}, "self.contains('a')"),
    }
    schema = thing(**{f"l{index}": one for index in range(12)})
    faults = [str(fault) for fault in compile_faults(schema, "s")]
    assert faults == [
        *(f"s.properties[l{index}].items.{RULE}.rule: {CONTRIBUTED}" for index in range(4)),
        "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
        f"schema exceeds budget by factor of 1.080108x {ADVICE}",
    ]


@pytest.mark.parametrize(
    ("cost", "factor"),
    [
        (11_000_000, "1.100000x"),
        (15_000_000, "1.5x"),
        (1_000_000_000, "100.0x"),
        (1_000_000_001, "more than 100x"),
    ],
)
def test_factor(cost: int, factor: str) -> None:
    assert too_costly("it", cost, 10_000_000) == f"it exceeds budget by factor of {factor} {ADVICE}"


def test_rules_stand_at_the_structure_only() -> None:
    schema = {
        **thing(a=INTEGER),
        "allOf": [{"properties": {"a": {"x-kubernetes-validations": [{"rule": "true"}]}}}],
    }
    assert [str(fault) for fault in structural_faults(schema, "s")] == [
        "s.allOf[0].properties[a].x-kubernetes-validations: Forbidden: must be empty to be structural"
    ]


def test_what_was_let_through_stays() -> None:
    """An update that leaves a schema alone is not stopped by the limit for single rules."""
    costly = thing(
        l={"type": "array", "maxItems": 4000, "items": ruled({**TEXT, "maxLength": 10000}, "self != 'a'")}
    )
    costly["properties"]["l"]["items"] = ruled({**TEXT, "maxLength": 10000}, "self.contains('a')")

    def definition(schema: dict[str, Any]) -> dict[str, Any]:
        names = {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        spec["conversion"] = {"strategy": "None"}
        status = {"storedVersions": ["v1"]}
        return {"metadata": {"name": "foos.example.com"}, "spec": spec, "status": status}

    assert validate_crd_update(definition(costly), definition(costly)) == []
    changed = {**costly, "description": "changed"}
    (fault,) = validate_crd_update(definition(changed), definition(costly))
    assert "estimated rule cost exceeds budget by factor of 1.6" in fault.detail
