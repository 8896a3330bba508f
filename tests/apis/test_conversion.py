from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.conversion import convert

CORE_EVENT = GVK("", "v1", "Event")
NEW_EVENT = GVK("events.k8s.io", "v1", "Event")
HPA1 = GVK("autoscaling", "v1", "HorizontalPodAutoscaler")
HPA2 = GVK("autoscaling", "v2", "HorizontalPodAutoscaler")


def test_same_shape_swaps_the_version() -> None:
    new, old = (
        GVK("storage.k8s.io", "v1", "VolumeAttributesClass"),
        GVK("storage.k8s.io", "v1beta1", "VolumeAttributesClass"),
    )
    obj = {"apiVersion": "storage.k8s.io/v1beta1", "kind": "VolumeAttributesClass", "driverName": "x"}
    assert convert(obj, old) is obj
    assert convert(obj, new) == {**obj, "apiVersion": "storage.k8s.io/v1"}


def test_events_both_ways() -> None:
    core: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"name": "web"},
        "message": "hi", "source": {"component": "c"}, "count": 2, "reason": "R", "reportingComponent": "rc",
        "firstTimestamp": "x", "lastTimestamp": "y", "type": "Normal",
    }  # fmt: skip
    new = convert(core, NEW_EVENT)
    assert new["apiVersion"] == "events.k8s.io/v1"
    assert new["regarding"] == {"name": "web"}
    assert (new["note"], new["deprecatedCount"], new["reportingController"]) == ("hi", 2, "rc")
    assert "message" not in new
    assert convert(new, CORE_EVENT) == core


def metric(kind: str, field: str, **source: Any) -> dict[str, Any]:
    return {"type": kind, field: source}


METRICS = [
    metric("Resource", "resource", name="memory", target={"type": "AverageValue", "averageValue": "1Gi"}),
    metric("Pods", "pods", metric={"name": "q"}, target={"type": "AverageValue", "averageValue": "5"}),
    metric(
        "Object",
        "object",
        describedObject={"kind": "Service", "name": "s"},
        metric={"name": "r", "selector": {"matchLabels": {"a": "b"}}},
        target={"type": "Value", "value": "10"},
    ),
    metric("External", "external", metric={"name": "e"}, target={"type": "Value", "value": "3"}),
    metric("Resource", "resource", name="cpu", target={"type": "Utilization", "averageUtilization": 80}),
]


def test_autoscalers_keep_everything_through_v1() -> None:
    obj: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "annotations": {"mine": "1"}},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"},
            "maxReplicas": 5,
            "metrics": METRICS,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
        "status": {
            "currentReplicas": 2,
            "desiredReplicas": 3,
            "currentMetrics": [
                metric(
                    "Resource",
                    "resource",
                    name="cpu",
                    current={"averageUtilization": 50, "averageValue": "1"},
                )
            ],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        },
    }
    before = copy_object(obj)
    old = convert(obj, HPA1)
    assert obj == before
    assert old["spec"]["targetCPUUtilizationPercentage"] == 80
    assert old["status"]["currentCPUUtilizationPercentage"] == 50
    assert "metrics" not in old["spec"]
    assert convert(old, HPA2) == obj


def test_an_autoscaler_that_counted_nothing() -> None:
    """Clients of v1 take both numbers for given."""
    spec = {"maxReplicas": 1}
    new = {"apiVersion": "autoscaling/v2", "kind": HPA2.kind, "metadata": {}, "spec": spec}
    new["status"] = {"desiredReplicas": 0, "currentMetrics": None}
    old = convert(new, GVK("autoscaling", "v1", HPA2.kind))
    assert old["status"] == {"currentReplicas": 0, "desiredReplicas": 0}
    assert convert(old, HPA2)["status"] == {"desiredReplicas": 0}


@pytest.mark.parametrize(
    "note", ["{", "3", "[1]", '[{"type":[]}]', '[{"type":"Resource"}]', '[{"type":"Pods","pods":{}}]']
)
def test_any_annotation_converts(note: str) -> None:
    obj = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": note}},
        "spec": {"targetCPUUtilizationPercentage": 10},
    }
    assert convert(obj, HPA2)["spec"]["metrics"][-1]["resource"]["name"] == "cpu"


SCALER: dict[str, Any] = {"apiVersion": "autoscaling/v2", "kind": HPA2.kind, "metadata": {"name": "a"}}
REFERENCE = {"apiVersion": "v1", "kind": "Service", "name": "s"}
PERIOD = {"periodSeconds": 15, "type": "Pods", "value": 4}
NOTED = {
    "metrics": (
        {"spec": {"metrics": METRICS}},
        '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}},'
        '{"type":"Pods","pods":{"metricName":"q","targetAverageValue":"5"}},'
        '{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"r",'
        '"targetValue":"10","selector":{"matchLabels":{"a":"b"}}}},'
        '{"type":"External","external":{"metricName":"e","targetValue":"3"}}]',
    ),
    "current-metrics": (
        {
            "status": {
                "currentMetrics": [
                    metric("Resource", "resource", current={"averageUtilization": 5}, name="cpu"),
                    metric(
                        "Object",
                        "object",
                        describedObject=REFERENCE,
                        current={"averageValue": "7"},
                        metric={"name": "r"},
                    ),
                ]
            }
        },
        '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":5,'
        '"currentAverageValue":"0"}},{"type":"Object","object":{"target":{"kind":"Service","name":"s",'
        '"apiVersion":"v1"},"metricName":"r","currentValue":"0","averageValue":"7"}}]',
    ),
    "conditions": (
        {"status": {"conditions": [{"status": "True", "message": "a < b", "type": "AbleToScale"}]}},
        '[{"type":"AbleToScale","status":"True","lastTransitionTime":null,"message":"a \\u003c b"}]',
    ),
    "behavior": (
        {"spec": {"behavior": {"scaleUp": {"policies": [PERIOD], "selectPolicy": "Max"}}}},
        '{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Pods",'
        '"Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}',
    ),
}


@pytest.mark.parametrize(("note", "case"), NOTED.items(), ids=NOTED)
def test_notes_of_autoscalers_are_word_for_word(note: str, case: tuple[dict[str, Any], str]) -> None:
    """Other servers read them, and tools compare them."""
    fields, expected = case
    annotations = convert({**SCALER, **fields}, HPA1)["metadata"]["annotations"]
    assert annotations == {f"autoscaling.alpha.kubernetes.io/{note}": expected}


@pytest.mark.parametrize(
    "note",
    [
        '{"ScaleUp":null,"ScaleDown":{"SelectPolicy":"Min","Policies":null}}',
        '{"scaleDown":{"selectPolicy":"Min"}}',
    ],
    ids=["names in Go", "names of the API"],
)
def test_behavior_in_a_note(note: str) -> None:
    annotations = {"autoscaling.alpha.kubernetes.io/behavior": note}
    obj = {**SCALER, "apiVersion": "autoscaling/v1", "metadata": {"annotations": annotations}, "spec": {}}
    assert convert(obj, HPA2)["spec"] == {"behavior": {"scaleDown": {"selectPolicy": "Min"}}}


def test_what_a_note_tells_of_metrics_is_the_whole() -> None:
    """The field tells of the CPU only where there is no note, and no amount is none where an average is."""
    other = '[{"type":"Resource","resource":{"name":"memory","currentAverageValue":"1"}}]'
    target = '[{"type":"Object","object":{"metricName":"r","targetValue":"0","averageValue":"7"}}]'
    obj = {
        **SCALER,
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "annotations": {
                "autoscaling.alpha.kubernetes.io/current-metrics": other,
                "autoscaling.alpha.kubernetes.io/metrics": target,
            }
        },
        "status": {"currentCPUUtilizationPercentage": 10},
    }
    new = convert(obj, HPA2)
    assert [each["resource"]["name"] for each in new["status"]["currentMetrics"]] == ["memory"]
    assert new["spec"]["metrics"][0]["object"]["target"] == {"type": "AverageValue", "averageValue": "7"}


@pytest.mark.parametrize("note", ['[{"type":3}]', '[{"type":[]}]', '[{"lastTransitionTime":{}}]'])
def test_conditions_in_a_note_are_of_their_types(note: str) -> None:
    annotations = {"autoscaling.alpha.kubernetes.io/conditions": note}
    obj = {**SCALER, "apiVersion": "autoscaling/v1", "metadata": {"annotations": annotations}, "status": {}}
    assert "conditions" not in convert(obj, HPA2)["status"]


def test_device_requests_and_slices() -> None:
    old = {
        "apiVersion": "resource.k8s.io/v1beta1",
        "kind": "ResourceClaim",
        "spec": {"devices": {"requests": [{"name": "a", "deviceClassName": "gpu", "count": 2}]}},
    }
    new = convert(old, GVK("resource.k8s.io", "v1", "ResourceClaim"))
    assert new["spec"]["devices"]["requests"] == [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}}
    ]
    assert convert(new, GVK("resource.k8s.io", "v1beta1", "ResourceClaim")) == old
    slice_ = {
        "apiVersion": "resource.k8s.io/v1beta1",
        "kind": "ResourceSlice",
        "spec": {"driver": "d", "devices": [{"name": "a", "basic": {"capacity": {}}}]},
    }
    flat = convert(slice_, GVK("resource.k8s.io", "v1", "ResourceSlice"))
    assert flat["spec"]["devices"] == [{"name": "a", "capacity": {}}]
    assert convert(flat, GVK("resource.k8s.io", "v1beta1", "ResourceSlice")) == slice_
