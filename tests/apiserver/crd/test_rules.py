"""CEL rules in schemas: what they see, when they run, what their faults say."""

# ruff: noqa: E501 -- the API's texts are longer than our lines

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import MISSING
from tiphys.apis.apiextensions.rule_checks import Rules

NUMBER = {"type": "integer"}
TEXT = {"type": "string"}


def schema(rules: list[dict[str, Any]], **properties: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": rules}
    return {"type": "object", "properties": {"spec": spec}}


CASES: dict[str, tuple[dict[str, Any], Any, Any, list[str]]] = {
    "holds": (schema([{"rule": "self.a <= self.b"}], a=NUMBER, b=NUMBER), {"a": 1, "b": 2}, MISSING, []),
    "broken": (
        schema([{"rule": "self.a <= self.b"}], a=NUMBER, b=NUMBER),
        {"a": 3, "b": 2},
        MISSING,
        ['spec: Invalid value: failed rule: self.a <= self.b'],
    ),
    "message": (
        schema([{"rule": "self.a > 1", "message": "too small"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: too small'],
    ),
    "message expression": (
        schema([{"rule": "self.a > 1", "messageExpression": "'got ' + string(self.a)"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: got 1'],
    ),
    "field path": (
        schema([{"rule": "self.a > 1", "message": "no", "fieldPath": ".a"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec.a: Invalid value: no'],
    ),
    "absent key": (
        schema([{"rule": "self.a > 1", "message": "no"}], a=NUMBER),
        {},
        MISSING,
        ['spec: Invalid value: "object": no such key: a evaluating rule: no'],
    ),
    "transition, created": (schema([{"rule": "self.a == oldSelf.a"}], a=NUMBER), {"a": 1}, MISSING, []),
    "transition, changed": (
        schema([{"rule": "self.a == oldSelf.a", "message": "immutable"}], a=NUMBER),
        {"a": 1},
        {"a": 2},
        ['spec: Invalid value: immutable'],
    ),
    "escaped names": (
        schema([{"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"}],
               **{"namespace": {"type": "string"}, "a-b": NUMBER}),
        {"namespace": "x", "a-b": 1},
        MISSING,
        [],
    ),
    "reserved names": (
        schema([{"rule": "self.namespace == 'x' && has(self.__if__) && !has(self.for)"}],
               **{name: {"type": "string"} for name in ("namespace", "if", "for")}),
        {"namespace": "x", "if": "y"},
        MISSING,
        [],
    ),
    "numbers are doubles": (schema([{"rule": "self.a >= 1.5"}], a={"type": "number"}), {"a": 2}, MISSING, []),
    "reasons": (
        schema(
            [
                {"rule": "self.a > 1", "message": "no", "reason": "FieldValueForbidden"},
                {"rule": "self.a > 2", "message": "give it", "reason": "FieldValueRequired", "fieldPath": ".b"},
                {"rule": "self.a > 3", "reason": "FieldValueDuplicate"},
                {"rule": "self.a > 4", "message": "bad", "reason": "FieldValueInvalid"},
            ],
            a=NUMBER, b=NUMBER,
        ),
        {"a": 1},
        MISSING,
        [
            "spec: Forbidden: no",
            "spec.b: Required value: give it",
            'spec: Duplicate value',
            'spec: Invalid value: bad',
        ],
    ),
    "field path to a key": (
        schema([{"rule": "false", "message": "no", "fieldPath": ".m['a.b'].c"}],
               m={"type": "object", "additionalProperties": {"type": "object", "properties": {"c": NUMBER}}}),
        {"m": {}},
        MISSING,
        ['spec.m[a.b].c: Invalid value: no'],
    ),
    "optionals": (
        schema([{"rule": "self.?a.orValue(5) == 5 && quantity('1Ki').isGreaterThan(quantity('1k'))"}], a=NUMBER),
        {},
        MISSING,
        [],
    ),
    "wrong kinds at run time": (
        schema([{"rule": "self.a + 1 > 2", "message": "no"}], a={"x-kubernetes-int-or-string": True}),
        {"a": "x"},
        MISSING,
        ["spec: Invalid value: \"object\": 'no such overload: _+_(string, int)': call arguments did not match a "
         "supported operator, function or macro signature for rule: no"],
    ),
    "message expression that fails": (
        schema([{"rule": "self.a > 1", "messageExpression": "'got ' + string(self.b)"}], a=NUMBER, b=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: failed rule: self.a > 1'],
    ),
    "message expression that says nothing": (
        schema([{"rule": "self.a > 1", "message": "fixed", "messageExpression": "'  '"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: fixed'],
    ),
    "message expression of two lines": (
        schema([{"rule": "self.a > 1", "message": "fixed", "messageExpression": r"'a\nb'"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: fixed'],
    ),
    "a rule that does not compile is a fault": (
        schema([{"rule": "self.nothing > 1"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: "object": rule compile error: compilation failed: ERROR: <input>:1:5: undefined '
         "field 'nothing'\n | self.nothing > 1\n | ....^"],
    ),
    "a rule without a type is a fault": (
        schema([], a={"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-validations": [{"rule": "true"}]}),
        {"a": 1},
        MISSING,
        ['spec.a: Invalid value: "": rule compiler initialization error: rule declared on schema that does not '
         "support validation rules"],
    ),
    "optional old self, created": (
        schema([{"rule": "oldSelf.hasValue() || self.a == 1", "optionalOldSelf": True}], a=NUMBER),
        {"a": 2},
        MISSING,
        ['spec: Invalid value: failed rule: oldSelf.hasValue() || self.a == 1'],
    ),
    "optional old self, changed": (
        schema([{"rule": "oldSelf.optMap(o, o.a < self.a).orValue(true)", "optionalOldSelf": True}], a=NUMBER),
        {"a": 2},
        {"a": 3},
        ['spec: Invalid value: failed rule: oldSelf.optMap(o, o.a < self.a).orValue(true)'],
    ),
    "a message sees the old value bare": (
        schema([{"rule": "oldSelf.hasValue() && self.a == 1", "optionalOldSelf": True,
                 "messageExpression": "'was %d, is %d'.format([oldSelf.?a.orValue(0), self.a])"}], a=NUMBER),
        {"a": 2},
        {"a": 3},
        ['spec: Invalid value: was 3, is 2'],
    ),
    "what asks whether it is there is no message": (
        schema([{"rule": "oldSelf.hasValue() && self.a == 1", "optionalOldSelf": True, "message": "own",
                 "messageExpression": "oldSelf.hasValue() ? 'was there' : 'is new'"},
                {"rule": "oldSelf.hasValue() && self.a == 1", "optionalOldSelf": True, "message": "other",
                 "messageExpression": "oldSelf.optMap(o, 'was there').orValue('is new')"}], a=NUMBER),
        {"a": 2},
        {"a": 3},
        ['spec: Invalid value: own', 'spec: Invalid value: other'],
    ),
    "nor does one see what was not there": (
        schema([{"rule": "oldSelf.hasValue() && self.a == 1", "optionalOldSelf": True, "message": "own",
                 "messageExpression": "'was ' + oldSelf.?b.orValue('')"}], a=NUMBER, b={**TEXT, "maxLength": 9}),
        {"a": 2},
        MISSING,
        ['spec: Invalid value: own'],
    ),
    "a message sees the old value where a rule does": (
        schema([{"rule": "self.a == 1", "message": "own", "messageExpression": "'%d'.format([oldSelf.a])"}], a=NUMBER),
        {"a": 2},
        {"a": 3},
        ['spec: Invalid value: own'],
    ),
    "be it another": (
        schema([{"rule": "self.a == 1", "message": "own", "messageExpression": "'%d'.format([oldSelf.a])"},
                {"rule": "oldSelf.a > 0"}], a=NUMBER),
        {"a": 2},
        {"a": 3},
        ['spec: Invalid value: 3'],
    ),
    "transition in a list by key": (
        schema([], l={"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                      "items": {"type": "object", "properties": {"k": TEXT, "v": NUMBER},
                                "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "grows"}]}}),
        {"l": [{"k": "new", "v": 0}, {"k": "a", "v": 1}, {"k": "b", "v": 3}]},
        {"l": [{"k": "b", "v": 2}, {"k": "a", "v": 2}]},
        ['spec.l[1]: Invalid value: grows'],
    ),
    "transition in other lists never runs": (
        schema([], l={"type": "array", "items": {**NUMBER, "x-kubernetes-validations": [
            {"rule": "self >= oldSelf", "message": "grows"}]}}),
        {"l": [1]},
        {"l": [2]},
        [],
    ),
    "transition in a map": (
        schema([], m={"type": "object", "additionalProperties": {**NUMBER, "x-kubernetes-validations": [
            {"rule": "self >= oldSelf", "message": "grows"}]}}),
        {"m": {"a": 1, "b": 1, "c": 1}},
        {"m": {"a": 2, "b": 1}},
        ['spec.m[a]: Invalid value: 1: grows'],
    ),
    "unchanged parts are excused": (
        schema([{"rule": "self.a > 1", "message": "a"}], a=NUMBER, b=NUMBER,
               o={"type": "object", "properties": {"x": NUMBER},
                  "x-kubernetes-validations": [{"rule": "self.x > 1", "message": "x"}]}),
        {"a": 1, "b": 2, "o": {"x": 1}},
        {"a": 1, "b": 1, "o": {"x": 1}},
        ['spec: Invalid value: a'],
    ),
    "unchanged objects are excused": (
        schema([{"rule": "self.a > 1"}], a=NUMBER), {"a": 1}, {"a": 1}, [],
    ),
    "items of an unchanged list are excused": (
        schema([], b=NUMBER, l={"type": "array", "items": {**NUMBER, "x-kubernetes-validations": [
            {"rule": "self > 1"}]}}),
        {"b": 1, "l": [1, 0]},
        {"b": 2, "l": [1, 0]},
        [],
    ),
    "items of a changed list are not": (
        schema([], l={"type": "array", "items": {**NUMBER, "x-kubernetes-validations": [{"rule": "self > 1"}]}}),
        {"l": [1, 0]},
        {"l": [1]},
        [
            'spec.l[0]: Invalid value: 1: failed rule: self > 1',
            'spec.l[1]: Invalid value: 0: failed rule: self > 1',
        ],
    ),
    "transitions are never excused": (
        schema([{"rule": "self.a > oldSelf.a", "message": "grows"}], a=NUMBER),
        {"a": 1},
        {"a": 1},
        ['spec: Invalid value: grows'],
    ),
    "null is nothing to check": (
        schema([], a={**NUMBER, "nullable": True, "x-kubernetes-validations": [{"rule": "self > 1"}]}),
        {"a": None},
        MISSING,
        [],
    ),
    "times and sizes": (
        schema([{"rule": "self.until - self.since < duration('1h') && self.raw.size() == 2"}],
               since={**TEXT, "format": "date-time"}, until={**TEXT, "format": "date-time"},
               raw={**TEXT, "format": "byte"}),
        {"since": "2020-01-01T00:00:00Z", "until": "2020-01-01T00:30:00Z", "raw": "QUI="},
        MISSING,
        [],
    ),
    "one call costs too much": (
        schema([{"rule": "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))", "message": "dear"},
                {"rule": "false"}], l={"type": "array", "items": NUMBER}),
        {"l": list(range(70))},
        MISSING,
        ["spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further "
         "validation rules will be run due to call cost exceeds limit for rule: dear"],
    ),
    "inside lists": (
        schema([], a={"type": "array", "items": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self.startsWith('x')", "message": "x!"}]}}),
        {"a": ["xa", "b"]},
        MISSING,
        ['spec.a[1]: Invalid value: "b": x!'],
    ),
}  # fmt: skip


SLOW = ("one call costs too much",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CASES]
)
def test_rules(name: str) -> None:
    source, new, old, wanted = CASES[name]
    before = MISSING if old is MISSING else {"spec": old}
    faults = Rules(build_custom(source)).check({"spec": new}, before)
    assert [f"{fault.field}: {fault.detail}" for fault in faults] == wanted


KEYED = {
    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    "x-kubernetes-validations": [{"rule": "size(self) < 2"}],
    "items": {"type": "object", "properties": {"k": TEXT}},
}  # fmt: skip
FREE = {
    "type": "object", "x-kubernetes-preserve-unknown-fields": True,
    "x-kubernetes-validations": [{"rule": "self.v > 1"}], "properties": {"v": NUMBER},
}  # fmt: skip
ATOMIC = {
    "type": "object", "x-kubernetes-map-type": "atomic",
    "properties": {"v": {**NUMBER, "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}},
}  # fmt: skip
EXCUSED: dict[str, tuple[dict[str, Any], Any, Any, list[str]]] = {
    "a list by key that was put in order": (KEYED, [{"k": "a"}, {"k": "b"}], [{"k": "b"}, {"k": "a"}], []),
    "as far as it is described": (FREE, {"v": 1}, {"v": 1}, []),
    "what no schema describes": (FREE, {"v": 1, "w": 1}, {"v": 1, "w": 1}, ["x"]),
    "a field of what is written as a whole": (ATOMIC, {"v": 1}, {"v": 2}, ["x.v"]),
}


@pytest.mark.parametrize(("source", "new", "old", "wanted"), EXCUSED.values(), ids=EXCUSED)
def test_what_an_update_leaves_is_excused(source: Any, new: Any, old: Any, wanted: list[str]) -> None:
    rules = Rules(build_custom({"type": "object", "properties": {"x": source}}))
    assert [fault.field for fault in rules.check({"x": new}, {"x": old})] == wanted


def test_rules_of_the_kind_and_of_whole_objects_are_not_excused() -> None:
    kind = {**TEXT, "x-kubernetes-validations": [{"rule": "self == 'A'"}]}
    source = {
        "type": "object",
        "properties": {"kind": kind, "spec": TEXT},
        "x-kubernetes-validations": [{"rule": "has(self.spec)"}],
    }
    obj = {"apiVersion": "a/v1", "kind": "B", "metadata": {"name": "a"}}
    assert [fault.field for fault in Rules(build_custom(source)).check(obj, obj)] == ["<nil>", "kind"]


def test_root_rules_see_names() -> None:
    source = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": NUMBER}}},
        "x-kubernetes-validations": [
            {"rule": "self.metadata.name.startsWith('x')", "message": "x!"},
            {"rule": "self.spec.a > 1", "message": "a!", "fieldPath": ".spec.a"},
        ],
    }
    obj = {"apiVersion": "e/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"a": 1}}
    faults = Rules(build_custom(source)).check(obj)
    assert [str(fault) for fault in faults] == [
        "<nil>: Invalid value: x!",
        "spec.a: Invalid value: a!",
    ]


def test_all_rules_of_an_object_share_a_budget() -> None:
    items = {**NUMBER, "x-kubernetes-validations": [{"rule": "self > 5", "message": "small"}]}
    rules = Rules(build_custom(schema([], l={"type": "array", "items": items})))
    faults = rules.check({"spec": {"l": [6, 6, 1, 1]}}, budget=Budget(remaining=5))
    text = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert [str(fault) for fault in faults] == [f'spec.l[2]: Invalid value: "integer": {text}']


def test_nothing_to_do_without_rules() -> None:
    assert not Rules(build_custom(schema([], a=NUMBER)))
    assert Rules(build_custom(schema([{"rule": "true"}], a=NUMBER)))


NOT_ASKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
FIRST = {
    "too long": ({"extra": "skip"}, ["spec.extra: Too long: may not be more than 2 bytes", NOT_ASKED]),
    "too many": ({"l": [1, 2]}, ["spec.l: Too many: 2: must have at most 1 item", NOT_ASKED]),
    "missing": ({"image": None}, ["spec.image: Required value", NOT_ASKED]),
    "another type": (
        {"extra": 1},
        [
            'spec.extra: Invalid value: "integer": spec.extra in body must be of type string: "integer"',
            NOT_ASKED,
        ],
    ),
    "no choice": ({"e": "c"}, ['spec.e: Unsupported value: "c": supported values: "a", "b"', NOT_ASKED]),
    "what rules can live with": (
        {"replicas": -1},
        [
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
            "spec: Invalid value: never",
        ],
    ),
}


async def test_rules_are_asked_about_what_has_its_types_and_bounds(api: Any, crds: Any) -> None:
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "false", "message": "never"}]
    spec["properties"] |= {
        "extra": {"type": "string", "maxLength": 2},
        "l": {"type": "array", "maxItems": 1, "items": NUMBER},
        "e": {"type": "string", "enum": ["a", "b"]},
    }
    await crds.make(made)
    for name, (more, wanted) in FIRST.items():
        answer = await api("POST", crds.foos, crds.foo(**more))
        told = [f"{one['field']}: {one['message']}" for one in answer.json["details"]["causes"]]
        assert told == wanted, name


async def test_rules_that_are_wrong_are_refused(api: Any, crds: Any) -> None:
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [
        {"rule": "self.nothing > 1"},
        {"rule": "self.image"},
        {"rule": "self.image.matches(self.note)"},
        {"rule": "has(self.image)", "optionalOldSelf": True},
    ]
    answer = await api("POST", crds.path, crds.definition(made))
    assert answer.status == 422
    place = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations"
    assert f"{place}[0].rule: Invalid value: " in answer.message
    assert "undefined field 'nothing'" in answer.message
    assert "cel expression must evaluate to a bool" in answer.message
    assert (
        f"{place}[2].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
        in answer.message
    )
    assert (
        f"{place}[3].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used"
        in answer.message
    )


async def test_ratcheting(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo(replicas=1, ports=[{"name": "a", "port": 1}]))
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["ports"]["items"]["x-kubernetes-validations"] = [{"rule": "self.port > 1000", "message": "too low"}]
    await crds.change({"spec": {"versions": [made]}})
    assert (await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})).status == 200
    more = {"spec": {"ports": [{"name": "b", "port": 2000}, {"name": "a", "port": 1}]}}
    assert (await api.patch(f"{crds.foos}/a", more)).status == 200
    wrong = {"spec": {"ports": [{"name": "b", "port": 2000}, {"name": "a", "port": 2}]}}
    answer = await api.patch(f"{crds.foos}/a", wrong)
    assert answer.status == 422
    assert "spec.ports[1]: Invalid value: too low" in answer.message


async def test_what_is_excused_is_a_warning(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo(image="old", replicas=1))
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["image"]["x-kubernetes-validations"] = [{"rule": "self == 'new'", "message": "buy a new one"}]
    await crds.change({"spec": {"versions": [made]}})
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})
    assert (answer.status, answer.headers["warning"]) == (
        200,
        '299 - "spec.image: Invalid value: \\"old\\": buy a new one"',
    )
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"image": "new"}})
    assert (answer.status, "warning" in answer.headers) == (200, False)


async def test_what_schemas_say_is_ratcheted_by_part(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo(replicas=1, ports=[{"name": "a", "port": 1}]))
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["ports"]["items"]["required"] = ["name", "protocol"]
    spec["ports"]["items"]["properties"]["protocol"] = {"type": "string"}
    await crds.change({"spec": {"versions": [made]}})
    assert (await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})).status == 200
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"ports": [{"name": "a", "port": 2}]}})
    assert answer.status == 422
    assert "spec.ports[0].protocol: Required value" in answer.message


async def test_served(api: Any, crds: Any) -> None:
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "is immutable"}
    ]
    await crds.make(made)
    await api.create(crds.foos, crds.foo())
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"image": "other"}})
    assert answer.status == 422
    assert 'spec.image: Invalid value: "other": is immutable' in answer.message
