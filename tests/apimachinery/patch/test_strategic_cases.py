"""Strategic merge patches as kubectl makes them, applied to what is there: order, deletions, kept keys."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.patch.strategic import apply
from tiphys.apimachinery.schema.node import Schema

TEXT, NUMBERS = Schema(type="string"), Schema(type="array", items=Schema(type="integer"))
ITEM = Schema(type="object", name="testing.MergeItem")
KEPT = Schema(type="object", patch_strategies=("retainKeys",), name="testing.RetainKeysMergeItem")
LIST = Schema(type="array", items=ITEM, patch_strategies=("merge",), patch_merge_key="name")
MERGED_NUMBERS = Schema(type="array", items=Schema(type="integer"), patch_strategies=("merge",))
BASE = {
    "name": TEXT,
    "value": TEXT,
    "other": TEXT,
    "map": Schema(type="object", additional=TEXT),
    "list": LIST,
    "plain": Schema(type="array", items=ITEM),
    "ints": MERGED_NUMBERS,
    "plainInts": NUMBERS,
}
KEPT.properties = BASE
ITEM.properties = {
    **BASE,
    "raw": Schema(type="object", patch_strategies=("replace",), preserve_unknown=True),
    "kept": KEPT,
    "keptList": Schema(
        type="array", items=ITEM, patch_strategies=("merge", "retainKeys"), patch_merge_key="name"
    ),
}


def many(text: str) -> list[Any]:
    """Read ``1 2:x~y -3`` as items: a name, maybe a value and another field; with a dash, to be deleted."""
    return [_item(word) for word in text.split()]


def _item(word: str) -> dict[str, Any]:
    match = re.fullmatch(r"(-?)(\w+)(?::(\w+))?(?:~(\w+))?", word)
    assert match is not None, word
    gone, name, value, other = match.groups()
    item = {"name": name, "value": value, "other": other} if not gone else {"name": name, "$patch": "delete"}
    return {key: one for key, one in item.items() if one is not None}


def ordered(order: str, changes: str = "") -> dict[str, Any]:
    patch = {"$setElementOrder/list": many(order)}
    return patch | ({"list": many(changes)} if changes else {})


def ints(order: list[int], add: list[int] | None = None, drop: list[int] | None = None) -> dict[str, Any]:
    patch: dict[str, Any] = {"$setElementOrder/ints": order}
    patch |= {} if add is None else {"ints": add}
    return patch | ({} if drop is None else {"$deleteFromPrimitiveList/ints": drop})


LISTS = {
    "one is there already": ("1 2:2", "4 1 2 3", "4:4 3:3", "4:4 1 2:2 3:3"),
    "others' fields stay": ("1~a 2:3~b", "1 2 3", "2:2 3:3", "1~a 2:2~b 3:3"),
    "one that is not ours": ("1~a 3:2~b", "1 2", "1:1 2:2", "1:1~a 2:2 3:2~b"),
    "of two with one name one goes": ("1 1", "1", "-1", ""),
    "one is deleted": ("1~a 2~b", "2", "-1", "2~b"),
    "one that is gone is deleted": ("3~a", "2", "2 -1", "2 3~a"),
    "one comes, one goes": ("1 2~b 4~c", "2 3", "3 -1", "2~b 4~c 3"),
    "one comes, one goes, though it is gone": ("1~a 4~c", "2 3", "2 3 -1", "4~c 2 3"),
    "the new one is the first": ("1~a 2:2~b", "3 1 2", "3:3", "3:3 1~a 2:2~b"),
    "new ones between": ("1~a 2:2~b", "1 4 2 3", "4:4 3:3", "1~a 4:4 2:2~b 3:3"),
    "deleted and turned round": ("1~a 2:2~b 3:3", "2 1", "-3", "2:2~b 1~a"),
    "changed and turned round": ("1~a 2:2~b 3:3", "2 3 1", "3:x", "2:2~b 3:x 1~a"),
    "all at once": ("1~a 2:2~b 3:3", "4 2 1", "4:4 -3", "4:4 2:2~b 1~a"),
    "order alone": ("1~a 3:3 4:4 2:2", "4 2 3 1", "", "4:4 2:2 3:3 1~a"),
    "order, one of the server's at the end": ("1~a 3:3 4:4 2:2 9", "4 2 3 1", "", "4:4 2:2 3:3 1~a 9"),
    "order, one of the server's between": ("1~a 2:2 9 3:3 4:4", "2 1 4 3", "", "2:2 1~a 9 4:4 3:3"),
    "order, three of the server's": ("1~a 2:2 7 9 8 3:3 4:4", "2 1 4 3", "", "2:2 1~a 7 9 8 4:4 3:3"),
    "order, two of one name": ("1 2:x 3 2:y 4", "2 1 4 3 2", "", "2:x 2:y 1 4 3"),
    "order of what is not there": ("1 3", "3 2 1", "3:3 1:1", "3:3 1:1"),
}
NUMBER_LISTS = {
    "one is dropped": ([1, 2, 3, 4], ints([1, 2], drop=[3]), [1, 2, 4]),
    "all of one number are dropped": ([1, 2, 3, 3, 4], ints([1, 2], drop=[3]), [1, 2, 4]),
    "one is there already": ([1, 2, 3, 4], ints([1, 2, 4], drop=[3]), [1, 2, 4]),
    "one comes": ([1, 2, 4], ints([1, 2, 3], [3]), [1, 2, 3, 4]),
    "one comes first": ([1, 4, 2], ints([3, 1, 2], [3]), [3, 1, 4, 2]),
    "dropped and turned round": ([1, 2, 3], ints([2, 1], drop=[3]), [2, 1]),
    "all at once": ([1, 2, 3], ints([4, 2, 1], [4], [3]), [4, 2, 1]),
    "two come": ([1, 2], ints([1, 4, 2, 3], [4, 3]), [1, 4, 2, 3]),
    "order alone": ([1, 3, 4, 2, 9], ints([4, 2, 3, 1]), [4, 2, 3, 1, 9]),
    "order, three of the server's": ([1, 2, 7, 9, 8, 3, 4], ints([2, 1, 4, 3]), [2, 1, 7, 9, 8, 4, 3]),
    "order, a number twice": ([1, 2, 3, 2, 4], ints([2, 1, 4, 3, 2]), [2, 2, 1, 4, 3]),
    "order of what is not there": ([1, 3], ints([3, 2, 1]), [3, 1]),
    "united": ([1, 2], {"ints": [2, 3]}, [1, 2, 3]),
}


def inner(order: str, changes: str) -> dict[str, Any]:
    return {"$setElementOrder/list": many("1 2"), "list": [{"name": "1", **ordered(order, changes)}]}


def nested(text: str) -> dict[str, Any]:
    return {"list": [{"name": "1", "other": "a", "list": many(text)}, {"name": "2", "other": "b"}]}


def kept(keys: str, **changes: Any) -> dict[str, Any]:
    return {"kept": {"$retainKeys": keys.split(), **changes}}


def kept_item(keys: str, **changes: Any) -> dict[str, Any]:
    item = {"$retainKeys": keys.split(), "name": "foo", **changes}
    return {"$setElementOrder/keptList": many("bar foo"), "keptList": [item]}


FOO = {"name": "foo"}
BAR = {"name": "foo", "value": "bar"}
MAP = {"key1": "a", "key2": "b", "key3": "c"}
OBJECTS: dict[str, tuple[Any, Any, Any]] = {
    "a map is emptied": ({"map": {"a": "1"}}, {"map": {"$patch": "delete"}}, {"map": {}}),
    "a list is emptied": ({"list": many("1 2")}, {"list": [{"$patch": "replace"}]}, {"list": []}),
    "an empty list meets an empty list": ({"list": []}, {"list": []}, {"list": []}),
    "everything goes": ({"name": "1", "value": "1"}, {"$patch": "replace"}, {}),
    "everything is replaced": ({"name": "1"}, {"other": "a", "$patch": "replace"}, {"other": "a"}),
    "numbers are replaced": ({"plainInts": [1, 4]}, {"plainInts": [2, 3]}, {"plainInts": [2, 3]}),
    "deleted from an empty list": ({"list": []}, {"list": many("-1 -2")}, {"list": []}),
    "nulls of what is not there": (
        {"name": "a", "other": "a"}, {"name": "1", "value": "1", "other": None}, {"name": "1", "value": "1"}),
    "within an item": (nested("1 2:2"), inner("1 2", "1:1"), nested("1:1 2:2")),
    "within an item, others' fields": (
        nested("1:a~c 2:b~d"), inner("1 2", "1:1 2:2"), nested("1:1~c 2:2~d")),
    "within an item, one is gone": (nested("2:2~d"), inner("1 2", "1:1"), nested("1:1 2:2~d")),
    "within an item, turned round": (nested("2:2~d"), inner("2 1", "1:1"), nested("2:2~d 1:1")),
    "a plain list within an item": (
        {"list": [{"name": "1", "other": "a", "plain": many("1 2:2")}, {"name": "2"}]},
        {"$setElementOrder/list": many("1 2"), "list": [{"name": "1", "plain": many("1:1")}]},
        {"list": [{"name": "1", "other": "a", "plain": many("1:1")}, {"name": "2"}]}),
    "kept: no directive": ({"kept": FOO}, {"kept": {"value": "bar"}}, {"kept": BAR}),
    "kept: nothing said": ({"kept": BAR}, {"kept": {}}, {"kept": BAR}),
    "kept: a default goes": ({"kept": {"value": "x"}}, kept("other", other="y"), {"kept": {"other": "y"}}),
    "kept: of another type": (
        {"kept": {"name": "type1", "value": "x"}}, kept("name other", name="type2", other="y"),
        {"kept": {"name": "type2", "other": "y"}}),
    "kept: one comes": ({"kept": FOO}, kept("name value", value="bar"), {"kept": BAR}),
    "kept: one comes, one goes": (
        {"kept": FOO | {"other": "a"}}, kept("name value", value="bar"), {"kept": BAR}),
    "kept: one is deleted": ({"kept": BAR | {"other": "a"}}, kept("name", value=None), {"kept": FOO}),
    "kept: one is cleared": ({"kept": BAR | {"other": "a"}}, kept("name value"), {"kept": BAR}),
    "kept: a map within": (
        {"kept": BAR | {"map": {"key1": "a", "key3": "c"}}}, kept("name map value", map={"key2": "b"}),
        {"kept": BAR | {"map": MAP}}),
    "kept: a map within loses one": (
        {"kept": BAR | {"map": MAP}}, kept("name map value", map={"key2": None}),
        {"kept": BAR | {"map": {"key1": "a", "key3": "c"}}}),
    "kept: a plain list within": (
        {"kept": BAR | {"plain": many("a b")}}, kept("name plain value", plain=many("a c b")),
        {"kept": BAR | {"plain": many("a c b")}}),
    "kept: numbers within": (
        {"kept": FOO | {"ints": [1, 2, 3, 4]}}, kept("ints name", **ints([1, 3, 5], [5], [2])),
        {"kept": FOO | {"ints": [1, 3, 5, 4]}}),
    "kept: a list within is ordered": (
        {"kept": FOO | {"list": many("a b c")}}, kept("list name value", value="bar", **ordered("a b")),
        {"kept": BAR | {"list": many("a b c")}}),
    "kept: a list within grows": (
        {"kept": FOO | {"list": many("a b x")}}, kept("list name", **ordered("a b c", "c")),
        {"kept": FOO | {"list": many("a b c x")}}),
    "kept: a list within goes": (
        {"kept": FOO | {"list": many("a b")}}, kept("name value", value="bar", list=None), {"kept": BAR}),
    "kept: a list within loses one": (
        {"kept": FOO | {"list": many("a b x")}}, kept("list name", **ordered("a", "-b")),
        {"kept": FOO | {"list": many("a x")}}),
    "kept item: one is cleared": (
        {"keptList": many("bar foo:a~x")}, kept_item("name value"), {"keptList": many("bar foo:a")}),
    "kept item: changed and cleared": (
        {"keptList": many("bar foo:old~x")}, kept_item("name value", value="new"),
        {"keptList": many("bar foo:new")}),
    "kept item: one is deleted": (
        {"keptList": many("bar foo:a~x")}, kept_item("name", value=None), {"keptList": many("bar foo")}),
    "raw fields are replaced": (
        {"raw": {"a": "1", "b": "2"}, "list": many("1 3")},
        {**ordered("1 2", "2"), "raw": {"c": "3"}}, {"raw": {"c": "3"}, "list": many("1 2 3")}),
    "two lists at once": (
        {"list": many("a:a b:b"), "keptList": many("c:c d:d")},
        {**ordered("b", "-a"), "$setElementOrder/keptList": many("d c")},
        {"list": many("b:b"), "keptList": many("d:d c:c")}),
    "great numbers stay": (
        {"other": 9223372036854775807}, {"name": "n"}, {"other": 9223372036854775807, "name": "n"}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("live", "order", "changes", "expected"), [pytest.param(*case, id=name) for name, case in LISTS.items()]
)
def test_lists_of_items(live: str, order: str, changes: str, expected: str) -> None:
    result = apply({"list": many(live)}, ordered(order, changes), ITEM)
    assert result == {"list": many(expected)}


@pytest.mark.parametrize(
    ("live", "patch", "expected"), [pytest.param(*case, id=name) for name, case in NUMBER_LISTS.items()]
)
def test_lists_of_numbers(live: list[int], patch: Any, expected: list[int]) -> None:
    assert apply({"ints": live}, patch, ITEM) == {"ints": expected}


@pytest.mark.parametrize(
    ("live", "patch", "expected"), [pytest.param(*case, id=name) for name, case in OBJECTS.items()]
)
def test_objects(live: Any, patch: Any, expected: Any) -> None:
    assert apply(live, patch, ITEM) == expected


@pytest.mark.parametrize(
    ("live", "patch", "text"),
    [
        ({"list": many("1 3 2")}, ordered("1 2 3", "3:3 1:1"), "doesn't match"),
        ({"ints": [1, 3, 2]}, ints([1, 2, 3], [3, 1]), "doesn't match"),
        ({"list": many("1:a")}, {"list": [{"value": "b"}]}, "does not contain declared merge key"),
    ],
)
def test_failures(live: Any, patch: Any, text: str) -> None:
    with pytest.raises(StatusError, match=text):
        apply(live, patch, ITEM)
