from typing import Any

import pytest

from tiphys.apis import selectable
from tiphys.apis.table import TABLE

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
