"""Keys are in order whenever somebody looks, however they came and went."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.storage.keyorder import KeyOrder

KEYS = [f"/a/{number:04d}" for number in range(200)]


def seen(keys: KeyOrder) -> list[str]:
    return list(keys.islice(0, len(keys)))


@pytest.mark.parametrize("many", [3, 150])
def test_few_and_many_new_keys_take_their_places(many: int) -> None:
    old, new = KEYS[many:], KEYS[:many]
    keys = KeyOrder(reversed(old))
    for key in reversed(new):
        keys.add(key)
    assert len(keys) == len(KEYS)
    assert seen(keys) == KEYS
    assert keys[0] == KEYS[0]
    assert keys.bisect_left("/a/0010x") == 11


def test_what_is_new_can_go_before_anybody_has_looked() -> None:
    keys = KeyOrder(["/a/1", "/a/3"])
    keys.add("/a/2")
    keys.remove("/a/2")
    keys.remove("/a/1")
    keys.add("/a/2")
    assert seen(keys) == ["/a/2", "/a/3"]


def test_a_slice_that_is_read_stays_as_it_was_begun() -> None:
    keys = KeyOrder(["/a/1", "/a/3"])
    first = keys.islice(0, 2)
    assert next(first) == "/a/1"
    keys.add("/a/2")
    assert next(first) == "/a/3"


def test_only_what_is_there_can_be_removed() -> None:
    with pytest.raises(ValueError, match="not in list"):
        KeyOrder(["/a/1"]).remove("/a/2")


_STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "look"]), st.sampled_from(KEYS[:40])))


@given(_STEPS, st.sets(st.sampled_from(KEYS)))
def test_it_is_a_sorted_set(steps: list[tuple[str, str]], begun: Any) -> None:
    keys, model = KeyOrder(begun), set(begun)
    for step, key in steps:
        if step == "look":
            assert keys.bisect_left(key) == sum(one < key for one in model)
        elif step == "add" and key not in model:
            keys.add(key)
            model.add(key)
        elif step == "remove" and key in model:
            keys.remove(key)
            model.discard(key)
        assert len(keys) == len(model)
    assert seen(keys) == sorted(model)
