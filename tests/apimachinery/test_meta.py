"""Fresh ids and names."""

from __future__ import annotations

import os
import re
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import copy_object, generate_name, new_uid, random_suffix, stable_suffix

_SUFFIX = re.compile("[bcdfghjklmnpqrstvwxz2456789]{5}")


def test_a_forked_process_makes_uids_of_its_own() -> None:
    new_uid()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "\n".join(new_uid() for _ in range(20)).encode())
        os._exit(0)
    own = {new_uid() for _ in range(20)}
    theirs = set(os.read(read, 4096).decode().split())
    os.waitpid(child, 0)
    os.close(read)
    os.close(write)
    assert len(theirs) == 20
    assert not own & theirs


def test_uids_are_random_uuids() -> None:
    uids = {new_uid() for _ in range(1000)}
    assert len(uids) == 1000
    for text in uids:
        uid = uuid.UUID(text)
        assert (str(uid), uid.version, uid.variant) == (text, 4, uuid.RFC_4122)


def test_generated_names() -> None:
    assert all(_SUFFIX.fullmatch(random_suffix()) for _ in range(200))
    assert len({random_suffix() for _ in range(200)}) > 190
    assert {char for _ in range(500) for char in random_suffix()} == set("bcdfghjklmnpqrstvwxz2456789")
    name = generate_name("x" * 100)
    assert name[:58] == "x" * 58
    assert _SUFFIX.fullmatch(name[58:])


def test_stable_suffixes_follow_from_content() -> None:
    assert stable_suffix(b"a") == stable_suffix(b"a") != stable_suffix(b"b")
    assert all(_SUFFIX.fullmatch(stable_suffix(b"%d" % number)) for number in range(200))
    assert len({stable_suffix(b"%d" % number) for number in range(1000)}) == 1000


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just("a null")
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(_ANYTHING)
def test_a_copy_is_equal_and_apart(value: Any) -> None:
    copied = copy_object(value)
    assert repr(copied) == repr(value)
    if isinstance(value, (dict, list)):
        assert copied is not value
        copied.clear()
        assert not value or value != copied


def test_nothing_in_a_copy_is_shared() -> None:
    obj = {"a": [{"b": {}}], "c": None, "d": {"e": [1, None]}}
    copied = copy_object(obj)
    copied["a"][0]["b"]["x"] = copied["d"]["e"][0] = 2
    assert obj == {"a": [{"b": {}}], "c": None, "d": {"e": [1, None]}}
