"""From the metrics APIs' answers to proposals, status and texts."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

import orjson
import pytest

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.controllers.podautoscaler.measure import Target, measure
from tiphys.controllers.podautoscaler.replicas import NoMetrics, Tolerance
from tiphys.controllers.podautoscaler.sources import MetricSources, _seconds
from tiphys.wire.message import Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = "2026-01-01T00:00:00Z"
RESOURCE = "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns"


class Apis:
    """Answers by path; remembers what was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    async def __call__(self, request):
        self.asked.append((request.path, {key: one[0] for key, one in parse_qs(request.raw_query).items()}))
        if request.path not in self.answers:
            status = {"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "gone",
                      "code": 404}  # fmt: skip
            return Response(404, {"content-type": "application/json"}, orjson.dumps(status))
        return Response(200, {"content-type": "application/json"}, orjson.dumps(self.answers[request.path]))


def running(count):
    return [
        {
            "metadata": {"name": f"p{number}", "labels": {"app": "a"}},
            "spec": {"containers": [
                {"name": name, "resources": {"requests": {"cpu": "100m"}}} for name in ("c", "side")]},
            "status": {
                "phase": "Running", "startTime": "2025-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": "True",
                                "lastTransitionTime": "2025-01-01T00:00:00Z"}],
            },
        }
        for number in range(count)
    ]  # fmt: skip


def usage(*pods):
    return {"items": [
        {"metadata": {"name": f"p{number}"}, "timestamp": STAMP, "window": "10s",
         "containers": [{"name": name, "usage": {"cpu": cpu}} for name, cpu in pod.items()]}
        for number, pod in enumerate(pods)]}  # fmt: skip


async def measured(answers, metric, replicas=2):
    apis = Apis(answers)
    client = Client(InProcessTransport(apis))
    target = Target("ns", "app=a", running(replicas), replicas, replicas, Tolerance(), NOW)
    try:
        return await measure(MetricSources(client), metric, target), apis
    finally:
        await client.close()


def utilization(percent):
    return {"type": "Utilization", "averageUtilization": percent}


async def test_resource():
    answers = {RESOURCE: usage({"c": "150m", "side": "50m"}, {"c": "150m", "side": "50m"})}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": utilization(50)}}
    found, apis = await measured(answers, metric)
    assert found.replicas == 4
    assert found.name == "cpu resource utilization (percentage of request)"
    assert found.status == {"type": "Resource", "resource": {
        "name": "cpu", "current": {"averageValue": "200m", "averageUtilization": 100}}}  # fmt: skip
    assert apis.asked == [(RESOURCE, {"labelSelector": "app=a"})]


async def test_container_resource():
    answers = {RESOURCE: usage({"c": "30m", "side": "100m"}, {"c": "30m", "side": "100m"})}
    part = {"name": "cpu", "container": "side", "target": utilization(50)}
    found, _ = await measured(answers, {"type": "ContainerResource", "containerResource": part})
    assert found.replicas == 4
    assert found.name == "cpu container resource utilization (percentage of request)"
    shown = found.status["containerResource"]
    assert shown == {"name": "cpu", "container": "side",
                     "current": {"averageValue": "100m", "averageUtilization": 100}}  # fmt: skip


async def test_resource_by_value():
    answers = {RESOURCE: usage({"c": "30m"}, {"c": "30m"})}
    part = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "10m"}}
    found, _ = await measured(answers, {"type": "Resource", "resource": part})
    assert (found.replicas, found.name) == (6, "cpu resource")


async def test_pods():
    items = [
        {"describedObject": {"name": f"p{number}"}, "value": "30", "timestamp": STAMP} for number in range(2)
    ]
    answers = {f"{CUSTOM}/pods/*/rps": {"items": items}}
    part = {"metric": {"name": "rps", "selector": {"matchLabels": {"verb": "get"}}},
            "target": {"type": "AverageValue", "averageValue": "10"}}  # fmt: skip
    found, apis = await measured(answers, {"type": "Pods", "pods": part})
    assert (found.replicas, found.name) == (6, "pods metric rps")
    assert found.status["pods"]["current"] == {"averageValue": "30"}
    assert apis.asked[0][1] == {"labelSelector": "app=a", "metricLabelSelector": "verb=get"}


@pytest.mark.parametrize(
    ("target", "replicas", "current", "name"),
    [({"type": "Value", "value": "100"}, 6, {"value": "300"}, "Ingress metric rps"),
     ({"type": "AverageValue", "averageValue": "100"}, 3, {"averageValue": "150"},
      "external metric rps(nil)")],
)  # fmt: skip
async def test_object(target, replicas, current, name):
    answers = {
        "/apis/networking.k8s.io/v1": {"resources": [{"name": "ingresses", "kind": "Ingress"}]},
        f"{CUSTOM}/ingresses.networking.k8s.io/main/rps": {"items": [{"value": "300"}]},
    }
    described = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"}
    part = {"metric": {"name": "rps"}, "describedObject": described, "target": target}
    found, _ = await measured(answers, {"type": "Object", "object": part})
    assert (found.replicas, found.name) == (replicas, name)
    assert found.status["object"]["current"] == current


async def test_external():
    answers = {f"{EXTERNAL}/queue": {"items": [{"value": "20"}, {"value": "30"}]}}
    part = {"metric": {"name": "queue", "selector": {"matchLabels": {"q": "a"}}},
            "target": {"type": "AverageValue", "averageValue": "10"}}  # fmt: skip
    found, apis = await measured(answers, {"type": "External", "external": part})
    selector = (
        "&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}"
    )
    assert (found.replicas, found.name) == (5, f"external metric queue({selector})")
    assert apis.asked[0][1] == {"labelSelector": "q=a"}


@pytest.mark.parametrize(
    ("answers", "metric", "text"),
    [
        ({}, {"type": "Resource", "resource": {"name": "cpu", "target": utilization(50)}},
         "failed to get cpu resource metric value: failed to get cpu utilization: "
         "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: gone"),
        ({RESOURCE: {"items": []}},
         {"type": "Resource", "resource": {"name": "cpu", "target": utilization(50)}},
         "failed to get cpu resource metric value: failed to get cpu utilization: "
         "unable to get metrics for resource cpu: no metrics returned from resource metrics API"),
        ({}, {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "side", "target": utilization(50)}},
         "failed to get side container metric value: failed to get cpu utilization: "),
        ({}, {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value"}}},
         "failed to get q external metric value: failed to get external metric q: "
         "unable to get external metric ns/q/nil: unable to fetch metrics from external metrics API: gone"),
        ({}, {"type": "External", "external": {
            "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue"}}},
         "failed to get q external metric value: failed to get q external metric: unable to get external "
         "metric ns/q/&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:"),
        ({f"{CUSTOM}/pods/*/rps": {"items": []}}, {"type": "Pods", "pods": {
            "metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
         "failed to get pods metric value: unable to get metric rps: "
         "no metrics returned from custom metrics API"),
        ({"/api/v1": {"resources": [{"name": "services", "kind": "Service"}]},
          f"{CUSTOM}/services/main/rps": {"items": []}}, {"type": "Object", "object": {
            "metric": {"name": "rps"}, "describedObject": {"kind": "Service", "name": "main"},
            "target": {"type": "AverageValue", "averageValue": "1"}}},
         "failed to get object metric value: failed to get rps object metric: unable to get metric rps on "
         "Service ns/main: unable to fetch metrics from custom metrics API: the custom metrics API server "
         "returned 0 results when we asked for exactly one"),
        ({}, {"type": "Odd"}, 'unknown metric source type "Odd"'),
    ],
)  # fmt: skip
async def test_failures(answers, metric, text):
    with pytest.raises(NoMetrics) as caught:
        await measured(answers, metric)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15.0), ("1m30.5s", 90.5), ("500ms", 0.5), ("1h0m0s", 3600.0), ("0s", 0.0)]
)
def test_windows(text, seconds):
    assert _seconds(text) == seconds
