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


def test_markup() -> None:
    assert go_text.without_markup(b'{"<a>":"b&c"}') == b'{"\\u003ca\\u003e":"b\\u0026c"}'
    assert go_text.without_markup(b"[1]") == b"[1]"


def test_lists_of_texts() -> None:
    assert go_text.quoted_list(["a", "b c"]) == '["a" "b c"]'
    assert go_text.quoted_list(()) == "[]"


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


ENCODED = {
    0.0: "0",
    1.0: "1",
    -1.5: "-1.5",
    1e6: "1000000",
    0.000001: "0.000001",
    0.0000015: "0.0000015",
    1e-7: "1e-7",
    1.25e-10: "1.25e-10",
    9007199254740993.0: "9007199254740992",
    7.683697524021614e17: "768369752402161400",
    2.3598477073367196e19: "23598477073367196000",
    1e20: "100000000000000000000",
    1e21: "1e+21",
    1.7976931348623157e308: "1.7976931348623157e+308",
    5e-324: "5e-324",
}


@pytest.mark.parametrize("value", ENCODED)
def test_encoded_floats(value: float) -> None:
    assert go_text.encoded(value) == ENCODED[value]
    assert go_text.encoded({"b": [value], "a": -value})[-len(ENCODED[value]) - 2 :] == f"{ENCODED[value]}]}}"


def test_zero_below_zero() -> None:
    assert go_text.encoded(-0.0) == "-0"


@pytest.mark.parametrize("text", ["", "yes", "tRUE", "0x1", " true"])
def test_no_boolean(text: str) -> None:
    assert go_text.bool_fault(text) == f'strconv.ParseBool: parsing "{text}": invalid syntax'
    assert text not in go_text.BOOLS


@pytest.mark.parametrize(("text", "value"), [("1", True), ("T", True), ("False", False), ("f", False)])
def test_boolean(text: str, value: bool) -> None:
    assert go_text.bool_fault(text) == ""
    assert go_text.BOOLS[text] is value
