"""How Go prints JSON values."""

from __future__ import annotations

import pytest

from tiphys.apimachinery import go_text

PRINTED = {
    "text": ("a b", "a b", '"a b"'),
    "quoted": ('a"b', 'a"b', '"a\\"b"'),
    "number": (5, "5", "5"),
    "true": (True, "true", "true"),
    "null": (None, "<nil>", "interface {}(nil)"),
    "list": (["a", 1, None], "[a 1 <nil>]", '[]interface {}{"a", 1, interface {}(nil)}'),
    "map": ({"b": [], "a": "x"}, "map[a:x b:[]]", 'map[string]interface {}{"a":"x", "b":[]interface {}{}}'),
}
FLOATS = {
    1.0: "1",
    1.5: "1.5",
    999999.0: "999999",
    1e6: "1e+06",
    1234567.5: "1.2345675e+06",
    0.00001: "1e-05",
    0.0: "0",
}


@pytest.mark.parametrize("name", PRINTED)
def test_printed(name: str) -> None:
    value, plain, syntax = PRINTED[name]
    assert go_text.plain(value) == plain
    assert go_text.syntax(value) == syntax


@pytest.mark.parametrize("value", FLOATS)
def test_floats(value: float) -> None:
    assert go_text.plain(value) == FLOATS[value]


def test_all_numbers_read_as_floats() -> None:
    assert go_text.plain(go_text.as_floats({"a": [1000000, True, "x"]})) == "map[a:[1e+06 true x]]"


def test_types() -> None:
    found = [go_text.type_name(value) for value in ("a", True, [], {})]
    assert found == ["string", "bool", "[]interface {}", "map[string]interface {}"]


SELECTORS = {
    "none": (None, "nil"),
    "empty": (
        {}, "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}"),
    "both": (
        {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [
            {"key": "k", "operator": "In", "values": ["x", "y"]}]},
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement"
        "{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SELECTORS)
def test_label_selectors(name: str) -> None:
    selector, expected = SELECTORS[name]
    assert go_text.label_selector(selector) == expected
