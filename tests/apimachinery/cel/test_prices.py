"""What expressions cost when they run. The figures are the API's own: rules must cost the same everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import Budget, CostExceeded, Environment, EvaluationError, declare, types
from tiphys.apimachinery.schema.build import build_custom

INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
BOOLEAN, EITHER = {"type": "boolean"}, {"x-kubernetes-int-or-string": True}
BYTES = {"type": "string", "format": "byte"}
DURATION = {"type": "string", "format": "duration"}
DATE = {"type": "string", "format": "date"}
TIME = {"type": "string", "format": "date-time"}


def items(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema, **more}


def entries(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema}


def thing(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


SET = {"x-kubernetes-list-type": "set"}
PAIR = thing(k=TEXT, v=TEXT)
BY_KEY = items(PAIR, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})

Case = tuple[dict[str, Any], dict[str, Any], dict[str, int]]
CASES: dict[str, Case] = {
    "integers": (
        {"val1": INTEGER, "val6": INTEGER},
        {"val1": 2**63 - 1, "val6": 2**63 - 1},
        {"self.val1 == self.val6": 5, "type(self.val1) == int": 4, "self.val1 + 0 == 9223372036854775807": 4},
    ),
    "numbers": (
        {"val1": NUMBER, "val7": NUMBER},
        {"val1": 1.5, "val7": 1},
        {"type(self.val1) == double": 4, "self.val7 == 1.0": 3, "int(self.val1) < int(self.val7) + 1": 8},
    ),
    "conversions of constants": ({}, {}, {"double(5) < 10.0": 1, "5 < int(10.0)": 1}),
    "unicode strings": (
        {"val1": TEXT},
        {"val1": "Rook takes 👑"},
        {
            "self.val1.startsWith('Rook')": 4,
            "!self.val1.startsWith('knight')": 5,
            "self.val1.matches('^[^0-9]*$')": 8,
            "!self.val1.matches('^[0-9]*$')": 7,
            "type(self.val1) == string": 4,
            "size(self.val1) == 12": 4,
            "self.val1.charAt(3) == 'k'": 4,
            "self.val1.replace(' ', 'x') == 'Rookxtakesx👑'": 7,
            "self.val1.split(' ') == ['Rook', 'takes', '👑']": 6,
            "self.val1.split(' ', 2) == ['Rook', 'takes 👑']": 6,
            "self.val1.substring(5) == 'takes 👑'": 5,
            "self.val1.substring(4, 10).trim() == 'takes'": 6,
            "self.val1.upperAscii() == 'ROOK TAKES 👑'": 6,
        },
    ),
    "bytes": (
        {"val1": BYTES, "val2": BYTES},
        {"val1": "QUI=", "val2": "QUI="},
        {"self.val1 == self.val2": 5, "self.val1 == b'AB'": 3, "size(self.val1) == 2": 4},
    ),
    "durations": (
        {"val1": DURATION},
        {"val1": "1h2m3s4ms"},
        {
            "self.val1 == duration('1h2m') + duration('3s4ms')": 4,
            "self.val1.getHours() == 1": 4,
            "type(self.val1) == google.protobuf.Duration": 4,
        },
    ),
    "times": (
        {"val1": DATE, "val2": TIME},
        {"val1": "1997-07-16", "val2": "2011-08-18T19:03:37.010000000+01:00"},
        {
            "self.val1.getDate() == 16": 4,
            "type(self.val1) == google.protobuf.Timestamp": 4,
            "self.val2 == timestamp('2011-08-18T00:00:00.000+01:00') + duration('19h3m37s10ms')": 4,
            "self.val2.getDate('01:00') == 18": 4,
        },
    ),
    "enums": (
        {"val1": {"type": "string", "enum": ["Pending", "Bound"]}},
        {"val1": "Pending"},
        {"self.val1 == 'Pending'": 3, "self.val1 in ['Pending', 'Available']": 2},
    ),
    "conversions": (
        {"val1": INTEGER, "val2": NUMBER, "val6": TEXT, "val7": BYTES, "val8": TEXT, "val9": DURATION,
         "val10": TEXT, "val11": TIME, "val12": TEXT, "val13": DATE},
        {"val1": 10, "val2": 10.0, "val6": "10", "val7": "MTA=", "val8": "3723.004s", "val9": "1h2m3s4ms",
         "val10": "2011-08-18T19:03:37.01+01:00", "val11": "2011-08-18T19:03:37.01+01:00",
         "val12": "2011-08-18T00:00:00Z", "val13": "2011-08-18"},
        {
            "int(self.val2) == self.val1": 6,
            "double(self.val1) == self.val2": 6,
            "bytes(self.val6) == self.val7": 6,
            "string(self.val1) == self.val6": 6,
            "string(self.val7) == self.val6": 6,
            "duration(self.val8) == self.val9": 6,
            "timestamp(self.val10) == self.val11": 6,
            "string(self.val11) == self.val10": 8,
            "timestamp(self.val12) == self.val13": 6,
            "string(self.val13) == self.val12": 7,
        },
    ),
    "lists": (
        {"val1": items(INTEGER), "val2": items(INTEGER)},
        {"val1": [1, 2, 3], "val2": [1, 2, 3]},
        {
            "1 in self.val1": 5,
            "self.val2[0] in self.val1": 8,
            "!(0 in self.val1)": 6,
            "self.val1 + self.val2 == [1, 2, 3, 1, 2, 3]": 6,
            "self.val1 + [4, 5] == [1, 2, 3, 4, 5]": 4,
        },
    ),
    "sets": (
        {"val1": items(TEXT, **SET), "val2": items(TEXT, **SET)},
        {"val1": ["a", "b", "c"], "val2": ["a", "c", "b"]},
        {
            "self.val1 == ['c', 'b', 'a']": 3,
            "self.val1 == self.val2": 5,
            "'a' in self.val1": 5,
            "self.val1 + self.val2 == ['a', 'b', 'c']": 6,
            "self.val1 + ['c', 'd'] == ['a', 'b', 'c', 'd']": 4,
        },
    ),
    "lists by key": (
        {"objs": items(BY_KEY)},
        {"objs": [
            [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}],
            [{"k": "b", "v": "2"}, {"k": "a", "v": "1"}],
            [{"k": "b", "v": "3"}, {"k": "a", "v": "1"}],
            [{"k": "c", "v": "4"}],
        ]},
        {
            "self.objs[0] == self.objs[1]": 7,
            "self.objs[0] + self.objs[2] == self.objs[2]": 11,
            "self.objs[2] + self.objs[0] == self.objs[0]": 11,
            "self.objs[0] == [self.objs[0][0], self.objs[0][1]]": 22,
            "self.objs[0] == [self.objs[0][1], self.objs[0][0]]": 22,
            "self.objs[2] + [self.objs[0][0], self.objs[0][1]] == self.objs[0]": 26,
            "size(self.objs[0] + [self.objs[3][0]]) == 3": 20,
        },
    ),
    "maps": (
        {"val1": entries(TEXT), "val2": entries(TEXT)},
        {"val1": {"k1": "a", "k2": "b"}, "val2": {"k2": "b", "k1": "a"}},
        {
            "self.val1 == self.val2": 5,
            "'k1' in self.val1": 3,
            "!('k3' in self.val1)": 4,
            "self.val1 == {'k1': 'a', 'k2': 'b'}": 3,
        },
    ),
    "presence": (
        {"a": thing(b=INTEGER, c=INTEGER, d={**INTEGER, "nullable": True}),
         "a1": thing(b1=thing(c1=INTEGER), d2=thing(e2=INTEGER))},
        {"a": {"b": 1, "d": None}, "a1": {"b1": {"c1": 4}}},
        {
            "has(self.a.b)": 2,
            "has(self.a1.b1.c1)": 3,
            "!(has(self.a1.d2) && has(self.a1.d2.e2))": 3,
            "!has(self.a1.d2)": 3,
            "!has(self.a.d)": 3,
        },
    ),
    "map access": (
        {"val": entries(INTEGER)},
        {"val": {"b": 1, "d": 2}},
        {
            "!('a' in self.val)": 4,
            "'b' in self.val": 3,
            "!has(self.val.a)": 3,
            "has(self.val.b)": 2,
            "self.val.all(k, self.val[k] > 0)": 17,
            "self.val.exists_one(k, self.val[k] == 2)": 14,
            "!self.val.exists_one(k, self.val[k] > 0)": 17,
            "size(self.val) == 2": 4,
            "size(self.val.filter(k, self.val[k] > 1)) == 1": 26,
        },
    ),
    "access by key": (
        {"listMap": items(thing(k=TEXT, v=TEXT, v2=TEXT), **{"x-kubernetes-list-type": "map",
                                                             "x-kubernetes-list-map-keys": ["k"]})},
        {"listMap": [{"k": "a1", "v": "b1"}, {"k": "a2", "v": "b2"}, {"k": "a3", "v": "b3", "v2": "z"}]},
        {
            "has(self.listMap[0].v)": 3,
            "self.listMap.all(m, m.k.startsWith('a'))": 21,
            "self.listMap.all(m, !has(m.v2) || m.v2 == 'z')": 21,
            "self.listMap.exists(m, m.k.endsWith('1'))": 13,
            "self.listMap.exists_one(m, m.k == 'a3')": 15,
            "!self.listMap.all(m, m.k.endsWith('1'))": 18,
            "!self.listMap.exists(m, m.v == 'x')": 25,
            "!self.listMap.exists_one(m, m.k.startsWith('a'))": 20,
            "size(self.listMap.filter(m, m.k == 'a1')) == 1": 27,
            "self.listMap.exists(m, m.k == 'a1' && m.v == 'b1')": 16,
            "self.listMap.map(m, m.v).exists(v, v == 'b1')": 55,
            "self.listMap.exists(m, has(m.v2) && m.v2 == 'z')": 21,
            "!self.listMap.all(m, has(m.v2) && m.v2 != 'z')": 10,
            "self.listMap.exists_one(m, has(m.v2) && m.v2 == 'z')": 12,
            "self.listMap.filter(m, has(m.v2) && m.v2 == 'z').size() == 1": 24,
            "self.listMap.map(m, has(m.v2) && m.v2 == 'z', m.v2).size() == 1": 25,
            "self.listMap.filter(m, has(m.v2) && m.v2 == 'z').map(m, m.v2).size() == 1": 39,
            "self.listMap.exists(m, m.v2 == 'z')": 24,
            "!self.listMap.all(m, m.v2 != 'z')": 22,
        },
    ),
    "list access": (
        {"array": items(INTEGER)},
        {"array": [1, 1, 2, 2, 3, 3, 4, 5]},
        {
            "2 in self.array": 10,
            "self.array.all(e, e > 0)": 43,
            "self.array.exists(e, e > 2)": 36,
            "self.array.exists_one(e, e > 4)": 22,
            "!self.array.all(e, e < 2)": 21,
            "!self.array.exists(e, e < 0)": 52,
            "!self.array.exists_one(e, e == 2)": 25,
            "size(self.array.filter(e, e%2 == 0)) == 3": 68,
            "self.array.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)": 194,
            "size(self.array) == 8": 4,
        },
    ),
    "string or number": (
        {"something": EITHER},
        {"something": "25%"},
        {
            "type(self.something) == int ? self.something == 1 : self.something == '25%'": 7,
            "type(self.something) == string && self.something == '25%'": 7,
            "self.something == '25%'": 3,
            "self.something != 1": 3,
            "self.something == 1 || self.something == '25%'": 6,
            "self.something == '25%' || self.something == 1": 3,
            "self.something != ['anything']": 3,
        },
    ),
    "percentages": (
        {"min": EITHER, "current": INTEGER, "available": INTEGER},
        {"min": "50%", "current": 5, "available": 10},
        {
            r"type(self.min) == string && self.min.matches(r'(\d+(\.\d+)?%)')": 10,
            "type(self.min) == int ? self.current <= self.min : double(self.current) / double(self.available)"
            " >= double(self.min.replace('%', '')) / 100.0": 17,
        },
    ),
    "types of objects": (
        {"nestedInMap": entries(thing(inMapField=INTEGER))},
        {"nestedInMap": {"k1": {"inMapField": 1}, "k2": {"inMapField": 2}}},
        {
            "type(self) == type(self)": 5,
            "type(self.nestedInMap['k1']) == type(self.nestedInMap['k2'])": 9,
        },
    ),
    "nulls": (
        {"m": entries({**TEXT, "nullable": True}), "s": {**TEXT, "nullable": True}},
        {"m": {"a": None, "b": "not-nil"}, "s": None},
        {
            "self.m.size() == 2": 4,
            "'a' in self.m": 3,
            "type(self.m['a']) == null_type": 5,
            "!has(self.s)": 2,
        },
    ),
    "composition": (
        {"mapOfMap": entries(entries(TEXT)), "mapOfListMap": entries(BY_KEY), "listOfListMap": items(BY_KEY)},
        {"mapOfMap": {"x": {"y": "b"}}, "mapOfListMap": {"o": [{"k": "1", "v": "d"}]},
         "listOfListMap": [[{"k": "3", "v": "i"}]]},
        {
            "self.mapOfMap['x']['y'] == 'b'": 5,
            "self.mapOfListMap['o'].exists(e, e.k == '1' && e.v == 'd')": 14,
            "self.listOfListMap[0].exists(e, e.k == '3' && e.v == 'i')": 14,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rule"), [(name, rule) for name, (_, _, rules) in CASES.items() for rule in rules]
)
def test_cost(name: str, rule: str) -> None:
    fields, value, rules = CASES[name]
    declared = declare(build_custom(thing(**fields)))
    assert declared is not None
    budget = Budget()
    program = Environment({"self": declared}).compile(rule, types.BOOL)
    assert program.evaluate({"self": value}, budget) is True
    assert budget.last == rules[rule]
    assert budget.remaining == 10_000_000 - rules[rule]


def test_unknown_fields_count_in_comparisons() -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": INTEGER}}
    declared = declare(build_custom(thing(all=items(free))))
    assert declared is not None
    environment = Environment({"self": declared})
    value = {"all": [{"known": 1, "x": "a"}, {"known": 1, "x": "b"}, {"known": 1, "x": "b"}, {"known": 1}]}
    for rule, wanted in {
        "[0] == self.all[1]": False,
        "[1] == self.all[2]": True,
        "[0] == self.all[3]": False,
    }.items():
        assert environment.compile(f"self.all{rule}").evaluate({"self": value}) is wanted


NAMES_OF_TYPES: list[tuple[dict[str, Any], str, int]] = [
    (EITHER, "type(self) == int", 314_576),
    (EITHER, "string == type(self)", 314_576),
    ({**TEXT, "maxLength": 1000}, "type(self) == string", 403),
    (thing(either=EITHER), "type(self.either) == int", 4),
    (EITHER, "type(self) == type(1)", 1844674407370955267),
]


@pytest.mark.parametrize(("schema", "rule", "most"), NAMES_OF_TYPES)
def test_names_of_types_are_as_large_as_what_the_rule_stands_at(
    schema: dict[str, Any], rule: str, most: int
) -> None:
    declared = declare(build_custom(schema))
    assert declared is not None
    assert Environment({"self": declared, "oldSelf": declared}).compile(rule).cost_estimate().most == most


def test_one_call_may_not_cost_too_much() -> None:
    program = Environment({"l": types.list_of(types.INT)}).compile(
        "l.all(x, l.all(y, l.all(z, x + y + z >= 0)))"
    )
    budget = Budget(per_call=20_000)
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"l": list(range(100))}, budget)
    assert 20_000 < budget.last < 21_000
    assert not budget.overdrawn


def test_exceeding_wins_over_what_absorbs_errors() -> None:
    program = Environment({"l": types.list_of(types.INT)}).compile("l.map(x, x).size() > 0 || true")
    with pytest.raises(CostExceeded):
        program.evaluate({"l": [1, 2, 3]}, Budget(per_call=5))


def test_failed_calls_cost_too() -> None:
    budget = Budget()
    with pytest.raises(EvaluationError):
        Environment({"d": types.DYN}).compile("d.x + 1 > 2").evaluate({"d": {}}, budget)
    assert budget.last == 4


def test_budget_is_shared() -> None:
    program, budget = Environment({"i": types.INT}).compile("i > 1"), Budget(remaining=3)
    program.evaluate({"i": 1}, budget)
    assert (budget.remaining, budget.overdrawn) == (1, False)
    program.evaluate({"i": 1}, budget)
    assert (budget.remaining, budget.overdrawn) == (-1, True)
