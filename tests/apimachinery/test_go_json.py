"""Numbers in JSON as Go writes them."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import go_json, go_text

NUMBERS = {
    1e-5: "0.00001",
    9.5e-6: "0.0000095",
    1e-6: "0.000001",
    -1e-6: "-0.000001",
    9.9e-7: "9.9e-7",
    1e-10: "1e-10",
    0.1: "0.1",
    123.456: "123.456",
    1.0: "1",
    -2.0: "-2",
    10.05: "10.05",
    9007199254740994.0: "9007199254740994",
    1e15: "1000000000000000",
    1e16: "10000000000000000",
    float(2**63): "9223372036854775808",
    1.8446744073709552e19: "18446744073709552000",
    -1e20: "-100000000000000000000",
    1e21: "1e+21",
    1.5e300: "1.5e+300",
    5e-324: "5e-324",
}


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers(value: float) -> None:
    expected = NUMBERS[value].replace("9223372036854775808", "9223372036854776000").encode()
    assert go_json.written(orjson.dumps({"a": value})) == b'{"a":%b}' % expected
    assert go_json.written(orjson.dumps([value, {"b": [1, value]}])) == b'[%b,{"b":[1,%b]}]' % (
        expected,
        expected,
    )
    pretty = go_json.written(orjson.dumps({"a": value, "b": "x"}, option=orjson.OPT_INDENT_2))
    assert pretty == b'{\n  "a": %b,\n  "b": "x"\n}' % expected


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":":1e5,","b":[1,2]}',
        b'{"a":"[1.0]","b":"1e20"}',
        b'{"a":"\\":1e20","b":"\\\\"}',
        b'{"1e5":true,"x":-5,"y":1.05}',
        b'{"e":0.5,"f":["1.0",":-1.0,"]}',
    ],
)
def test_texts_stay_as_they_are(text: bytes) -> None:
    json.loads(text)
    assert go_json.written(text) == text
    assert go_json.written(text[:-1] + b',"z":1e20}') == text[:-1] + b',"z":100000000000000000000}'


_VALUES = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES)
def test_the_value_is_the_same_and_every_number_goes_way(value: object) -> None:
    text = go_json.written(orjson.dumps([value]))
    assert json.loads(text, parse_int=float) == json.loads(orjson.dumps([value]), parse_int=float)
    written: list[str] = []
    json.loads(text, parse_float=lambda word: written.append(word) or float(word))
    assert written == [go_text.number(float(word)) for word in written]
