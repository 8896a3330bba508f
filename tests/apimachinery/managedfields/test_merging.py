"""Applies and updates in turn: what results, and who owns what, for sets, keys and schemas that change."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apimachinery.managedfields.merging_world import (
    ABCD,
    AC,
    ATOMIC,
    BOOK,
    NAMED_A_1,
    NESTED,
    PORTS,
    Case,
    Path,
    World,
    check_turns,
    item,
    key,
    paths,
    under,
)

from tiphys.apimachinery.errors import StatusError


def texts(values: str | list[str]) -> set[Path]:
    return paths(*(("list", item(value)) for value in values))


SETS: dict[str, Case] = {
    "apply twice": (
        NESTED,
        [("apply", "me", {"list": AC}), ("apply", "me", {"list": ABCD})],
        {"list": ABCD},
        {"me": texts(ABCD)},
    ),
    "others add in between": (
        NESTED,
        [
            ("apply", "me", {"list": AC}),
            ("update", "other", {"list": ABCD}),
            ("apply", "me", {"list": ["a", "aprime", "c", "cprime"]}),
        ],
        {"list": ["a", "b", "aprime", "c", "d", "cprime"]},
        {"me": texts(["a", "aprime", "c", "cprime"]), "other": texts("bd")},
    ),
    "others add the same": (
        NESTED,
        [
            ("apply", "me", {"list": AC}),
            ("update", "other", {"list": ABCD}),
            ("apply", "me", {"list": ["a", "b", "c"]}),
        ],
        {"list": ABCD},
        {"me": texts("abc"), "other": texts("bd")},
    ),
    "another order": (
        NESTED,
        [("apply", "me", {"list": ABCD}), ("apply", "me", {"list": ["a", "d", "c", "b"]})],
        {"list": ["a", "d", "c", "b"]},
        {"me": texts(ABCD)},
    ),
    "others order": (
        NESTED,
        [
            ("apply", "me", {"list": ABCD}),
            ("update", "other", {"list": ["a", "d", "c", "b"]}),
            ("apply", "me", {"list": ABCD}),
        ],
        {"list": ABCD},
        {"me": texts(ABCD)},
    ),
    "fewer": (
        NESTED,
        [("apply", "me", {"list": ABCD}), ("apply", "me", {"list": AC})],
        {"list": AC},
        {"me": texts(AC)},
    ),
}
ONLY_VALUE, ONLY_NAME = {"struct": {"value": 1}}, {"struct": {"name": "b"}}
SCHEMAS: dict[str, Case] = {
    "parts that become one": (
        NESTED,
        [
            ("apply", "one", ONLY_VALUE),
            ("schema", ATOMIC),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct")}),
            ("force", "two", ONLY_NAME),
        ],
        ONLY_NAME,
        {"two": paths("struct")},
    ),
    "parts that become one, of which one lost all": (
        NESTED,
        [
            ("apply", "one", ONLY_VALUE),
            ("force", "two", {"struct": {"value": 2}}),
            ("schema", ATOMIC),
            ("apply", "three", ONLY_NAME, {("two", ".spec.struct")}),
            ("force", "two", ONLY_NAME),
        ],
        ONLY_NAME,
        {"two": paths("struct")},
    ),
    "one that comes to have parts": (
        ATOMIC,
        [
            ("apply", "one", NAMED_A_1),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct")}),
            ("schema", NESTED),
            ("apply", "two", ONLY_NAME, {("one", ".spec.struct.name")}),
            ("force", "two", ONLY_NAME),
        ],
        {"struct": {"name": "b", "value": 1}},
        {"one": paths("struct", ("struct", "value")), "two": paths(("struct", "name"))},
    ),
}
TCP, UDP = ("ports", key(port=80, protocol="TCP")), ("ports", key(port=80, protocol="UDP"))
LINE = ("book", key(chapter=1, section="A"), "sentences", key(line=3, page=2))
KEYS: dict[str, Case] = {
    "a key that defaults": (
        PORTS,
        [("apply", "me", {"ports": [{"port": 80}]})],
        {"ports": [{"port": 80}]},
        {"me": paths(*under(TCP, "port"))},
    ),
    "a key that defaults beside one that is given": (
        PORTS,
        [("apply", "me", {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]})],
        {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]},
        {"me": paths(*under(TCP, "port"), *under(UDP, "port", "protocol"))},
    ),
    "a key that defaults, in conflict": (
        PORTS,
        [
            ("apply", "one", {"ports": [{"port": 80, "protocol": "TCP", "name": "foo"}]}),
            (
                "apply",
                "two",
                {"ports": [{"port": 80, "name": "bar"}]},
                {("one", '.spec.ports[port=80,protocol="TCP"].name')},
            ),
        ],
        {"ports": [{"port": 80, "protocol": "TCP", "name": "foo"}]},
        {"one": paths(*under(TCP, "port", "protocol", "name"))},
    ),
    "every key defaults": (
        BOOK,
        [("apply", "me", {"book": [{"sentences": [{"text": "blah"}]}]})],
        {"book": [{"sentences": [{"text": "blah"}]}]},
        {"me": paths(LINE[:2], *under(LINE, "text"))},
    ),
    "a whole number where the default has a point": (
        BOOK,
        [
            ("apply", "me", {"book": [{"sentences": [{"text": "blah"}]}]}),
            ("apply", "me", {"book": [{"sentences": [{"text": "blah", "page": 2}]}]}),
        ],
        {"book": [{"sentences": [{"text": "blah", "page": 2}]}]},
        {"me": paths(LINE[:2], *under(LINE, "text", "page"))},
    ),
}


@pytest.mark.parametrize("case", SETS.values(), ids=SETS)
def test_sets(case: Case) -> None:
    check_turns(case)


@pytest.mark.parametrize("case", SCHEMAS.values(), ids=SCHEMAS)
def test_schemas_that_change(case: Case) -> None:
    check_turns(case)


@pytest.mark.parametrize("case", KEYS.values(), ids=KEYS)
def test_keys(case: Case) -> None:
    check_turns(case)


@pytest.mark.parametrize(
    "ports",
    [[{"protocol": "TCP"}], [{"port": 80}, {"port": 80}], [{"port": 80}, {"port": 80, "protocol": "TCP"}]],
)
def test_items_that_cannot_be_told_apart_are_not_applied(ports: list[Any]) -> None:
    with pytest.raises(StatusError):
        World(PORTS).act("apply", "me", {"ports": ports})
