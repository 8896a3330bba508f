from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.errors import BadRequest, Invalid, StatusError
from tiphys.apimachinery.patch import strategic
from tiphys.apimachinery.patch.strategic import apply
from tiphys.apimachinery.schema.node import Schema

TEXT = Schema(type="string")
NAMED = Schema(type="object", name="io.k8s.api.core.v1.Container")
NAMED.properties = {
    "name": TEXT,
    "image": TEXT,
    "args": Schema(type="array", items=TEXT),
    "ports": Schema(
        type="array",
        items=Schema(type="object", properties={"containerPort": Schema(type="integer"), "name": TEXT}),
        patch_strategies=("merge",),
        patch_merge_key="containerPort",
    ),
}
ROOT = Schema(
    type="object",
    name="io.k8s.api.core.v1.PodSpec",
    properties={
        "items": Schema(type="array", items=NAMED, patch_strategies=("merge",), patch_merge_key="name"),
        "finalizers": Schema(type="array", items=TEXT, patch_strategies=("merge",)),
        "plain": Schema(type="array", items=TEXT),
        "labels": Schema(type="object", additional=TEXT),
        "nested": Schema(type="object", properties={"a": TEXT, "b": TEXT, "c": TEXT}),
        "strategy": Schema(
            type="object",
            patch_strategies=("retainKeys",),
            properties={"type": TEXT, "rollingUpdate": Schema(type="object", additional=TEXT)},
        ),
        "whole": Schema(type="object", patch_strategies=("replace",), additional=TEXT),
        "unmergeable": Schema(type="array", items=NAMED, patch_strategies=("merge",)),
    },
)


def items(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


CASES: dict[str, tuple[Any, Any, Any]] = {
    "scalars and maps merge": (
        {"labels": {"a": "1", "b": "2"}, "x": 1},
        {"labels": {"b": "3", "c": "4"}},
        {"labels": {"a": "1", "b": "3", "c": "4"}, "x": 1},
    ),
    "null removes": ({"labels": {"a": "1"}, "x": 1}, {"x": None, "labels": {"a": None}}, {"labels": {}}),
    "null of nothing is dropped": ({}, {"labels": {"a": None, "b": "1"}, "y": None}, {"labels": {"b": "1"}}),
    "type change replaces": ({"labels": "x"}, {"labels": {"a": "1"}}, {"labels": {"a": "1"}}),
    "list without strategy is replaced": ({"plain": ["a"]}, {"plain": ["b"]}, {"plain": ["b"]}),
    "map with replace strategy": ({"whole": {"a": "1"}}, {"whole": {"b": "2"}}, {"whole": {"b": "2"}}),
    "item merges by key": (
        {"items": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}]},
        {"items": [{"name": "a", "image": "2"}]},
        {"items": [{"name": "a", "image": "2", "args": ["x"]}, {"name": "b"}]},
    ),
    "new item goes first": (
        {"items": items("a", "b")},
        {"items": items("c")},
        {"items": items("c", "a", "b")},
    ),
    "new item next to a known one": (
        {"items": items("a", "b")},
        {"items": items("b", "c")},
        {"items": items("a", "b", "c")},
    ),
    "known items in the order that they have stay where they are": (
        {"items": items("a", "b", "c", "d")},
        {"items": [{"name": "b", "image": "2"}, {"name": "d"}]},
        {"items": [{"name": "a"}, {"name": "b", "image": "2"}, {"name": "c"}, {"name": "d"}]},
    ),
    "known items in another order get that": (
        {"items": items("a", "b", "c", "d")},
        {"items": items("d", "b")},
        {"items": items("a", "c", "d", "b")},
    ),
    "a key that looks like a directive is none": (
        {"labels": {"a$b": "1"}},
        {"labels": {"a$b": "2", "c": "$patch"}},
        {"labels": {"a$b": "2", "c": "$patch"}},
    ),
    "item deleted": (
        {"items": items("a", "b")},
        {"items": [{"name": "a", "$patch": "delete"}]},
        {"items": items("b")},
    ),
    "missing item deleted": (
        {"items": items("a")},
        {"items": [{"name": "z", "$patch": "delete"}]},
        {"items": items("a")},
    ),
    "list replaced by directive": (
        {"items": items("a", "b")},
        {"items": [{"$patch": "replace"}, {"name": "c"}]},
        {"items": items("c")},
    ),
    "item replaced by directive deletes nothing else": (
        {"labels": {"a": "1"}},
        {"labels": {"$patch": "replace", "b": "2"}},
        {"labels": {"b": "2"}},
    ),
    "map deleted by directive": (
        {"labels": {"a": "1"}, "x": 1},
        {"labels": {"$patch": "delete"}},
        {"labels": {}, "x": 1},
    ),
    "directives do not stay in new values": (
        {},
        {
            "items": [{"name": "a", "$patch": "delete"}, {"name": "b"}],
            "labels": {"$patch": "replace", "a": "1"},
        },
        {"items": items("b"), "labels": {"a": "1"}},
    ),
    "nested key is a number": (
        {"items": [{"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}]},
        {"items": [{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]},
        {"items": [{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]},
    ),
    "primitives unite": (
        {"finalizers": ["a", "b"]},
        {"finalizers": ["b", "c"]},
        {"finalizers": ["a", "b", "c"]},
    ),
    "primitives deleted": (
        {"finalizers": ["a", "b", "a"]},
        {"$deleteFromPrimitiveList/finalizers": ["a", "z"]},
        {"finalizers": ["b"]},
    ),
    "primitives deleted and added in order": (
        {"finalizers": ["a", "b", "c"]},
        {
            "$deleteFromPrimitiveList/finalizers": ["b"],
            "$setElementOrder/finalizers": ["d", "a"],
            "finalizers": ["d"],
        },
        {"finalizers": ["d", "a", "c"]},
    ),
    "primitives deleted from nothing": ({}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {}),
    "order only": (
        {"items": items("a", "b", "c")},
        {"$setElementOrder/items": items("c", "a")},
        {"items": items("b", "c", "a")},
    ),
    "order with change": (
        {"items": [{"name": "a"}, {"name": "b", "image": "1"}]},
        {
            "$setElementOrder/items": items("b", "n", "a"),
            "items": [{"name": "b", "image": "2"}, {"name": "n"}],
        },
        {"items": [{"name": "b", "image": "2"}, {"name": "n"}, {"name": "a"}]},
    ),
    "order with deletion": (
        {"items": items("a", "b", "c")},
        {"$setElementOrder/items": items("c", "a"), "items": [{"name": "b", "$patch": "delete"}]},
        {"items": items("c", "a")},
    ),
    "order of a new list": (
        {},
        {"$setElementOrder/items": items("b", "a"), "items": items("b", "a")},
        {"items": items("b", "a")},
    ),
    "order that is empty": (
        {"items": items("a")},
        {"$setElementOrder/items": [], "items": items("b")},
        {"items": items("b", "a")},
    ),
    "order that names an item as often": (
        {"items": items("a")},
        {"$setElementOrder/items": items("a", "a"), "items": items("a", "a")},
        {"items": items("a")},
    ),
    "order of nothing": ({}, {"$setElementOrder/items": items("b")}, {}),
    "server's own items keep their places": (
        {"items": items("1", "server", "2")},
        {"$setElementOrder/items": items("1", "new", "2"), "items": items("new")},
        {"items": items("1", "new", "server", "2")},
    ),
    "retainKeys clears the rest": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1"}}},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "retainKeys of a new map": (
        {},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "unknown fields merge like JSON": (
        {"what": {"a": [1]}},
        {"what": {"a": [2], "b": 1}},
        {"what": {"a": [2], "b": 1}},
    ),
}

FAILS: dict[str, tuple[Any, Any, type[StatusError], str]] = {
    "not an object": ({}, [], BadRequest, "Invalid JSON Patch"),
    "unknown directive": (
        {"labels": {}},
        {"labels": {"$patch": "frob"}},
        StatusError,
        "unknown patch type: frob in map: map[]",
    ),
    "item without key": (
        {"items": items("a")},
        {"items": [{"image": "x"}]},
        StatusError,
        "map: map[image:x] does not contain declared merge key: name",
    ),
    "merge directive in a list": (
        {"items": items("a")},
        {"items": [{"name": "a", "$patch": "merge"}]},
        StatusError,
        "merging lists cannot yet be specified in the patch",
    ),
    "no merge key in the schema": (
        {"unmergeable": items("a")},
        {"unmergeable": items("b")},
        StatusError,
        "cannot merge lists without merge key for struct",
    ),
    "objects among texts": (
        {"finalizers": ["a"]},
        {"finalizers": [{"name": "a"}]},
        StatusError,
        "list element types are not identical: [[a] [map[name:a]]]",
    ),
    "lists in lists": (
        {"finalizers": []},
        {"finalizers": [["a"]]},
        Invalid,
        "the server rejected our request due to an error in our request",
    ),
    "retainKeys no list": (
        {"strategy": {}},
        {"strategy": {"$retainKeys": "type"}},
        BadRequest,
        "invalid patch format of retainKeys",
    ),
    "retainKeys leaves out a field": (
        {"strategy": {}},
        {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "x"}},
        BadRequest,
        "invalid patch format of retainKeys",
    ),
    "deletion no list": (
        {"finalizers": ["a"]},
        {"$deleteFromPrimitiveList/finalizers": "a"},
        BadRequest,
        "invalid patch format of primitive list",
    ),
    "order no list": (
        {},
        {"$setElementOrder/items": "a"},
        StatusError,
        "expected a []interface {}, but received a string",
    ),
    "order of what is taken away": (
        {"items": items("a")},
        {"$setElementOrder/items": items("a"), "items": None},
        StatusError,
        "expected a []interface {}, but received a %!s(<nil>)",
    ),
    "order of a number": (
        {},
        {"$setElementOrder/items": items("a"), "items": 1},
        StatusError,
        "expected a []interface {}, but received a int64",
    ),
    "item that is no map": (
        {"items": items("a")},
        {"items": [*items("a"), "b"]},
        StatusError,
        "list element types are not identical: [[map[name:a]] [map[name:a] b]]",
    ),
    "order leaves out an item": (
        {"items": items("a")},
        {"$setElementOrder/items": items("a"), "items": items("b")},
        StatusError,
        "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
    ),
    "order names an item less often": (
        {"items": items("a")},
        {"$setElementOrder/items": items("a", "b"), "items": items("a", "a")},
        StatusError,
        "doesn't match $setElementOrder list",
    ),
    "order contradicts": (
        {"items": items("a")},
        {"$setElementOrder/items": items("a", "b"), "items": items("b", "a")},
        StatusError,
        "doesn't match $setElementOrder list",
    ),
    "order of an unknown field": (
        {},
        {"$setElementOrder/frob": []},
        StatusError,
        'unable to find api field in struct PodSpec for the json field "frob"',
    ),
}


@pytest.mark.parametrize(("obj", "patch", "expected"), CASES.values(), ids=CASES.keys())
def test_strategic_merge(obj: Any, patch: Any, expected: Any) -> None:
    before = repr((obj, patch))
    assert apply(obj, patch, ROOT) == expected
    assert repr((obj, patch)) == before


@pytest.mark.parametrize(("obj", "patch", "error", "text"), FAILS.values(), ids=FAILS.keys())
def test_failures(obj: Any, patch: Any, error: type[StatusError], text: str) -> None:
    with pytest.raises(error) as caught:
        apply(obj, patch, ROOT)
    assert text in caught.value.message
    assert caught.value.status_code == {BadRequest: 400, Invalid: 422}.get(error, 500)


@pytest.mark.parametrize(("obj", "patch", "expected"), CASES.values(), ids=CASES.keys())
def test_changing_what_the_patch_reached_leaves_the_original_alone(
    obj: Any, patch: Any, expected: Any
) -> None:
    before = repr((obj, patch))
    scribble(apply(obj, patch, ROOT), obj)
    assert repr((obj, patch)) == before


def scribble(value: Any, original: Any) -> None:
    """Change everything but what is the very same as in the original."""
    if value is original:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            scribble(item, original.get(key) if isinstance(original, dict) else None)
        value["scribbled"] = True
    elif isinstance(value, list):
        for item in value:
            scribble(item, None)
        value.append("scribbled")


def test_what_the_patch_does_not_reach_is_the_same() -> None:
    obj: Any = {"spec": {"deep": {"a": {"x": 1}, "b": {"y": 2}}}, "other": {"z": [3]}}
    result = apply(obj, {"spec": {"deep": {"a": {"x": 5}}}}, ROOT)
    assert result == {"spec": {"deep": {"a": {"x": 5}, "b": {"y": 2}}}, "other": {"z": [3]}}
    assert result["other"] is obj["other"]
    assert result["spec"]["deep"]["b"] is obj["spec"]["deep"]["b"]
    assert result["spec"]["deep"]["a"] is not obj["spec"]["deep"]["a"]


def naively_merged(original: list[Any], patch: list[Any], live: list[Any]) -> list[Any]:
    """Merge and arrange items as the words of the module say it, item by item."""
    merged = [dict(item) for item in original]
    for item in patch:
        same = next((one for one in merged if one["name"] == item["name"]), None)
        if same is None:
            merged.append(dict(item))
        else:
            same.update(item)
    order = [item["name"] for item in patch]
    places = [item["name"] for item in live]
    named = sorted((one for one in merged if one["name"] in order), key=lambda one: order.index(one["name"]))
    others = [one for one in merged if one["name"] not in order]
    result: list[Any] = []
    for other in others:
        while named:
            rival = named[0]["name"]
            if rival in places and places.index(other["name"]) < places.index(rival):
                break
            result.append(named.pop(0))
        result.append(other)
    return result + named


ITEMS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcde"), "value": st.integers(0, 3)}),
    max_size=5, unique_by=lambda item: item["name"],
)  # fmt: skip


@given(ITEMS, ITEMS)
def test_lists_merge_as_the_naive_way(original: list[Any], patch: list[Any]) -> None:
    result = apply({"items": original}, {"items": patch}, ROOT)
    assert result["items"] == naively_merged(original, patch, original)


class Word(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Word.compared += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _words(count: int) -> list[Word]:
    return [Word(f"w{at}") for at in range(count)]


DELETED: dict[str, tuple[Callable[[int], Any], Callable[[int], Any], Any]] = {
    "words": (
        lambda count: {"words": _words(count)},
        lambda count: {"$deleteFromPrimitiveList/words": _words(count)},
        {"words": []},
    ),
    "items": (
        lambda count: {"items": [{"name": word} for word in _words(count)]},
        lambda count: {"items": [{"name": word, "$patch": "delete"} for word in _words(count)]},
        {"items": []},
    ),
    "keys that stay": (
        lambda count: {"map": dict.fromkeys(_words(count), "a")},
        lambda count: {"map": {"$retainKeys": [Word("none"), *_words(count)][::-1]}},
        None,
    ),
}
ITEM = Schema(type="object", properties={"name": Schema(type="string")})
MERGED = Schema(
    type="object",
    properties={
        "words": Schema(type="array", items=Schema(type="string"), patch_strategies=("merge",)),
        "items": Schema(type="array", items=ITEM, patch_strategies=("merge",), patch_merge_key="name"),
        "map": Schema(type="object", additional=Schema(type="string")),
    },
)


@pytest.mark.parametrize(("obj", "patch", "left"), DELETED.values(), ids=DELETED)
def test_what_is_deleted_is_not_compared_with_all_others(
    monkeypatch: pytest.MonkeyPatch, obj: Callable[[int], Any], patch: Callable[[int], Any], left: Any
) -> None:
    monkeypatch.setattr(strategic, "copy_object", deepcopy)  # which keeps words what they are

    def compared(count: int) -> int:
        given, before = obj(count), Word.compared
        merged = apply(given, patch(count), MERGED)
        found = Word.compared - before
        assert merged == (given if left is None else left)
        return found

    assert compared(80) < 6 * compared(20) + 20
