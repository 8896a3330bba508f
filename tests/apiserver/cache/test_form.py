"""The form that objects are stored in, and values that lie there in another."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.cache.test_memory import MAPS

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import TABLE
from tiphys.apiserver.cache.foreign import StoredForm
from tiphys.apiserver.cache.form import at_revision, encode, item_at_revision

FOOS = Resource(
    "example.org", "v1", "Foo", "foos", "foo", True, (), GVK("example.org", "v1", "Foo"),
    "/registry/example.org/foos/", custom=True,
)  # fmt: skip
CONFIG_MAP: Any = {
    "data": {"b": "1", "a": "2"},
    "metadata": {"labels": {"resourceVersion": ""}, "uid": "u", "namespace": "n", "name": "m"},
    "apiVersion": "v1",
    "kind": "ConfigMap",
}
FOO: Any = {
    "kind": "Foo", "apiVersion": "example.org/v1", "about": {"resourceVersion": ""},
    "metadata": {"name": "f"},
}  # fmt: skip


def test_a_built_in_kind_as_bytes() -> None:
    value = encode(CONFIG_MAP)
    tail = b'"labels":{"resourceVersion":""}},"data":{"a":"2","b":"1"}}'
    head = b'"metadata":{"name":"m","namespace":"n","uid":"u","resourceVersion":"7",'
    assert at_revision(value, 7) == b'{"kind":"ConfigMap","apiVersion":"v1",' + head + tail
    assert item_at_revision(value, 7) == b"{" + head + tail


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_what_is_named_as_the_version_is_not_taken_for_it(part: str) -> None:
    obj = {**FOO, "metadata": {"name": "f", part: {"resourceVersion": ""}}}
    shown = orjson.loads(at_revision(encode(obj), 7))
    assert shown == {**obj, "metadata": {"name": "f", part: {"resourceVersion": ""}, "resourceVersion": "7"}}


@pytest.mark.parametrize(("row", "obj"), [(MAPS, CONFIG_MAP), (FOOS, FOO)], ids=["built-in", "custom"])
def test_values_without_room_are_brought_into_form(row: Resource, obj: Any) -> None:
    """As earlier versions of this server wrote them, and as upstream writes custom objects."""
    first = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
    form = StoredForm(row)
    for written in (orjson.dumps({**first, **obj}), orjson.dumps(obj) + b"\n"):
        read = form.read(written)
        assert read.value == encode(obj)
        assert orjson.loads(at_revision(read.value, 7))["metadata"]["resourceVersion"] == "7"
        assert form.read(read.value).value is read.value


def test_what_is_always_shown_of_a_status_is_shown_of_older_values() -> None:
    row = TABLE.by_path("autoscaling", "v2", "horizontalpodautoscalers")
    assert row is not None
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 1}
    for status in ({}, {"status": {"desiredReplicas": 0, "currentMetrics": None}}):
        obj = {
            "kind": row.kind,
            "metadata": {"name": "h"},
            "apiVersion": row.api_version,
            "spec": spec,
            **status,
        }
        read = orjson.loads(StoredForm(row).read(orjson.dumps(obj)).value)
        assert read["status"] == {"desiredReplicas": 0, "currentMetrics": None}
