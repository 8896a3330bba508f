"""A HorizontalPodAutoscaler end to end: pods use CPU, the metrics API says so, the Deployment grows."""

import pytest

from tiphys.client.kinds import DEPLOYMENTS, EVENTS, HORIZONTAL_POD_AUTOSCALERS
from tiphys.controllers.conditions import find
from tiphys.testing import Cluster
from tiphys.testing.usage import CPU_USAGE

pytestmark = pytest.mark.slow
LABELS = {"app": "web"}


def deployment(usage):
    containers = [
        {"name": name, "image": "i", "resources": {"requests": {"cpu": "100m"}}} for name in ("web", "side")
    ]
    template = {
        "metadata": {"labels": LABELS, "annotations": {CPU_USAGE: usage}},
        "spec": {"containers": containers},
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template},
    }  # fmt: skip


def autoscaler(metric, most=3):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most, "metrics": [metric]}
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"}, "spec": spec,
    }  # fmt: skip


def resource(percent, container=""):
    part = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    if container:
        return {"type": "ContainerResource", "containerResource": {**part, "container": container}}
    return {"type": "Resource", "resource": part}


def condition(obj, type_):
    return find((obj.get("status") or {}).get("conditions") or [], type_) if obj else None


@pytest.mark.parametrize(
    ("metric", "usage", "percent"),
    [(resource(50), "150m", 150), (resource(50, "side"), "web=1m,side=200m", 200)],
    ids=["resource", "container resource"],
)
async def test_a_busy_deployment_grows(metric, usage, percent):
    options = {"metric_resolution_s": 0.1}
    async with Cluster(nodes=1, options=options, controller_options={"autoscaler_sync_s": 0.2}) as cluster:
        client = cluster.client
        await client.create(DEPLOYMENTS, deployment(usage))
        await client.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(metric))

        def limited(obj):
            said = condition(obj, "ScalingLimited")
            return said is not None and said["reason"] == "TooManyReplicas"

        found = await cluster.wait_for(HORIZONTAL_POD_AUTOSCALERS, "web", "default", limited)
        status = found["status"]
        assert status["desiredReplicas"] == 3
        key = "resource" if metric["type"] == "Resource" else "containerResource"
        current = status["currentMetrics"][0][key]["current"]
        assert abs(current["averageUtilization"] - percent) <= 5
        active = condition(found, "ScalingActive")
        assert (active["status"], active["reason"]) == ("True", "ValidMetricFound")
        await cluster.wait_for(
            DEPLOYMENTS, "web", "default", lambda one: (one.get("status") or {}).get("readyReplicas") == 3
        )
        events = (await client.list(EVENTS, "default"))["items"]
        assert any(one["reason"] == "SuccessfulRescale" for one in events)


async def test_without_metrics_it_says_so():
    async with Cluster(nodes=1, controller_options={"autoscaler_sync_s": 0.2}) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment("10m"))
        metric = {
            "type": "External",
            "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1"}},
        }
        await cluster.client.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(metric))

        def failed(obj):
            said = condition(obj, "ScalingActive")
            return said is not None and said["reason"] == "FailedGetExternalMetric"

        found = await cluster.wait_for(HORIZONTAL_POD_AUTOSCALERS, "web", "default", failed)
        text = condition(found, "ScalingActive")["message"]
        assert text == (
            "the HPA was unable to compute the replica count: unable to get external metric default/q/nil: "
            "unable to fetch metrics from external metrics API: 404 page not found"
        )
