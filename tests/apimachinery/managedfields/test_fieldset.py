# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.managedfields import fieldset
from tiphys.apimachinery.managedfields.fieldset import ANY, FieldsError, below, check, from_paths, ordered

ELEMENTS = ("f:a", "f:b", 'k:{"name":"x"}', "v:1")
SETS = st.lists(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=3).map(tuple), max_size=6).map(
    frozenset
)
Paths = frozenset[tuple[str, ...]]


def to_node(paths: Paths) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        at = root
        for element in path:
            at = at.setdefault(element, {})
        at["."] = {}
    return check(root)


def to_paths(node: dict[str, Any], prefix: tuple[str, ...] = ()) -> Paths:
    found = set()
    for key, child in node.items():
        if key != ".":
            here = (*prefix, key)
            if fieldset.is_member(child):
                found.add(here)
            found |= to_paths(child, here)
    return frozenset(found)


@given(SETS, SETS)
def test_algebra_equals_plain_sets(one: Paths, other: Paths) -> None:
    a, b = to_node(one), to_node(other)
    assert to_paths(a) == one
    assert to_paths(fieldset.union(a, b)) == one | other
    assert to_paths(fieldset.difference(a, b)) == one - other
    assert to_paths(fieldset.intersection(a, b)) == one & other
    below = {path for path in one if any(path[: len(cut)] == cut for cut in other)}
    assert to_paths(fieldset.without(a, b)) == one - below


@given(SETS, SETS)
def test_covering_equals_plain_sets(one: Paths, other: Paths) -> None:
    a, b = to_node(one), to_node(other)
    assert fieldset.covers(a, b) == (other <= one)
    assert fieldset.covers(to_node(one | other), b)


@given(SETS, SETS)
def test_results_are_normal(one: Paths, other: Paths) -> None:
    a, b = to_node(one), to_node(other)
    for result in (
        fieldset.union(a, b),
        fieldset.difference(a, b),
        fieldset.intersection(a, b),
        fieldset.without(a, b),
    ):
        assert ordered(result) == to_node(to_paths(result))
        assert (not result) == (not to_paths(result))


def test_order() -> None:
    assert list(ordered({"v:1": {}, "f:b": {"f:c": {}, ".": {}}, "f:a": {}})) == ["f:a", "f:b", "v:1"]
    assert list(ordered({"f:b": {"f:c": {}, ".": {}}})["f:b"]) == [".", "f:c"]


SORTED = (
    ".", "f:aaa", "f:aab", 'k:{"name":"a"}', 'k:{"name":"a!"}', 'k:{"port":80,"protocol":"TCP"}',
    'k:{"port":443,"protocol":"TCP"}', 'k:{"port":443,"protocol":"UDP"}', "v:-1", "v:1", "v:1.5", "v:2", "v:10",
    'v:"aa"', 'v:"ab"', "v:false", "v:true", "v:[1]", "v:[1,2]", "v:[2]", 'v:{"a":1}', "v:null", "i:2", "i:10",
)  # fmt: skip
"""As Go sorts elements: the kinds of its golden data, and numbers by what they are."""


@pytest.mark.parametrize("turn", range(0, len(SORTED), 5))
def test_elements_are_sorted_as_go_sorts_them(turn: int) -> None:
    given = [*SORTED[turn:], *SORTED[:turn]][::-1]
    root: dict[str, Any] = {"f:list": {element: {} for element in given}}
    assert tuple(ordered(root)["f:list"]) == SORTED
    assert tuple(check(root)["f:list"]) == SORTED
    assert fieldset.in_order(given) == [*SORTED]


def test_elements_that_cannot_be_read_are_sorted_all_the_same() -> None:
    assert fieldset.in_order(["k:junk", "k:3", "v:x", "i:y", "i:1"]) == ["k:3", "k:junk", "v:x", "i:1", "i:y"]


ELEMENTS_OF_ALL_KINDS = (
    "i:0", "i:1234", "f:", "f:spec", "f:more-complicated-string", 'k:{"name":"my-container"}',
    'k:{"port":"8080","protocol":"TCP"}', 'k:{"optionalField":null}',
    'k:{"jsonField":{"A":1,"B":null,"C":"D","E":{"F":"G"}}}', 'k:{"listField":["1","2","3"]}',
    "v:null", 'v:"some-string"', "v:1234", 'v:{"some":"json"}',
)  # fmt: skip


@pytest.mark.parametrize("element", ELEMENTS_OF_ALL_KINDS)
def test_elements_are_read_as_they_are_written(element: str) -> None:
    assert check({element: {}}) == {element: {}}


@pytest.mark.parametrize("element", ["r:Hello", "r:"])
def test_elements_of_later_kinds_are_dropped(element: str) -> None:
    assert check({"f:a": {}, element: {"f:b": {}}}) == {"f:a": {}}


@pytest.mark.parametrize(
    "element",
    ["", "f", "no-colon", "i:index is not a number", "i:1.23", "i:", "v:invalid json", "v:",
     "k:invalid json", 'k:{"name":invalid}', "k:{invalid json}"],
)  # fmt: skip
def test_what_is_no_element(element: str) -> None:
    with pytest.raises(FieldsError):
        check({element: {}})


def test_markup_is_escaped_in_values() -> None:
    assert fieldset.value_element("<&>") == r'v:"\u003c\u0026\u003e"'
    assert fieldset.key_element({"path": "/a&b"}) == r'k:{"path":"/a\u0026b"}'
    assert check({'v:"<"': {}, "f:<": {}}) == {r'v:"\u003c"': {}, "f:<": {}}
    assert fieldset.element_text(fieldset.value_element("<")) == '[="<"]'


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("f:spec", ".spec"),
        ('k:{"containerPort":80,"protocol":"TCP"}', '[containerPort=80,protocol="TCP"]'),
        ('v:"a"', '[="a"]'),
        (r'v:"\u0001\t"', r'[="\x01\t"]'),
        ("v:1", "[=1]"),
        ("i:3", "[3]"),
        ("k:junk", "[junk]"),
        ("k:3", "[3]"),
    ],
)
def test_element_text(element: str, text: str) -> None:
    assert fieldset.element_text(element) == text


def test_paths_as_people_read_them() -> None:
    """What is inside of others comes after all beside them."""
    node: dict[str, Any] = {
        "f:spec": {"f:list": {'k:{"name":"x"}': {".": {}, "f:image": {}}}, "f:z": {}},
        "f:t": {},
        "f:a": {},
    }
    inner = [".spec.z", '.spec.list[name="x"]', '.spec.list[name="x"].image']
    assert list(fieldset.paths(node)) == [".a", ".t", *inner]


def test_from_paths() -> None:
    assert from_paths(("metadata", "name"), ("status",)) == {"f:metadata": {"f:name": {}}, "f:status": {}}


@pytest.mark.parametrize(
    "bad",
    [
        [], "x", {"q": {}}, {"q:a": 1}, {"f:a": 1}, {"f:a": {"x": {}}}, {"i:x": {}}, {"i:": {}}, {"v:x": {}},
        {"v:": {}}, {"k:1": {}}, {'k:{"uid":"abc"} {"trailing":"data"}': {}}, {'v:"a" {"trailing":"data"}': {}},
    ],
)  # fmt: skip
def test_check_refuses(bad: Any) -> None:
    with pytest.raises(FieldsError):
        check(bad)


def test_check_normalises() -> None:
    assert check({"f:a": {".": {}}, ".": {}}) == {"f:a": {}}


def test_elements_come_back_in_one_form() -> None:
    """Keys of items are in order, values compact; what a later version may know is dropped."""
    given: dict[str, Any] = {
        'k:{"protocol": "TCP", "containerPort": 80}': {"f:x": {}},
        'v: "a"': {},
        "i:05": {},
        "q:x": {"f:a": {}},
    }
    assert check(given) == {"i:5": {}, 'k:{"containerPort":80,"protocol":"TCP"}': {"f:x": {}}, 'v:"a"': {}}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1e20, "1" + 20 * "0"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (1e-6, "0.000001"),
    ],
)
def test_numbers_in_elements_are_written_as_go_does(number: float, text: str) -> None:
    assert fieldset.value_element(number) == f"v:{text}"
    assert fieldset.key_element({"b": "x", "a": number}) == f'k:{{"a":{text},"b":"x"}}'
    written: dict[str, Any] = {f"v:{number!r}": {}, f'k:{{"a": {{"b": [{number!r}, "c"]}}}}': {}}
    assert check(written) == {f"v:{text}": {}, f'k:{{"a":{{"b":[{text},"c"]}}}}': {}}


@pytest.mark.parametrize(
    "fields",
    [
        {"i:5": {"f:i": {}}, "v:3": {"f:alsoPi": {}}, "v:3.1415": {"f:pi": {}}, "v:false": {"f:notTrue": {}}},
        {
            "f:spec": {
                "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:ports": {"i:0": {"f:a": {}}}}}
            }
        },
    ],
)
def test_round_trips(fields: Any) -> None:
    assert check(fields) == fields


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        ({"f:a": {}}, {"f:a": {".": {}, "f:b": {}}}),
        ({"f:a": {"f:b": {}}}, {"f:a": {"f:b": {}}}),
        ({"f:c": {ANY: {"f:x": {}}}}, {"f:c": {"k:1": {"f:x": {}}, "k:2": {"f:x": {"f:z": {}}}}}),
        ({"f:d": {}}, {}),
        ({}, {}),
    ],
)
def test_below(paths: Any, kept: Any) -> None:
    fields = {
        "f:a": {".": {}, "f:b": {}},
        "f:c": {"k:1": {".": {}, "f:x": {}, "f:y": {}}, "k:2": {"f:x": {"f:z": {}}}},
    }
    assert below(fields, paths) == kept
