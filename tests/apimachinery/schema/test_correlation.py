"""What a part was before, and whether it is the same."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema.correlation import Partners, same, unchanged
from tiphys.apimachinery.schema.node import MISSING, Schema

BY_KEY = Schema(type="array", list_type="map", list_map_keys=("name", "protocol"))


@pytest.mark.parametrize(
    ("item", "old", "node", "wanted"),
    [
        ({"name": "a", "v": 2}, [{"name": "b"}, {"name": "a", "v": 1}], BY_KEY, {"name": "a", "v": 1}),
        ({"name": "a", "protocol": "x"}, [{"name": "a", "protocol": "y"}], BY_KEY, MISSING),
        ({"name": "a"}, [], BY_KEY, MISSING),
        ({"name": "a"}, None, BY_KEY, MISSING),
        ("a", ["a"], BY_KEY, MISSING),
        ({"name": "a"}, [{"name": "a"}], Schema(type="array", list_type="set"), MISSING),
        ({"name": "a"}, [{"name": "a"}], Schema(type="array"), MISSING),
        ({"name": ["a"], "v": 2}, [{}, {"name": ["a"], "v": 1}], BY_KEY, {"name": ["a"], "v": 1}),
        ({"name": {"a": 1, "b": 2}}, [{}, {"name": {"b": 2, "a": 1}}], BY_KEY, {"name": {"a": 1, "b": 2}}),
    ],
    ids=["by key", "other key", "new", "no list", "no object", "set", "atomic", "by a list", "by a map"],
)
def test_partner(item: Any, old: Any, node: Schema, wanted: Any) -> None:
    assert Partners(old, node).of(item, 0) == wanted


def test_a_list_in_another_order_is_not_looked_through_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    count, compared = 200, 0
    same_key = Partners._same

    def counted(self: Partners, one: Any, item: Any) -> bool:
        nonlocal compared
        compared += 1
        return same_key(self, one, item)

    monkeypatch.setattr(Partners, "_same", counted)
    old = [{"name": str(number), "v": number} for number in range(count)]
    partners = Partners(old, BY_KEY)
    assert [partners.of(item, at) for at, item in enumerate(reversed(old))] == old[::-1]
    assert compared <= count


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": None}, {"b": None}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 2], False),
        (True, 1, False),
        ([True], [1], False),
        (1, 1.0, False),
        (MISSING, MISSING, True),
        ("a", "a", True),
    ],
)
def test_same(one: Any, other: Any, wanted: bool) -> None:
    assert same(one, other) is wanted


TEXT = Schema(type="string")
ITEM = Schema(type="object", properties={"name": TEXT, "v": TEXT})
KEYED = Schema(type="array", list_type="map", list_map_keys=("name",), items=ITEM)


def fields(**properties: Schema) -> Schema:
    return Schema(type="object", properties=properties)


@pytest.mark.parametrize(
    ("new", "old", "node", "wanted"),
    [
        ({"a": "x"}, {"a": "x"}, fields(a=TEXT), True),
        ({"a": "x"}, {"a": "y"}, fields(a=TEXT), False),
        ({"a": None}, {"a": None}, fields(a=TEXT), True),
        ({"a": "x"}, {"a": "x", "b": "x"}, fields(a=TEXT, b=TEXT), False),
        ({"a": "x"}, {"b": "x"}, fields(a=TEXT, b=TEXT), False),
        ({"a": "x"}, {"a": "x"}, Schema(type="object", preserve_unknown=True), False),
        ({}, {}, Schema(type="object", preserve_unknown=True), True),
        ({"a": "x"}, {"a": "x"}, Schema(type="object", additional=TEXT), True),
        ({"a": "x"}, {"a": "x"}, Schema(type="object", additional=Schema(any_value=True)), False),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}], KEYED, True),
        ([{"name": "a", "v": "1"}], [{"name": "a", "v": "2"}], KEYED, False),
        ([{"name": "a"}], [{"name": "a"}, {"name": "b"}], KEYED, False),
        ([{"name": "a"}], [{"name": "b"}], KEYED, False),
        ([], [], KEYED, True),
        ([{"x": 1}], [{"x": 1}], Schema(type="array", items=ITEM), True),
        ([1, 2], [2, 1], Schema(type="array", items=TEXT), False),
    ],
)
def test_unchanged(new: Any, old: Any, node: Schema, wanted: bool) -> None:
    assert unchanged(new, old, node) is wanted
