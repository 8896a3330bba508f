"""Selectors of labels and fields by the cases that upstream holds its own against."""
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apimachinery import fields, labels
from tiphys.apimachinery.errors import BadRequest

WRITTEN_BACK = [
    "x=a,y=b,z=c", "", "x!=a,y=b", "x=", "x= ", "x=,z= ", "x= ,z= ", "!x", "x>1", "x>1,z<5",
    "x in (abc,def),y notin (jkl),z", "x notin (abc,def),y!=jkl,!z", "x notin (abc),y in (jkl,mno),z notin ()",
    "x>2,y<8,z", "x=abc,y!=a,z",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN_BACK)
def test_written_back(text: str) -> None:
    shown = str(labels.parse_selector(text))
    assert shown.replace(" ", "") == text.replace(" ", "")


def test_the_order_of_terms_does_not_show() -> None:
    assert str(labels.parse_selector("x=a,a=x")) == str(labels.parse_selector("a=x,x=a")) == "a=x,x=a"


@pytest.mark.parametrize(
    "text",
    [
        "x=a||y=b", "x==a==b", "!x=a", "x<a", "x in", "x in a", "!x in (a)", "x=1 y", "=", "x in (a b)", "x notin",
        "x in (a", "a,,b", "(", "x!", "x in (a),", "x>", "x<-1", "x=a,!", "x>1>2", "a in (b),c in", "~", "x=~",
    ],
)  # fmt: skip
def test_no_selectors(text: str) -> None:
    with pytest.raises(BadRequest):
        labels.parse_selector(text)


PARSED: list[tuple[str, list[tuple[str, str, tuple[str, ...]]]]] = [
    ("\rx", [("x", "exists", ())]),
    ("this-is-a-dns.domain.com/key-with-dash", [("this-is-a-dns.domain.com/key-with-dash", "exists", ())]),
    ("a-dns.domain.com/key in (so,what)", [("a-dns.domain.com/key", "in", ("so", "what"))]),
    ("0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)",
     [("0.1.2.domain/99", "notin", ("10.10.100.1", "tick.tack.clock"))]),
    ("foo  in\t (abc)", [("foo", "in", ("abc",))]),
    ("x notin\n (abc)", [("x", "notin", ("abc",))]),
    ("x  notin\t\t\t(abc,def)", [("x", "notin", ("abc", "def"))]),
    ("x in (abc,)", [("x", "in", ("", "abc"))]),
    ("x in ()", [("x", "in", ("",))]),
    ("x notin (abc,,def),bar,z in (),w",
     [("x", "notin", ("", "abc", "def")), ("bar", "exists", ()), ("z", "in", ("",)), ("w", "exists", ())]),
    ("x,y in (a)", [("x", "exists", ()), ("y", "in", ("a",))]),
    ("x=a", [("x", "=", ("a",))]),
    ("x>7", [("x", "gt", ("7",))]),
    ("x=a,y!=b", [("x", "=", ("a",)), ("y", "!=", ("b",))]),
    ("x=a,y!=b,z in (h,i,j)", [("x", "=", ("a",)), ("y", "!=", ("b",)), ("z", "in", ("h", "i", "j"))]),
    ("notin=in", [("notin", "=", ("in",))]),
    ("1foo in (bar)", [("1foo", "in", ("bar",))]),
    ("1234 in (bar)", [("1234", "in", ("bar",))]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PARSED)
def test_parsed(text: str, expected: list[tuple[str, str, tuple[str, ...]]]) -> None:
    found = labels.parse_selector(text).requirements
    assert [(one.key, one.operator, one.values) for one in found] == expected


MATCHED = [
    ("x=y,z=w", {"x": "y", "z": "w"}, True),
    ("x!=y,z!=w", {"x": "z", "z": "a"}, True),
    ("x!=y,z!=w", {"x": "z", "z": "w"}, False),
    ("x<1", {"x": "0"}, True),
    ("x>1", {"x": "0"}, False),
    ("x>1", {"x": "v2"}, False),
    ("x notin (),y", {"y": ""}, True),
    ("x notin (),!y", {"y": ""}, False),
    ("!x,y", {"y": ""}, True),
    ("x in ()", {"y": "baz"}, False),
    ("foo=bar,foobar=bar,baz=blah", {"foo": "bar", "baz": "blah"}, False),
]


@pytest.mark.parametrize(("text", "given", "expected"), MATCHED)
def test_matched(text: str, given: dict[str, str], expected: bool) -> None:
    assert labels.parse_selector(text).matches(given) is expected


REQUIRED = [
    ("x", "in", [], False), ("x", "notin", [], False), ("x", "in", ["foo"], True), ("x", "notin", ["foo"], True),
    ("x", "exists", [], True), ("x", "!", [], True), ("x", "exists", ["foo"], False), ("x", "!", ["foo"], False),
    ("y", "gt", ["1"], True), ("z", "lt", ["6"], True), ("foo", "gt", ["bar"], False), ("z", "lt", ["1", "2"], False),
    ("x", "=", ["a", "b"], False), ("x", "!=", [], False), ("a" * 254, "exists", [], False), ("x", "in", ["a" * 64], False),
]  # fmt: skip


@pytest.mark.parametrize(("key", "operator", "values", "stands"), REQUIRED)
def test_requirements(key: str, operator: str, values: list[str], stands: bool) -> None:
    if stands:
        assert labels.new_requirement(key, operator, values).values == tuple(values)
        return
    with pytest.raises(BadRequest):
        labels.new_requirement(key, operator, values)


TERMS: list[tuple[str, list[tuple[str, str, bool]]]] = [
    ("a=avalue,b==bvalue,c!=cvalue", [("a", "avalue", False), ("b", "bvalue", False), ("c", "cvalue", True)]),
    ("a=a,", [("a", "a", False)]),
    (",a=a", [("a", "a", False)]),
    (r"k=\,,k2=v2", [("k", ",", False), ("k2", "v2", False)]),
    (r"k=\\,k2=v2", [("k", "\\", False), ("k2", "v2", False)]),
    (r"k=\\\,,k2=v2", [("k", r"\,", False), ("k2", "v2", False)]),
    ("함=수,목=록", [("함", "수", False), ("목", "록", False)]),
    (r"x=a||y\=b", [("x", "a||y=b", False)]),
    (r"x=a\=\=b", [("x", "a==b", False)]),
    ("notin=in", [("notin", "in", False)]),
    ("=v", [("", "v", False)]),
]


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_terms(text: str, expected: list[tuple[str, str, bool]]) -> None:
    assert [tuple(one) for one in fields.parse_field_selector(text)] == expected


@pytest.mark.parametrize(
    "text",
    ["x=a||y=b", "x==a==b", "x=a,b", "x in (a)", "x in (a,b,c)", "x", r"k=\a\b" + "\\", "k=\\", r"k=\\\a"],
)
def test_no_terms(text: str) -> None:
    with pytest.raises(BadRequest):
        fields.parse_field_selector(text)


@pytest.mark.parametrize(
    ("value", "escaped"),
    [("", ""), ("a", "a"), ("=", r"\="), (",", r"\,"), ("\\", r"\\"), ("\\=\\,\\", r"\\\=\\\,\\")],
)
def test_escaped(value: str, escaped: str) -> None:
    assert fields.escape(value) == escaped
    assert fields.parse_field_selector(f"k={escaped}") == [fields.FieldRequirement("k", value, False)]


def test_terms_that_match() -> None:
    given = {"foo": "bar", "baz": "blah", "complex": r"=value\,\ ".strip()}
    for text, expected in {
        "foo=bar,baz=blah": True,
        r"foo=bar,baz=blah,complex=\=value\\\,\\": True,
        "foo=blah": False,
        "foo=bar,foobar=bar,baz=blah": False,
        "foobar!=bar": True,
    }.items():
        assert all(one.matches(given) for one in fields.parse_field_selector(text)) is expected, text
