"""What may not be in HorizontalPodAutoscalers: bounds, targets, metrics and behavior."""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Body = dict[str, Any]

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
HALF = {"type": "Utilization", "averageUtilization": 50}


def hpa(**spec: Any) -> Body:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x", "namespace": "ns"},
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec},
    }


def metric(kind: str, **sources: Any) -> Body:
    return hpa(metrics=[{"type": kind, **sources}])


def behavior(**rules: Any) -> Body:
    policies = [{"type": "Pods", "value": 1, "periodSeconds": 1}]
    return hpa(behavior={"scaleUp": {"policies": policies, **rules}})


def noted(percent: int, **notes: Any) -> Body:
    """An autoscaler of v1: what it does not know is in annotations."""
    made = {**hpa(targetCPUUtilizationPercentage=percent), "apiVersion": "autoscaling/v1"}
    annotations = {
        f"autoscaling.alpha.kubernetes.io/{key}": json.dumps(value) for key, value in notes.items()
    }
    return {**made, "metadata": {**made["metadata"], "annotations": annotations}}


M = "spec.metrics[0]"
UP = "spec.behavior.scaleUp"
TYPES = '"ContainerResource", "External", "Object", "Pods", "Resource"'
EITHER = "must be either Utilization, Value, or AverageValue"
GROUP = 'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group'
NEW: dict[str, tuple[Body, list[str]]] = {
    "fine": (hpa(), []),
    "no policies": (
        hpa(behavior={"scaleUp": {"policies": []}, "scaleDown": {}}),
        [f"{UP}.policies: Required value: must specify at least one Policy"],
    ),
    "bounds": (
        hpa(minReplicas=0, maxReplicas=-1),
        [
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1",
            "spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
        ],
    ),
    "no replicas at most": (
        hpa(maxReplicas=0),
        [
            "spec.maxReplicas: Required value: must be set and greater than 0",
            "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
        ],
    ),
    "target": (
        hpa(scaleTargetRef={"apiVersion": "a/b/c", "name": "a/b"}),
        [
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
            'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ],
    ),
    "v1": (noted(0), [f"{M}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0"]),
    "v1 with annotations": (
        noted(
            1,
            metrics=[{"type": "Pods", "pods": {"metricName": "m", "targetAverageValue": "0"}}],
            behavior={"scaleUp": {"selectPolicy": "X"}},
        ),
        [
            'spec.metrics[0].pods.target.averageValue: Invalid value: "0": must be positive',
            f'{UP}.selectPolicy: Unsupported value: "X": supported values: "Disabled", "Max", "Min"',
            f"{UP}.policies: Required value: must specify at least one Policy",
        ],
    ),
    "v1 with annotations of another type": (
        noted(1, metrics=[{"type": "Pods", "pods": {"metricName": 1}}], behavior={"scaleUp": 1}),
        [],
    ),
    "target without group": (hpa(scaleTargetRef={**TARGET, "apiVersion": "v1"}), [GROUP]),
    "replication controllers have none": (
        hpa(scaleTargetRef={"apiVersion": "v1", "kind": "ReplicationController", "name": "d"}),
        [],
    ),
    "metric without type": (
        hpa(metrics=[{}]),
        [
            f"{M}.type: Required value: must specify a metric source type",
            f'{M}.type: Unsupported value: "": supported values: {TYPES}',
            f'{M}.type: Unsupported value: "": supported values: {TYPES}',
        ],
    ),
    "source missing": (
        metric("Pods"),
        [f"{M}.pods: Required value: must populate information for the given metric source"],
    ),
    "two sources": (
        metric("Resource", resource={"name": "cpu", "target": HALF}, pods={}),
        [
            f"{M}.pods.metric.name: Required value: must specify a metric name",
            f"{M}.pods.target.type: Required value: must specify a metric target type",
            f'{M}.pods.target.type: Invalid value: "": {EITHER}',
            f"{M}.pods.target.averageValue: Required value: must specify a positive target averageValue",
            f"{M}.pods: Forbidden: must populate the given metric source only",
        ],
    ),
    "resource": (
        metric("Resource", resource={"target": {"type": "X", "averageUtilization": 0, "averageValue": "0"}}),
        [
            f"{M}.resource.name: Required value: must specify a resource name",
            f'{M}.resource.target.type: Invalid value: "X": {EITHER}',
            f'{M}.resource.target.averageValue: Invalid value: "0": must be positive',
            f"{M}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
            f"{M}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
        ],
    ),
    "resource without target": (
        metric("Resource", resource={"name": "cpu", "target": {"type": "Value", "value": "-1"}}),
        [
            f'{M}.resource.target.value: Invalid value: "-1": must be positive',
            f"{M}.resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
        ],
    ),
    "container": (
        metric("ContainerResource", containerResource={"name": "x", "target": HALF}),
        [
            f'{M}.containerResource.name: Invalid value: "x": must be a standard resource type or fully qualified',
            f'{M}.containerResource.name: Invalid value: "x": must be a standard resource for containers',
            f"{M}.containerResource.container: Required value: must specify a container",
        ],
    ),
    "external": (
        metric(
            "External",
            external={"metric": {"name": "m"}, "target": {"type": "Value", "value": 1, "averageValue": 1}},
        ),
        [
            f"{M}.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"
        ],
    ),
    "external without target": (
        metric("External", external={"metric": {"name": "m"}, "target": {"type": "Value"}}),
        [
            f"{M}.external.target.averageValue: Required value: must set either a target value for metric or a per-pod target"
        ],
    ),
    "object": (
        metric(
            "Object",
            object={"describedObject": {"kind": "K"}, "metric": {"name": "m"}, "target": {"type": "Value"}},
        ),
        [
            f"{M}.object.describedObject.name: Required value",
            f"{M}.object.target.averageValue: Required value: must set either a target value or averageValue",
        ],
    ),
    "window": (
        behavior(stabilizationWindowSeconds=-1, selectPolicy="X", tolerance="-0.1"),
        [
            f"{UP}.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
            f'{UP}.selectPolicy: Unsupported value: "X": supported values: "Disabled", "Max", "Min"',
            f'{UP}.tolerance: Invalid value: "-0.1": must be greater than or equal to 0',
        ],
    ),
    "long window": (
        behavior(stabilizationWindowSeconds=3601),
        [f"{UP}.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600"],
    ),
    "policy": (
        behavior(policies=[{"type": "X", "periodSeconds": 1801}, {"type": "Pods", "value": 1}]),
        [
            f'{UP}.policies[0].type: Unsupported value: "X": supported values: "Percent", "Pods"',
            f"{UP}.policies[0].value: Invalid value: 0: must be greater than zero",
            f"{UP}.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            f"{UP}.policies[1].periodSeconds: Invalid value: 0: must be greater than zero",
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


CORE = hpa(scaleTargetRef={**TARGET, "apiVersion": "v1"})
EXTERNAL = [
    {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": 1}}}
]
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "a version of old": (CORE, CORE, []),
    "another kind": (
        CORE,
        hpa(scaleTargetRef={"apiVersion": "v1", "kind": "StatefulSet", "name": "d"}),
        [GROUP],
    ),
    "down to nothing, as before": (
        hpa(minReplicas=0, metrics=EXTERNAL),
        hpa(minReplicas=0, metrics=EXTERNAL),
        [],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


def test_status(faults_of_status: Callable[[Body, Body, Body], list[str]]) -> None:
    assert faults_of_status(hpa(), {}, {"currentReplicas": -1, "desiredReplicas": -1}) == [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0",
    ]
