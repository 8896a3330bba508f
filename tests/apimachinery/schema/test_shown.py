from typing import Any

import pytest

from tiphys.apimachinery.schema.build import SchemaBuilder
from tiphys.apimachinery.schema.shown import filled

PLAIN = {"s": {"type": "string"}, "i": {"type": "integer"}, "b": {"type": "boolean"}, "n": {"type": "number"}}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "a.Item": {
        "type": "object",
        "required": ["s", "i", "b", "n", "time", "bytes", "list", "inner"],
        "properties": {
            **PLAIN,
            "time": {"type": "string", "format": "date-time"},
            "bytes": {"type": "string", "format": "byte"},
            "list": {"type": "array", "items": {"type": "string"}},
            "inner": {"$ref": "#/$defs/a.Bare"},
            "optional": {"type": "string"},
        },
    },
    "a.Bare": {"type": "object", "properties": {"s": {"type": "string"}}},
    "a.Forced": {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "string"}}}},
    "a.Root": {
        "type": "object",
        "properties": {
            "one": {"$ref": "#/$defs/a.Item"},
            "many": {"type": "array", "items": {"$ref": "#/$defs/a.Item"}},
            "named": {"type": "object", "additionalProperties": {"$ref": "#/$defs/a.Item"}},
            "bare": {"$ref": "#/$defs/a.Bare"},
            "forced": {"$ref": "#/$defs/a.Forced"},
        },
    },
}
FORCED: dict[str, dict[str, Any]] = {"a.Forced": {"x": None}}
ZEROS = {"s": "", "i": 0, "b": False, "n": 0}
WHOLE = {"s": "a", "i": 1, "b": True, "n": 1.5}


@pytest.fixture
def root() -> Any:
    return SchemaBuilder(DEFINITIONS, shown=lambda name: FORCED.get(name, {})).definition("a.Root")


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ({"one": {}}, {"one": ZEROS}),
        ({"one": {"s": "a"}}, {"one": ZEROS | {"s": "a"}}),
        ({"one": {"optional": "x"}}, {"one": ZEROS | {"optional": "x"}}),
        ({"many": [{"i": 2}, WHOLE]}, {"many": [ZEROS | {"i": 2}, WHOLE]}),
        ({"named": {"k": {"b": True}}}, {"named": {"k": ZEROS | {"b": True}}}),
        ({"forced": {"y": 1}}, {"forced": {"y": 1, "x": None}}),
    ],
)
def test_filled(root: Any, value: Any, made: Any) -> None:
    before = repr(value)
    assert filled(value, root) == made
    assert repr(value) == before


@pytest.mark.parametrize(
    "value", [{}, {"one": WHOLE}, {"many": [WHOLE]}, {"named": {"k": WHOLE}}, {"bare": {}}, {"other": 1}]
)
def test_what_lacks_nothing_is_the_very_same(root: Any, value: Any) -> None:
    assert filled(value, root) is value


def test_parts_that_lack_nothing_are_shared(root: Any) -> None:
    whole = dict(WHOLE)
    made = filled({"many": [{"s": "a"}, whole]}, root)
    assert made["many"][1] is whole
