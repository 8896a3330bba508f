"""Base64 as Go's decoder takes it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.schema.base64_text import canonical, stops_at

TAKEN = {
    "": "",
    "YQ==": "YQ==",
    "YWI=": "YWI=",
    "YWJj": "YWJj",
    "YW\nJj\r\n": "YWJj",
    "YQ=\n=": "YQ==",
    "YR==": "YQ==",
    "YWJ=": "YWI=",
}
STOPS = {
    "Y": 0,
    "YQ": 0,
    "YWJ": 0,
    "YWJjYQ": 4,
    "b*": 1,
    "YW*j": 2,
    "YW Jj": 2,
    "=": 0,
    "====": 0,
    "Y===": 1,
    "YQ=": 3,
    "YQ=a": 2,
    "YQ==YQ==": 4,
    "YWI=x": 4,
    "YWJj=": 4,
    "YWJj\n=": 5,
    "YQ==\nx": 5,
    "-_-_": 0,
    "éa": 0,
    "YWé=": 2,
}


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    assert canonical(text) == TAKEN[text]


@pytest.mark.parametrize("text", STOPS)
def test_stops(text: str) -> None:
    with pytest.raises(ValueError, match=f"^illegal base64 data at input byte {STOPS[text]}$"):
        canonical(text)


@given(st.text(st.sampled_from("AQgw=+/\n\rb*é"), max_size=12))
def test_taken_or_stopped(text: str) -> None:
    try:
        found = canonical(text)
    except ValueError:
        assert stops_at(text.encode()) < len(text.encode()) or text.rstrip("\r\n").endswith("=")
        return
    assert stops_at(text.encode()) == len(text.encode())
    assert base64.b64encode(base64.b64decode(found)).decode() == found
