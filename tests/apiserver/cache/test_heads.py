"""Heads of stored objects: metadata of large ones is read without the rest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apiserver.cache import form
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.form import encode, head_of

_FIELDS = {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:a": {}}, ".": {}}
_MANAGED = {"manager": "m", "operation": "Update", "fieldsV1": _FIELDS, "time": "t", "subresource": "status"}
_TEXT = 'a text },"spec":{"a":1} and \\ },"data":{'
HEADS: dict[str, Any] = {
    "plain": {"name": "a"},
    "parts of metadata come behind objects": {
        "name": "a",
        "labels": {"a": "b", "spec": "c"},
        "annotations": {"a": _TEXT, "data": "d"},
        "managedFields": [_MANAGED, {**_MANAGED, "apiVersion": "v1"}],
        "ownerReferences": [{"kind": "Pod", "name": "p", "uid": "u"}],
        "finalizers": ["x"],
    },
    "ends with fields": {"name": "a", "managedFields": [{"manager": "m", "fieldsV1": _FIELDS}]},
}
TAILS: dict[str, Any] = {
    "spec": {"spec": {"metadata": {"name": "b"}, "a": _TEXT}, "status": {}},
    "data": {"data": {"a": _TEXT}},
    "a text": {"type": "Opaque", "data": {}},
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("head", HEADS)
def test_heads_are_what_stands_before_the_rest(head: str, tail: str) -> None:
    for leading in ({"kind": "K", "apiVersion": "v1"}, {"apiVersion": "v1", "kind": "K"}):
        whole = {**leading, "metadata": HEADS[head]}
        assert head_of(orjson.dumps({**whole, **TAILS[tail]})) == whole


NONE = {
    "another order": {"kind": "K", "metadata": {"name": "a"}, "apiVersion": "v1", "spec": {}},
    "something before metadata": {"apiVersion": "v1", "kind": "K", "spec": {}, "metadata": {}, "status": {}},
    "nothing behind": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}},
    "a field of metadata that nobody knows": {
        "apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": "b"}, "odd": 1}, "spec": {},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", NONE)
def test_whatever_has_another_form_has_no_head_of_its_own(case: str) -> None:
    assert head_of(orjson.dumps(NONE[case])) is None


class _Reader:
    has_fields = False
    custom = False

    def read_fields(self, obj: Any) -> dict[str, str]:
        return {}

    def is_stale(self, key: str) -> bool:
        return False

    def unseal(self, key: str, value: bytes, revision: int) -> bytes:
        return value


def _entry(obj: Any) -> Entry:
    return Entry(_Reader(), "/k", "", "a", encode(obj), revision=7, lease=0)


LARGE = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "spec": {"text": "x" * 40_000}}


def test_a_large_object_is_not_decoded_for_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _entry(LARGE)
    head = {**LARGE, "metadata": {"resourceVersion": "7", "name": "a"}}
    assert found.object == head
    other = _entry(LARGE)
    decode = form.orjson.loads
    monkeypatch.setattr(form.orjson, "loads", lambda raw: decode(raw) if len(raw) < 1000 else None)
    del head["spec"]
    assert other.head == head
    assert found.head is found.object


def test_a_small_object_and_one_whose_head_cannot_be_told_are_decoded_whole() -> None:
    small = _entry({**LARGE, "spec": {}})
    assert small.head is small.object
    odd = _entry({**LARGE, "metadata": {"name": "a", "labels": {}, "member": 1}})
    assert odd.head is odd.object
