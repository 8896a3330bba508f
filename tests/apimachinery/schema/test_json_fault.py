"""Faults of JSON in the words of Kubernetes' parser."""

# ruff: noqa: E501

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.apimachinery.schema.json_fault import explain

ENDS = "unexpected end of JSON input"
FAULTS = {
    b"": ENDS,
    b"  ": ENDS,
    b"{": ENDS,
    b'{"a"': ENDS,
    b'{"a": "b': ENDS,
    b"[1,": ENDS,
    b"tru": ENDS,
    b"1.": ENDS,
    b"{bad": "invalid character 'b' looking for beginning of object key string",
    b"{'a'": "invalid character '\\'' looking for beginning of object key string",
    b'{"a" 1}': "invalid character '1' after object key",
    b'{"a": 1 "b"}': "invalid character '\"' after object key:value pair",
    b'{"a": 1,}': "invalid character '}' looking for beginning of object key string",
    b"[1 2]": "invalid character '2' after array element",
    b"[,]": "invalid character ',' looking for beginning of value",
    b"trap": "invalid character 'a' in literal true (expecting 'u')",
    b"-x": "invalid character 'x' in numeric literal",
    b"1.x": "invalid character 'x' after decimal point in numeric literal",
    b"1ex": "invalid character 'x' in exponent of numeric literal",
    b"1 2": "invalid character '2' after top-level value",
    b"<html>": "invalid character '<' looking for beginning of value",
    b'"a\nb"': "invalid character '\\n' in string literal",
    b'"\\x"': "invalid character 'x' in string escape code",
    b'"\\u00zz"': "invalid character 'z' in \\u hexadecimal character escape",
}


@pytest.mark.parametrize(("body", "text"), FAULTS.items(), ids=[str(one) for one in FAULTS])
def test_faults(body: bytes, text: str) -> None:
    assert explain(body) == text


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=8))  # fmt: skip
def test_what_is_json_has_none(value: object) -> None:
    assert explain(json.dumps(value).encode()) == ""
