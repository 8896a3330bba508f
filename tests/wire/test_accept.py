"""Clauses of ``Accept`` headers: their order, and what is passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire.accept import clauses, reaches

ORDER: dict[str, list[str]] = {
    "": [],
    "a/b": ["a/b"],
    "a/b,c/d": ["a/b", "c/d"],
    "a/b;q=0.1 , c/d": ["c/d", "a/b"],
    "a/b;q=0.5,c/d;q=0.9,e/f;q=0.7": ["c/d", "e/f", "a/b"],
    "*/*,a/*,a/b": ["a/b", "a/*", "*/*"],
    "*,a/b": ["a/b", "*/*"],
    # Of these two each goes before the other: it is the later one that does.
    "a/b;q=0.1,*/*": ["*/*", "a/b"],
    "*/*,a/b;q=0.1": ["a/b", "*/*"],
    "a/b;q=x,c/d;q=-1,e/f;q=1e-1": ["e/f", "a/b", "c/d"],
    "a/b;q= 0.9,c/d;q=0.1": ["c/d", "a/b"],
    "a,a/,/b,a/b/c,a/b/": ["/b", "a/b"],
    ",, ,a/b,": ["a/b"],
    "A/B": ["A/B"],
}


@pytest.mark.parametrize(("header", "want"), ORDER.items())
def test_order(header: str, want: list[str]) -> None:
    assert [f"{one.type}/{one.subtype}" for one in clauses(header)] == want


PARAMETERS: dict[str, dict[str, str]] = {
    "a/b; v = 1 ;q=0.3": {"v": "1"},
    "a/b;v=1;v=2": {"v": "2"},
    "a/b;v;w=;x==1;y=1=;z=1=2": {"y": "1"},
    'a/b;v="1"': {"v": '"1"'},
    "a/b;V=1": {"V": "1"},
    "a/b;": {},
}


@pytest.mark.parametrize(("header", "want"), PARAMETERS.items())
def test_parameters(header: str, want: dict[str, str]) -> None:
    (found,) = clauses(header)
    assert dict(found.parameters) == want


@pytest.mark.parametrize(
    ("range_", "want"),
    [
        ("a/b", True),
        ("a/*", True),
        ("*/*", True),
        ("*", True),
        ("*/b", False),
        ("c/*", False),
        ("a/c", False),
    ],
)
def test_ranges(range_: str, want: bool) -> None:
    (found,) = clauses(range_)
    assert found.takes("a/b") is want


@given(st.text(alphabet="ab*/;=,q. 01\t\xe9", max_size=40))
def test_any_text_has_clauses(header: str) -> None:
    assert len(clauses(header)) <= header.count(",") + 1


@pytest.mark.parametrize(
    ("header", "want"),
    [
        ("a/b", True), ("x/y; q=1 , a/b;c=d", True), ("*/*;q=0", True), ("a/*", False), ("A/B", False),
        ("*", False), ("", False),
    ],
)  # fmt: skip
def test_what_reaches_a_route(header: str, want: bool) -> None:
    assert reaches(header, ("a/b", "c/d")) is want


def test_more_clauses_than_anybody_means_are_ordered_without_comparing_each_with_all() -> None:
    """There is no telling it from an answer, but for how long that takes: minutes, if it were otherwise."""
    many = clauses(",".join(["*/*", *(f"a/b{number};q=0.{number:06}" for number in range(20_000)), "c/*"]))
    assert [one.subtype for one in many[:2]] == ["*", "*"]
    assert [one.quality for one in many[2:5]] == [0.019999, 0.019998, 0.019997]
