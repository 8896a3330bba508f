"""In what the body of a new object is like others."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.shortcuts.likeness import KINDS, ByName, ByShape


def shape(body: bytes) -> ByShape | None:
    return ByShape.of(body, "data")


def body(name: str = "a", **more: Any) -> Object:
    return {"metadata": {"name": name}, "data": {"k": "v", "l": ""}, **more}


def known(obj: Object) -> ByShape:
    found = shape(orjson.dumps(obj))
    assert found is not None
    return found


def test_a_shape_is_all_but_the_name_and_the_texts() -> None:
    found = known(body())
    assert (found.name, found.own) == ("a", {"data": {"k": "v", "l": ""}})
    other = known(body("b.c-7", data={"k": "other: text \u00e4", "l": "\n"}))
    assert (other.name, other.own) == ("b.c-7", {"data": {"k": "other: text \u00e4", "l": "\n"}})
    assert found.key == other.key


LIKE_NO_OTHER: dict[str, Object] = {
    "another key": body(data={"k": "v", "m": ""}),
    "a key less": body(data={"k": "v"}),
    "keys in another order": body(data={"l": "", "k": "v"}),
    "members in another order": dict(reversed(body().items())),
    "another member": body(immutable=True),
    "another value of a member": body(immutable=False),
    "binary data": body(binaryData={"b": "AA=="}),
    "other binary data": body(binaryData={"b": "AAA="}),
    "a label": body(metadata={"name": "a", "labels": {"x": "y"}}),
    "another label": body(metadata={"name": "a", "labels": {"x": "z"}}),
    "a generated name as well": body(metadata={"name": "a", "generateName": "a-"}),
    "its managers": body(metadata={"name": "a", "managedFields": []}),
    "a namespace": body(metadata={"name": "a", "namespace": "here"}),
    "an unknown field": body(odd=1),
    "a number where there was another": body(odd=2),
    "a whole number written as a fraction": body(odd=2.0),
}


def test_whatever_else_differs_is_another_shape() -> None:
    keys = {known(body()).key, *(known(obj).key for obj in LIKE_NO_OTHER.values())}
    assert len(keys) == 1 + len(LIKE_NO_OTHER)


def test_a_name_cannot_pass_for_something_else() -> None:
    """What stands for the name in the shape is no name, and what stands for a text none but a text."""
    assert shape(orjson.dumps(body(""))) is None
    assert known(body(data={"k": "", "l": ""})).key == known(body()).key


TOLD_OF: dict[str, bytes] = {
    "no JSON": b"metadata: {name: a}\ndata: {k: v}",
    "protobuf": b"k8s\x00\x0a\x02\x08\x01",
    "no object": b'["metadata"]',
    "null": b"null",
    "no metadata": b'{"data":{"k":"v"}}',
    "metadata of another type": b'{"metadata":"name","data":{"k":"v"}}',
    "no name": b'{"metadata":{"generateName":"a"},"data":{"k":"v"}}',
    "a number as its name": b'{"metadata":{"name":1},"data":{"k":"v"}}',
    "a name that cannot be": b'{"metadata":{"name":"A_"},"data":{"k":"v"}}',
    "a name too long": b'{"metadata":{"name":"%b"},"data":{"k":"v"}}' % (b"a" * 254),
    "no data": b'{"metadata":{"name":"a"}}',
    "empty data": b'{"metadata":{"name":"a"},"data":{}}',
    "data that is null": b'{"metadata":{"name":"a"},"data":null}',
    "data that is a list": b'{"metadata":{"name":"a"},"data":["k"]}',
    "a text that is null": b'{"metadata":{"name":"a"},"data":{"k":"v","l":null}}',
    "a number for a text": b'{"metadata":{"name":"a"},"data":{"k":1}}',
    "an object for a text": b'{"metadata":{"name":"a"},"data":{"k":{"l":"v"}}}',
    "a key that comes twice": b'{"metadata":{"name":"a"},"data":{"k":"v","k":"w"}}',
    "two names": b'{"metadata":{"name":"a","name":"b"},"data":{"k":"v"}}',
    "two names, and a colon in their stead": b'{"metadata":{"name":"a","name":""},"data":{"k":"\\u003a"}}',
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD_OF)
def test_what_something_is_to_be_said_of_has_no_shape(case: str) -> None:
    assert shape(TOLD_OF[case]) is None


def test_what_it_came_to_has_its_name_and_texts() -> None:
    found = known(body())
    assert found.came_to(body() | {"immutable": True})
    assert not found.came_to(body("b"))
    assert not found.came_to(body(data={"k": "changed", "l": ""}))
    assert not found.came_to({"metadata": {"name": "a"}})


def test_bodies_that_differ_in_the_first_name() -> None:
    one, other = (ByName(orjson.dumps(body(name, spec={"name": "x"}))) for name in ("a", "b-7"))
    assert (one.key, one.name, other.name, one.own) == (other.key, "a", "b-7", {})
    assert one.key_generated != other.key_generated
    assert one.came_to({})
    label = ByName(b'{"metadata":{"labels":{"name":"x"},"name":"a"}}')
    assert (label.name, label.came_to({})) == ("x", False)
    assert not ByName(b'metadata: {"name": "a"}').came_to({})


def test_only_kinds_whose_names_decide_nothing() -> None:
    assert set(KINDS) == {("", "pods"), ("", "configmaps")}
