from typing import Any

import pytest

from tiphys.apis.scale import (
    apply_scale,
    custom_paths,
    replicas_faults,
    scale_of,
    selector_faults,
    validate_scale,
)


def workload(selector: Any) -> dict[str, Any]:
    return {
        "kind": "X",
        "metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "5", "labels": {"x": "y"}},
        "spec": {"replicas": 3, "selector": selector},
        "status": {"replicas": 2},
    }


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"a": "b"}}, "a=b"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["y", "x"]}]}, "k in (x,y)"),
        ({"a": "b", "c": "d"}, "a=b,c=d"),
        ("a=b", "a=b"),
    ],
)
def test_scale_of(selector: Any, text: str) -> None:
    assert scale_of(workload(selector)) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "5"},
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": text},
    }


def test_apply_leaves_the_original() -> None:
    obj = workload({})
    changed = apply_scale(obj, {"spec": {"replicas": 7}})
    assert changed["spec"] == {"replicas": 7, "selector": {}}
    assert obj["spec"]["replicas"] == 3
    assert apply_scale(obj, {})["spec"]["replicas"] == 0


def test_custom_paths() -> None:
    paths = custom_paths({"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"})
    obj: dict[str, Any] = {"metadata": {"name": "a"}}
    assert scale_of(obj, paths)["status"] == {"replicas": 0}
    assert apply_scale(obj, {"spec": {"replicas": 2}}, paths)["spec"] == {"size": 2}


def test_validation() -> None:
    assert validate_scale({"spec": {"replicas": 0}}) == []
    assert str(validate_scale({"spec": {"replicas": -1}})[0]) == (
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    )


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({}, ""),
        ({"spec": None}, ""),
        ({"spec": {"n": 0}}, ""),
        ({"spec": {"n": 2147483647}}, ""),
        (
            {"spec": {"n": 2147483648}},
            "Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        ({"spec": {"n": -1}}, "Invalid value: -1: should be a non-negative integer"),
        (
            {"spec": {"n": 1.5}},
            "Invalid value: 0: .spec.n accessor error: 1.5 is of the type float64, expected int64",
        ),
        (
            {"spec": {"n": True}},
            "Invalid value: 0: .spec.n accessor error: true is of the type bool, expected int64",
        ),
        (
            {"spec": {"n": None}},
            "Invalid value: 0: .spec.n accessor error: <nil> is of the type <nil>, expected int64",
        ),
        (
            {"spec": [1]},
            "Invalid value: 0: .spec.n accessor error: [1] is of the type []interface {}, "
            "expected map[string]interface{}",
        ),
    ],
)
def test_replicas_of_custom_objects(obj: Any, text: str) -> None:
    assert [(fault.field, fault.detail) for fault in replicas_faults(obj, "spec.n")] == (
        [(".spec.n", text)] if text else []
    )


def test_selectors_of_custom_objects() -> None:
    assert selector_faults({"status": {"s": "a=b"}}, "status.s") == []
    assert selector_faults({"status": {"s": 5}}, "") == []
    (fault,) = selector_faults({"status": {"s": {"a": "b"}}}, "status.s")
    assert fault.detail == (
        'Invalid value: "": .status.s accessor error: map[a:b] is of the type '
        "map[string]interface {}, expected string"
    )
