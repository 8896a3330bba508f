"""Values that know how they were written, and where a body has them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema import raw_text
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.strict_json import JsonError

RAW = Schema(type="object", name="io.k8s.apimachinery.pkg.runtime.RawExtension")
SCHEMA = Schema(
    type="object",
    properties={
        "data": RAW,
        "plain": Schema(type="string"),
        "list": Schema(type="array", items=Schema(type="object", properties={"raw": RAW})),
    },
)


def test_a_value_knows_its_text_until_it_is_changed() -> None:
    value = raw_text.kept(b'{"a": 1e3, "a": [2 ]}')
    assert value == {"a": [2]}
    assert raw_text.text_of(value) == b'{"a": 1e3, "a": [2 ]}'
    assert raw_text.text_of(copy_object(value)) is None
    value["a"].append(3)
    assert raw_text.text_of(value) is None
    assert raw_text.dumps({"x": value}) == b'{"x":{"a":[2,3]}}'


@pytest.mark.parametrize("text", [b'{"a":1}', b"[1,2]", b'"x "', b"1", b"null", b"true"])
def test_what_is_written_so_anyway_is_not_kept(text: bytes) -> None:
    assert raw_text.text_of(raw_text.kept(text)) is None
    assert type(raw_text.kept(text)) is type(orjson.loads(text))


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":1}x'])
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(JsonError):
        raw_text.kept(text)


COMPACT: dict[bytes, bytes] = {
    b'{"a":1}': b'{"a":1}',
    b'{"a b":"c  d"}': b'{"a b":"c  d"}',
    b' { "a b" :\t[1 ,\r\n2 ] }\n': b'{"a b":[1,2]}',
    b'{"a\\" ": 1,"\\\\": "  "}': b'{"a\\" ":1,"\\\\":"  "}',
}


@pytest.mark.parametrize("text", COMPACT)
def test_compact(text: bytes) -> None:
    assert raw_text.compact(text) == COMPACT[text]
    assert (raw_text.compact(text) is text) is (COMPACT[text] == text)


def test_of_a_body() -> None:
    body = (
        b' {"plain" : "{\\"data\\": 1}", "list": [ {"raw": {"b" :1}} ,{}, {"raw": "x"},{"raw":[ ]}],'
        b' "other": {"data": { }}, "data": {"c":1.0 } } '
    )
    value = raw_text.with_texts(orjson.loads(body), SCHEMA, body)
    assert value == orjson.loads(body)
    found = [value["data"], value["other"]["data"], *(item.get("raw") for item in value["list"])]
    assert [raw_text.text_of(one) for one in found] == [b'{"c":1.0 }', None, b'{"b" :1}', None, None, b"[ ]"]


def test_a_value_that_the_body_does_not_have() -> None:
    value = {"data": {"a": 2}, "list": [{"raw": {"a": 1}}, {}]}
    assert raw_text.with_texts(value, SCHEMA, b'{"data": {"a" : 1}, "list": {}}') is value


def test_where_values_may_be() -> None:
    assert set(raw_text.fields(SCHEMA)) == {"data", "list"}
    assert not raw_text.fields(Schema(type="object", properties={"a": Schema(type="string")}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4))
def test_any_value_in_any_layout(value: dict[str, object]) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    body = orjson.dumps({"plain": "x", "list": [{"raw": value}], "data": value}, option=orjson.OPT_INDENT_2)
    assert raw_text.compact(text) == orjson.dumps(value)
    read = raw_text.with_texts(orjson.loads(body), SCHEMA, body)
    for found in (read["data"], read["list"][0]["raw"]):
        assert found == value
        kept = raw_text.text_of(found) or orjson.dumps(value)
        assert kept in body
        assert raw_text.compact(kept) == orjson.dumps(value)
