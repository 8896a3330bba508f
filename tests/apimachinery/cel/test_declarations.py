"""What schemas say to the checker, to the estimator and at run time."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import (
    CompileError,
    Environment,
    EvaluationError,
    declare,
    escape,
    object_declaration,
    types,
)
from tiphys.apimachinery.cel.declarations import plain
from tiphys.apimachinery.cel.values import Duration, Struct, Timestamp
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import Schema

INTEGER, TEXT = {"type": "integer"}, {"type": "string"}

NAMES: dict[str, str | None] = {
    "plain": "plain",
    "namespace": "__namespace__",
    "in": "__in__",
    "true": "__true__",
    "a.b": "a__dot__b",
    "a-b": "a__dash__b",
    "a/b": "a__slash__b",
    "a__b": "a__underscores__b",
    "x.y-z/__": "x__dot__y__dash__z__slash____underscores__",
    "for.x": "for__dot__x",
    "1a": None,
    "a b": None,
    "a!": None,
    "": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_escape(name: str) -> None:
    assert escape(name) == NAMES[name]


TYPES: dict[str, tuple[dict[str, Any], str | None, int, int]] = {
    "integer": (INTEGER, "int", 0, 1),
    "number": ({"type": "number"}, "double", 0, 1),
    "boolean": ({"type": "boolean"}, "bool", 0, 4),
    "string": (TEXT, "string", 3145726, 2),
    "string with a limit": ({**TEXT, "maxLength": 10}, "string", 40, 2),
    "string of a few": ({**TEXT, "enum": ["a", "long", "é"]}, "string", 4, 2),
    "bytes": ({**TEXT, "format": "byte"}, "bytes", 3145726, 2),
    "bytes with a limit": ({**TEXT, "format": "byte", "maxLength": 10}, "bytes", 10, 2),
    "duration": ({**TEXT, "format": "duration"}, "duration", 32, 3),
    "date": ({**TEXT, "format": "date"}, "timestamp", 12, 12),
    "date-time": ({**TEXT, "format": "date-time"}, "timestamp", 32, 21),
    "other formats": ({**TEXT, "format": "uuid"}, "string", 3145726, 2),
    "string or number": ({"x-kubernetes-int-or-string": True}, "dyn", 3145726, 1),
    "list": ({"type": "array", "items": INTEGER}, "list(int)", 1572863, 2),
    "list with a limit": ({"type": "array", "items": TEXT, "maxItems": 3}, "list(string)", 3, 2),
    "map": ({"type": "object", "additionalProperties": INTEGER}, "map(string, int)", 449389, 2),
    "map with a limit": (
        {"type": "object", "additionalProperties": TEXT, "maxProperties": 3},
        "map(string, string)",
        3,
        2,
    ),
    "object": (
        {"type": "object", "properties": {"ab": INTEGER, "c": TEXT}, "required": ["ab"]},
        "object",
        0,
        9,
    ),
    "unknown": ({"x-kubernetes-preserve-unknown-fields": True}, None, 0, 0),
    "list of unknown": (
        {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}},
        None,
        0,
        0,
    ),
    "list of anything": ({"type": "array"}, None, 0, 0),
}


@pytest.mark.parametrize("name", TYPES)
def test_declared_type(name: str) -> None:
    source, wanted, size, least = TYPES[name]
    declared = declare(build_custom(source))
    if wanted is None:
        assert declared is None
        return
    assert declared is not None
    assert (str(declared.type), declared.size, declared.least) == (wanted, size, least)


SCHEMA = {
    "type": "object",
    "properties": {
        "namespace": TEXT,
        "a-b": INTEGER,
        "bad name": INTEGER,
        "when": {**TEXT, "format": "date-time"},
        "day": {**TEXT, "format": "date"},
        "long": {**TEXT, "format": "duration"},
        "raw": {**TEXT, "format": "byte"},
        "ratio": {"type": "number"},
        "either": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "nested": {"type": "object", "properties": {"list": {"type": "array", "items": INTEGER}}},
        "own": {
            "type": "object", "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "unknown": {"x-kubernetes-preserve-unknown-fields": True},
    },
}  # fmt: skip
VALUE: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "n", "namespace": "ns", "labels": {}},
    "namespace": "x", "a-b": 3, "bad name": 1, "when": "2020-01-01T00:00:00Z", "day": "2020-01-02",
    "long": "1h", "raw": "QUI=", "ratio": 2, "either": "25%", "free": {"x": 1}, "nested": {"list": [1, 2]},
    "own": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {}}, "unknown": [1],
}  # fmt: skip

GIVES: dict[str, Any] = {
    "self.__namespace__": "x",
    "self.namespace": "x",
    "has(self.namespace) && self.?namespace.hasValue()": True,
    "self.a__dash__b": 3,
    "self.when": Timestamp(1577836800 * 10**9),
    "self.day": Timestamp(1577923200 * 10**9),
    "self.long": Duration(3600 * 10**9),
    "self.raw": b"AB",
    "self.ratio": 2.0,
    "self.either": "25%",
    "has(self.free)": True,
    "self.nested.list[1]": 2,
    "self.kind": "Thing",
    "self.metadata.name": "n",
    "self.own.kind": "Pod",
    "self.own.metadata.name": "pod",
    "self.nested == self.nested": True,
    "self.?nested.list[0].orValue(0)": 1,
    "self.nested.list.map(x, x + 1)": [2, 3],
    "[self.nested].map(n, n.list.size())": [2],
}


@pytest.mark.parametrize("expression", GIVES)
def test_declared_value(expression: str) -> None:
    declared = declare(build_custom(SCHEMA), root=True)
    assert declared is not None
    found = Environment({"self": declared}).compile(expression).evaluate({"self": VALUE})
    assert found == GIVES[expression]
    assert type(found) is type(GIVES[expression])


def test_an_object_is_a_map_once_it_is_a_value() -> None:
    declared = declare(build_custom(SCHEMA), root=True)
    assert declared is not None
    environment = Environment({"self": declared})
    program = environment.compile("type(self) == map && '%s'.format([type(self)]) == 'map'")
    assert str(environment.compile("self").result) == "object"
    assert program.evaluate({"self": VALUE}) is True


@pytest.mark.parametrize(
    "expression", ["self.nothing", "self.unknown", "self.metadata.labels", "self.free.x", "self.own.spec"]
)
def test_what_is_not_declared_is_not_there(expression: str) -> None:
    declared = declare(build_custom(SCHEMA), root=True)
    assert declared is not None
    with pytest.raises(CompileError, match="undefined field"):
        Environment({"self": declared}).compile(expression)


@pytest.mark.parametrize("format_", ["date-time", "date", "duration", "byte"])
def test_malformed_values_have_no_value(format_: str) -> None:
    declared = declare(build_custom({"type": "object", "properties": {"x": {**TEXT, "format": format_}}}))
    assert declared is not None
    program = Environment({"self": declared}).compile("type(self.x) == type(self.x)")
    with pytest.raises(EvaluationError, match="nonsense!"):
        program.evaluate({"self": {"x": "nonsense!"}})


COSTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "any number of items": ({"type": "array", "items": INTEGER}, "self.all(x, true)", 4718591),
    "few items": ({"type": "array", "items": INTEGER, "maxItems": 10}, "self.all(x, true)", 32),
    "any text": (TEXT, "self.contains('keyword')", 314574),
    "short text": ({**TEXT, "maxLength": 2048}, "self.contains('keyword')", 821),
    "one text in another": (
        {
            "type": "object",
            "properties": {"a": {**TEXT, "maxLength": 4096}, "b": {**TEXT, "maxLength": 4096}},
        },
        "!self.a.contains(self.b)",
        4 + 1639 * 1639 + 1,
    ),
    "pattern": ({**TEXT, "maxLength": 10}, "self.matches('^[a-z]+$')", 1 + 5 * 2),
    "constant": (TEXT, "true", 0),
    "presence": ({"type": "object", "properties": {"a": INTEGER}}, "has(self.a)", 1),
    "field": ({"type": "object", "properties": {"a": INTEGER}}, "self.a > 5", 3),
    "either side of a choice": (INTEGER, "self > 1 ? self + self + self == 3 : self == 2", 2 + 6),
    "logic": (INTEGER, "self > 1 && self < 5", 4),
    "list of a list": (
        {"type": "array", "maxItems": 5, "items": {"type": "array", "maxItems": 5, "items": INTEGER}},
        "self.all(x, x.all(y, true))",
        1 + 5 * (2 + 1 + (1 + 5 * 3 + 1)) + 1,
    ),
    "map of a list": (
        {"type": "array", "maxItems": 5, "items": INTEGER},
        "self.map(x, x).all(y, true)",
        1 + 10 + 5 * (1 + 10 + 1 + 1) + 1 + 5 * 3 + 1,
    ),
    "unknown sizes": ({"x-kubernetes-int-or-string": True}, "dyn(self).matches('a')", 1 + 1 + 314573),
    "replaced": ({**TEXT, "maxLength": 10}, "self.replace('a', 'bb').contains('b')", 1 + 8 + 80 // 10),
    "a key among constants": ({**TEXT, "maxLength": 10}, "self in ['a', 'b']", 1 + 10 + 2),
    "bound": ({**TEXT, "maxLength": 10}, "optional.of(self).optMap(x, x.size() > 1).orValue(true)", 21),
}


@pytest.mark.parametrize("name", COSTS)
def test_estimated_cost(name: str) -> None:
    source, expression, wanted = COSTS[name]
    declared = declare(build_custom(source))
    assert declared is not None
    estimate = Environment({"self": declared}).compile(expression).cost_estimate()
    assert estimate.most == wanted
    assert estimate.least <= estimate.most


def test_nothing_overflows() -> None:
    declared = declare(build_custom({"type": "array", "items": {"type": "array", "items": TEXT}}))
    assert declared is not None
    expression = "self.all(a, self.all(b, self.all(c, a.all(d, b.all(e, c.all(f, d.contains(e + f)))))))"
    assert Environment({"self": declared}).compile(expression).cost_estimate().most == 2**64 - 1


def test_expressions_make_objects_of_known_types() -> None:
    def structs(name: str) -> types.Type | None:
        return (
            types.object_of(name, {"name": types.STRING, "size": types.INT})
            if name == "Object.spec"
            else None
        )

    environment = Environment({}, structs=structs)
    made = environment.compile("Object.spec{name: 'a', size: 3}").evaluate({})
    assert isinstance(made, Struct)
    assert (made.type_name, made.fields) == ("Object.spec", {"name": "a", "size": 3})
    assert environment.compile("Object.spec{name: 'a'}.name").evaluate({}) == "a"
    assert environment.compile("type(Object.spec{}) == Object.spec").evaluate({}) is True
    with pytest.raises(CompileError, match="undefined field 'no'"):
        environment.compile("Object.spec{no: 1}")
    with pytest.raises(
        CompileError, match="expected type of field 'size' is 'int' but provided type is 'string'"
    ):
        environment.compile("Object.spec{size: 'a'}")


def test_objects_without_a_schema() -> None:
    request = object_declaration("Request", {"name": plain(types.STRING), "dryRun": plain(types.BOOL)})
    environment = Environment({"request": request}).extend({"params": types.DYN})
    assert environment.compile("request.name + params.x").evaluate(
        {"request": {"name": "a"}, "params": {"x": "b"}}
    ) == "ab"  # fmt: skip
    with pytest.raises(CompileError, match="undefined field 'user'"):
        environment.compile("request.user")


def test_what_contains_itself_ends() -> None:
    node = Schema(type="object", properties={"name": Schema(type="string")})
    node.properties["children"] = Schema(type="array", items=node)
    declared = declare(node)
    assert declared is not None
    environment = Environment({"self": declared})
    assert environment.compile("size(self.children)").result == types.INT
    with pytest.raises(CompileError, match="undefined field 'name'"):
        environment.compile("self.children.all(child, child.name == self.name)")


def test_built_in_times_are_times() -> None:
    declared = declare(Schema(type="string", format="micro-time"))
    assert declared is not None
    assert declared.type == types.TIMESTAMP
