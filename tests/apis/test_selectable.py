from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.resource import Resource
from tiphys.apis import selectable
from tiphys.apis.table import TABLE

ROWS = [row for row in TABLE if row.selectable_fields]
PATHS = {path for row in ROWS for path in row.selectable_fields}
SECTIONS = sorted({path.partition(".")[0] for path in PATHS} | {"involvedObject", "reportingComponent"})
KEYS = sorted({path.partition(".")[2] for path in PATHS if "." in path} | {"succeeded", "component"})
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("spec.nodeName", {"spec": {"nodeName": "n1"}}, "n1"),
    ("spec.nodeName", {"spec": {}}, ""),
    ("spec.hostNetwork", {"spec": {}}, "false"),
    ("spec.hostNetwork", {"spec": {"hostNetwork": True}}, "true"),
    ("spec.unschedulable", {}, "false"),
    ("status.replicas", {"status": {}}, "0"),
    ("status.replicas", {"status": {"replicas": 3}}, "3"),
    ("status.successful", {"status": {"succeeded": 2}}, "2"),
    ("source", {"source": {"component": "kubelet"}}, "kubelet"),
    ("source", {"source": {}, "reportingComponent": "x"}, "x"),
    ("regarding.name", {"involvedObject": {"name": "web"}}, "web"),
    ("reportingController", {"reportingComponent": "x"}, "x"),
    ("spec.a.b", {"spec": {"a": "text"}}, ""),
]


@pytest.mark.parametrize(("path", "obj", "expected"), CASES)
def test_field_value(path: str, obj: dict[str, Any], expected: str) -> None:
    assert selectable.field_value(obj, path) == expected


def test_field_values_of_a_pod() -> None:
    pods = TABLE.by_path("", "v1", "pods")
    assert pods is not None
    values = selectable.field_values(pods, {"metadata": {"name": "a", "namespace": "b"}})
    assert values["metadata.namespace"] == "b"
    assert values["spec.hostNetwork"] == "false"
    assert set(values) == {"metadata.name", "metadata.namespace", *pods.selectable_fields}
    assert selectable.supports(pods, "metadata.name")
    assert not selectable.supports(pods, "spec.x")


VALUES = st.sampled_from([None, "", "text", 0, 3, True, False, {}, {"name": "x"}, [], ["a"]])
INNER = st.one_of(st.none(), st.just("text"), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))


@given(st.sampled_from(ROWS), st.dictionaries(st.sampled_from(SECTIONS), INNER, max_size=4))
def test_all_values_at_once_are_what_each_is(row: Resource, sections: dict[str, Any]) -> None:
    obj = {**sections, "metadata": {"name": "a", "namespace": "b"}}
    values = selectable.field_values(row, obj)
    for path in row.selectable_fields:
        assert values[path] == selectable.field_value(obj, path), path
