"""The wire format against google's own messages: what we write they read, and the other way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import protowire as wire
from tiphys.apimachinery.protobuf import build

DEMO = build(
    {
        "demo.All": {
            "name": [1, "string"], "count": [2, "int64"], "on": [3, "bool"], "at": [4, "fixed64"],
            "ratio": [5, "double"], "raw": [6, "bytes"], "far": [2047, "string"],
        }
    },
    {},
)["demo.All"]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010"),
        (2**63 - 1, "ffffffffffffffff7f"), (-1, "ffffffffffffffffff01"), (-(2**63), "80808080808080808001"),
    ],
)  # fmt: skip
def test_varints(number: int, data: str) -> None:
    raw = bytes.fromhex(data)
    assert wire.varint(number) == raw
    value, end = wire.read_varint(b"\xff" + raw + b"\x01", 1, 1 + len(raw))
    assert (wire.signed(value), end) == (number, 1 + len(raw))


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_varint_comes_back(number: int) -> None:
    data = wire.varint(number)
    value, end = wire.read_varint(data, 0, len(data))
    assert (wire.signed(value), end) == (number, len(data))


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        (wire.text(1, "grüß"), "name", "grüß"),
        (wire.text(2047, "x"), "far", "x"),
        (wire.whole(2, -5), "count", -5),
        (wire.switch(3, True), "on", True),
        (wire.fixed64(4, 2**64 - 1), "at", 2**64 - 1),
        (wire.double(5, -0.25), "ratio", -0.25),
        (wire.message(6, b"\x00" * 200), "raw", b"\x00" * 200),
        (wire.delimited(wire.tag(6, wire.BYTES), b"ab"), "raw", b"ab"),
        (wire.head(6, 2) + b"ab", "raw", b"ab"),
    ],
)
def test_fields_are_what_others_read(data: bytes, field: str, value: Any) -> None:
    assert DEMO.FromString(data) == DEMO(**{field: value})
    assert DEMO(**{field: value}).SerializeToString() == data


def test_what_is_nothing_is_left_out_where_it_says_so() -> None:
    assert wire.text(1, "") + wire.text(1, None) + wire.whole(2, 0) + wire.whole(2, None) == b""
    assert wire.switch(3, False) + wire.switch(3, None) == b""
    assert (wire.message(6, b""), wire.fixed64(4, 0)) == (b"\x32\x00", b"\x21" + bytes(8))


@pytest.mark.parametrize(
    "field", [wire.text(1, "abc"), wire.whole(2, 300), wire.fixed64(4, 1), b"\x2d" + bytes(4)]
)
def test_skipping_ends_where_the_field_does(field: bytes) -> None:
    assert wire.skip(field + b"rest", 1, len(field) + 4, field[0] & 7) == len(field)


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (lambda data: wire.read_varint(data, 0, len(data)), b"", "unexpected EOF"),
        (lambda data: wire.read_varint(data, 0, len(data)), b"\x80", "unexpected EOF"),
        (lambda data: wire.read_varint(data, 0, len(data)), b"\xff" * 11, "proto: integer overflow"),
        (lambda data: wire.read_length(data, 0, len(data)), b"\x03ab", "unexpected EOF"),
        (lambda data: wire.skip(data, 0, len(data), wire.FIXED64), bytes(7), "unexpected EOF"),
        (lambda data: wire.skip(data, 0, len(data), 7), b"", "proto: illegal wireType 7"),
    ],
)
def test_bytes_that_end_too_early(read: Callable[[bytes], Any], data: bytes, message: str) -> None:
    with pytest.raises(wire.ProtobufError, match=message):
        read(data)
