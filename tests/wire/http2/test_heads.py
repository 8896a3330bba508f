"""Heads of requests: what is remembered of them is what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire.http1 import RequestLines
from tiphys.wire.http2 import hpack
from tiphys.wire.http2.heads import Head, HeadReader
from tiphys.wire.message import values_of


def reader(max_list_bytes: int = 4096) -> HeadReader:
    return HeadReader(max_list_bytes, RequestLines())


def literal(name: str, value: str, kind: bytes = b"\x00") -> bytes:
    return kind + hpack.string(name.encode()) + hpack.string(value.encode())


FIRST = b"\x82\x87\x84" + literal(":authority", "x")
KEPT = b"\x40"
"""Begins a literal that goes into the table."""


def test_an_equal_block_is_the_same_head() -> None:
    heads = reader()
    block = FIRST + literal("x", "1")
    assert heads.read(block) is heads.read(block)
    assert heads.read(block).headers.fields == {"host": "x", "x": "1"}


def test_a_block_that_changes_the_table_is_read_each_time() -> None:
    heads = reader()
    grows = FIRST + literal("x", "1", KEPT)
    for count in (1, 2, 3):
        heads.read(grows)
        assert len(heads._decoder._table) == count


def test_a_block_means_something_else_once_the_table_has_changed() -> None:
    heads = reader()
    newest = FIRST + b"\xbe"
    found = []
    for value in ("1", "2"):
        heads.read(FIRST + literal("x", value, KEPT))
        found += [heads.read(newest).headers.fields["x"] for _ in range(2)]
    heads.read_trailers(1, literal("x", "3", KEPT))
    found.append(heads.read(newest).headers.fields["x"])
    heads.skip(literal("x", "4", KEPT))
    found.append(heads.read(newest).headers.fields["x"])
    assert found == ["1", "1", "2", "2", "3", "4"]


def test_equal_headers_are_one_whatever_the_block() -> None:
    heads = reader()
    plain = heads.read(FIRST + literal("x", "1"))
    kept = heads.read(FIRST + literal("x", "1", KEPT))
    again = heads.read(FIRST + b"\xbe")
    other = heads.read(b"\x82\x87" + literal(":path", "/other") + literal(":authority", "x") + b"\xbe")
    assert plain.headers is kept.headers is again.headers is other.headers
    assert [one.line[1] for one in (plain, kept, again, other)] == ["/", "/", "/", "/other"]


def test_a_length_is_each_requests_own() -> None:
    heads = reader()
    found = [heads.read(FIRST + literal("content-length", text)) for text in ("5", "17", "5")]
    assert [one.length for one in found] == [5, 17, 5]
    assert [one.headers.fields["content-length"] for one in found] == ["5", "17", "5"]
    assert found[0].headers.memo is found[1].headers.memo


def test_repeated_headers_stay_apart_beside_a_length() -> None:
    """Who somebody is may be said several times."""
    groups = literal("impersonate-group", "a, b") + literal("impersonate-group", "c")
    for length in ("", "5"):
        found = reader().read(FIRST + groups + (literal("content-length", length) if length else b""))
        assert values_of(found.headers.fields, "impersonate-group") == ["a, b", "c"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/a%20b?c=%2F&d", ("GET", "/a b", "/a%20b", "c=%2F&d")),
        ("https://x/a?b", ("GET", "/a", "/a", "b")),
        ("*", ("GET", "*", "*", "")),
        ("/ä", ("GET", "/ä", "/ä", "")),
    ],
)
def test_paths(path: str, line: tuple[str, str, str, str]) -> None:
    assert reader().read(b"\x82\x87" + literal(":path", path)).line == line


def test_what_is_too_large_is_refused_and_no_more_than_that() -> None:
    heads = reader(200)
    large = heads.read(FIRST + literal("x", "y" * 200))
    assert large.headers.refusal is not None
    assert (large.headers.refusal.status, large.fault) == (431, "")
    assert heads.read(FIRST).headers.refusal is None


NAMES = st.sampled_from(
    [":method", ":path", ":scheme", ":authority", "x", "cookie", "te", "content-length", "X", ""]
)
VALUES = st.sampled_from(["GET", "/", "https", "1", "trailers", "a\nb", ""])


@given(st.lists(st.tuples(NAMES, VALUES, st.sampled_from([b"\x00", KEPT])), max_size=8))
def test_what_is_remembered_is_what_is_found_out(fields: list[tuple[str, str, bytes]]) -> None:
    block = b"".join(literal(name, value, kind) for name, value, kind in fields)
    heads = reader()
    known: list[Head] = [heads.read(block) for _ in range(3)]
    fresh = reader().read(block)
    for one in known:
        assert (one.line, one.length, one.fault) == (fresh.line, fresh.length, fresh.fault)
        assert (one.headers.fields, one.headers.fault) == (fresh.headers.fields, fresh.headers.fault)
    assert fresh.fault or fresh.line[1] in ("/",)
