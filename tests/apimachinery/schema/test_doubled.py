"""Doubled keys: what a typed decoder ends with."""
# ruff: noqa: E501

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.schema import doubled, walk
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apis import schemas

POD = schemas.schema_for(GVK("", "v1", "Pod"))
MAP = schemas.schema_for(GVK("", "v1", "ConfigMap"))
EVENT = schemas.schema_for(GVK("events.k8s.io", "v1", "Event"))

CASES: dict[str, tuple[Any, str, Any]] = {
    "scalars": (POD, '{"spec":{"nodeName":"a","nodeName":"b"}}', {"spec": {"nodeName": "b"}}),
    "structs gain fields": (
        POD,
        '{"spec":{"nodeName":"a","hostname":"h"},"spec":{"nodeName":"b","priority":1}}',
        {"spec": {"nodeName": "b", "hostname": "h", "priority": 1}},
    ),
    "so do maps": (MAP, '{"data":{"a":"1","b":"2"},"data":{"b":"3"}}', {"data": {"a": "1", "b": "3"}}),
    "a key within a map": (MAP, '{"data":{"a":"1","a":"2"}}', {"data": {"a": "2"}}),
    "lists of texts": (
        POD,
        '{"metadata":{"finalizers":["a","b"],"finalizers":["c"]}}',
        {"metadata": {"finalizers": ["c"]}},
    ),
    "items are read into items": (
        POD,
        '{"spec":{"containers":[{"name":"a","image":"i"},{"name":"b"}],"containers":[{"image":"j"}]}}',
        {"spec": {"containers": [{"name": "a", "image": "j"}]}},
    ),
    "items beyond them are new": (
        POD,
        '{"spec":{"containers":[{"name":"a"}],"containers":[{"image":"j"},{"name":"b"}]}}',
        {"spec": {"containers": [{"name": "a", "image": "j"}, {"name": "b"}]}},
    ),
    "an empty list": (POD, '{"spec":{"containers":[{"name":"a"}],"containers":[]}}', {"spec": {"containers": []}}),
    "a null for a list": (POD, '{"spec":{"volumes":[{"name":"a"}],"volumes":null}}', {"spec": {}}),
    "a null for a map": (MAP, '{"data":{"a":"1"},"data":null}', {}),
    "a null for a pointer": (POD, '{"spec":{"priority":1,"priority":null}}', {"spec": {}}),
    "a null for a pointer to a struct": (POD, '{"spec":{"affinity":{"nodeAffinity":{}},"affinity":null}}', {"spec": {}}),
    "a null for a text": (POD, '{"spec":{"nodeName":"a","nodeName":null}}', {"spec": {"nodeName": "a"}}),
    "a null for a struct": (POD, '{"spec":{"nodeName":"a"},"spec":null}', {"spec": {"nodeName": "a"}}),
    "a null for a time": (EVENT, '{"eventTime":"2020-01-01T00:00:00.000000Z","eventTime":null}', {}),
    "a null for an item": (
        POD,
        '{"metadata":{"finalizers":["a"],"finalizers":[null,null]}}',
        {"metadata": {"finalizers": ["a", ""]}},
    ),
    "what reads itself is replaced": (
        POD,
        '{"metadata":{"managedFields":[{"fieldsV1":{"f:a":{},"f:b":{}}}],"managedFields":[{"fieldsV1":{"f:c":{}}}]}}',
        {"metadata": {"managedFields": [{"fieldsV1": {"f:c": {}}}]}},
    ),
    "quantities": (
        POD,
        '{"spec":{"overhead":{"cpu":"1"},"overhead":{"cpu":"2","memory":"1Gi"}}}',
        {"spec": {"overhead": {"cpu": "2", "memory": "1Gi"}}},
    ),
    "of unknown fields nothing is left": (POD, '{"x":{"a":1,"a":2},"x":{"b":[1,{"c":1,"c":2}]}}', {}),
    "kinds": (POD, '{"kind":"Pod","kind":"Job","kind":"Pod"}', {"kind": "Pod"}),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "body", "kept"), CASES.values(), ids=CASES.keys())
def test_what_is_left(schema: Any, body: str, kept: Any) -> None:
    value = doubled.merged(body.encode(), schema)
    walk.decode_check(value, schema)
    assert value == kept


WRONG: dict[str, tuple[str, str]] = {
    "a scalar": ('{"spec":{"priority":"x","priority":1}}', "string into Go struct field PodSpec.spec.priority"),
    "a struct": ('{"spec":[],"spec":{"priority":1}}', "array into Go struct field Pod.spec of type v1.PodSpec"),
    "a text for a struct": ('{"spec":{"priority":1},"spec":"x"}', "string into Go struct field Pod.spec of type"),
    "within a struct": ('{"spec":{"hostname":1},"spec":{"priority":1}}', "number into Go struct field PodSpec.spec.h"),
    "within a list that goes": ('{"spec":{"volumes":[{"name":1}],"volumes":null}}', "number into Go struct field Volume"),
    "in a map": ('{"metadata":{"labels":{"a":1,"a":"b"}}}', "number into Go struct field ObjectMeta.metadata.labels"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_was_wrong_before_is_still(body: str, said: str) -> None:
    value = doubled.merged(body.encode(), POD)
    with pytest.raises(DecodeError, match=said):
        walk.decode_check(value, POD)
