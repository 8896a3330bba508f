"""The autoscaler's shell: what one look asks and writes, what is told of failures, when it looks again."""

import pytest

from tiphys.apimachinery.errors import Conflict, Forbidden
from tiphys.client.kinds import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from tiphys.controllers import metrics
from tiphys.controllers.podautoscaler.controller import HorizontalPodAutoscalerController

METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/d/pods"
HALF = {"type": "Utilization", "averageUtilization": 50}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": HALF}}
EVERY_S = 15


@pytest.fixture(autouse=True)
def discovery(world):
    version = {"groupVersion": "apps/v1", "version": "v1"}
    deployments = {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["get", "list"]}
    world.api.discovery |= {
        "/api": {"kind": "APIVersions", "versions": []},
        "/apis": {"groups": [{"name": "apps", "versions": [version], "preferredVersion": version}]},
        "/apis/apps/v1": {"groupVersion": "apps/v1", "resources": [deployments]},
    }


def put_target(world, replicas=2, selector="app=web", name="web"):
    status = {"replicas": replicas, **({"selector": selector} if selector else {})}
    meta = {"name": name, "namespace": "d"}
    return world.api.put(
        DEPLOYMENTS, {"kind": "Scale", "metadata": meta, "spec": {"replicas": replicas}, "status": status}
    )


def put_scaler(world, name="hpa", least=1, most=10, target="web", kind="Deployment", **spec):
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": target}
    return world.api.put(
        HORIZONTAL_POD_AUTOSCALERS,
        {
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": "d", "generation": 3},
            "spec": {
                "scaleTargetRef": ref,
                "minReplicas": least,
                "maxReplicas": most,
                "metrics": [CPU],
                **spec,
            },
        },
    )


def put_pods(world, used_milli, count=2):
    """Pods that ask for a tenth of a core and use so much."""
    measured = []
    for name in (f"web-{number}" for number in range(count)):
        container = {"name": "c", "resources": {"requests": {"cpu": "100m"}}}
        world.api.put(
            PODS,
            {
                "metadata": {"name": name, "namespace": "d", "labels": {"app": "web"}},
                "spec": {"containers": [container]},
                "status": {"phase": "Running", "startTime": "2020-01-01T00:00:00Z", "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:01:00Z"}]},
            },
        )  # fmt: skip
        usage = {"name": "c", "usage": {"cpu": f"{used_milli}m"}}
        measured.append(
            {
                "metadata": {"name": name},
                "timestamp": "2025-12-31T23:59:50Z",
                "window": "15s",
                "containers": [usage],
            }
        )
    world.api.discovery[METRICS] = {"items": measured}


def replicas(world, name="web"):
    return world.api.get(DEPLOYMENTS, name, "d")["spec"]["replicas"]


def status(world, name="hpa"):
    return world.api.get(HORIZONTAL_POD_AUTOSCALERS, name, "d").get("status") or {}


def told(world, name="hpa"):
    """Return each condition as status, reason and message, by its type."""
    found = status(world, name).get("conditions") or ()
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found}


def writes_of_scale(world):
    return [path for method, path in world.api.writes() if path.endswith("/scale")]


async def test_more_is_used_than_wanted(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        assert replicas(world) == 3
        found = status(world)
        assert (found["currentReplicas"], found["desiredReplicas"], found["observedGeneration"]) == (2, 3, 3)
        assert found["lastScaleTime"]
        assert found["currentMetrics"][0]["resource"]["current"] == {
            "averageUtilization": 75, "averageValue": "75m"
        }  # fmt: skip
        assert told(world)["AbleToScale"] == (
            "True", "SucceededRescale", "the HPA controller was able to update the target scale to 3"
        )  # fmt: skip
        assert told(world)["ScalingActive"][:2] == ("True", "ValidMetricFound")
        assert told(world)["ScalingLimited"][:2] == ("False", "DesiredWithinRange")
        why = "cpu resource utilization (percentage of request) above target"
        assert ("SuccessfulRescale", f"New size: 3; reason: {why}") in world.events()
        seen = len(world.api.calls)
        await world.settle()
        assert len(world.api.calls) == seen, "its own writes are no reason to look again"


async def test_it_looks_again_in_its_time_and_at_once_for_another_spec(world):
    put_target(world)
    scaler = put_scaler(world)
    put_pods(world, used_milli=50)
    async with world.running(HorizontalPodAutoscalerController):
        assert (replicas(world), writes_of_scale(world)) == (2, [])
        put_pods(world, used_milli=75)
        await world.settle()
        assert replicas(world) == 2
        await world.advance(EVERY_S)
        assert replicas(world) == 3
        live = world.api.get(HORIZONTAL_POD_AUTOSCALERS, "hpa", "d")
        world.api.put(HORIZONTAL_POD_AUTOSCALERS, {**live, "spec": {**scaler["spec"], "minReplicas": 5}})
        await world.settle()
        assert replicas(world) == 5


@pytest.mark.parametrize(
    ("has", "bounds", "want", "why"),
    [
        (20, {"most": 10}, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, {"least": 4}, 4, "Current number of replicas below Spec.MinReplicas"),
        (0, {"least": 0}, 0, ""),
    ],
    ids=["above", "below", "none, and none is asked for"],
)
async def test_bounds_need_no_metrics(world, has, bounds, want, why):
    put_target(world, replicas=has)
    put_scaler(world, **bounds)
    async with world.running(HorizontalPodAutoscalerController):
        assert replicas(world) == want
        rescaled = [text for reason, text in world.events() if reason == "SuccessfulRescale"]
        assert rescaled == ([f"New size: {want}; reason: {why}"] if why else [])


async def test_who_switched_it_off_is_left_alone(world):
    put_target(world, replicas=0)
    put_scaler(world)
    put_pods(world, used_milli=500)
    async with world.running(HorizontalPodAutoscalerController):
        assert told(world)["ScalingActive"] == (
            "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero"
        )  # fmt: skip
        await world.advance(EVERY_S)
        assert replicas(world) == 0


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Deployment", 'deployments.apps "web" not found'),
        ("Boat", 'no matches for kind "Boat" in group "apps"'),
    ],
)
async def test_a_target_that_is_not_there_yet(world, kind, text):
    put_scaler(world, kind=kind)
    async with world.running(HorizontalPodAutoscalerController):
        why = f"the HPA controller was unable to get the target's current scale: {text}"
        assert told(world) == {"AbleToScale": ("False", "FailedGetScale", why)}
        assert ("FailedGetScale", text) in world.events()
        served = world.api.discovery["/apis/apps/v1"]["resources"]
        served.append({"name": "boats", "kind": "Boat", "namespaced": True, "verbs": ["get"]})
        gvr = DEPLOYMENTS if kind == "Deployment" else DEPLOYMENTS._replace(resource="boats")
        world.api.put(gvr, {**put_target(world, replicas=20), "metadata": {"name": "web", "namespace": "d"}})
        await world.advance(EVERY_S)
        assert world.api.get(gvr, "web", "d")["spec"]["replicas"] == 10
        assert told(world)["AbleToScale"][:2] == ("True", "SucceededRescale")


@pytest.mark.parametrize(
    ("selector", "condition", "event", "text"),
    [
        ("", "InvalidSelector", "SelectorRequired", "the HPA target's scale is missing a selector"),
        (
            "app in (", "InvalidSelector", "InvalidSelector",
            "couldn't convert selector into a corresponding internal selector object: ",
        ),
    ],
    ids=["none", "not one"],
)  # fmt: skip
async def test_a_selector_that_cannot_be_used(world, selector, condition, event, text):
    put_target(world, selector=selector)
    put_scaler(world)
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        state, reason, message = told(world)["ScalingActive"]
        assert (state, reason) == ("False", condition)
        assert message.startswith(text)
        assert event in [reason for reason, _ in world.events()]
        assert replicas(world) == 2
        put_target(world)
        await world.advance(EVERY_S)
        assert replicas(world) == 3


async def test_two_that_scale_the_same_pods(world):
    put_target(world)
    put_target(world, name="other")
    put_scaler(world)
    put_scaler(world, name="second", target="other")
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        await world.advance(EVERY_S)
        why = "pods by selector app=web are controlled by multiple HPAs: [d/hpa d/second]"
        for name in ("hpa", "second"):
            assert told(world, name)["ScalingActive"] == ("False", "AmbiguousSelector", why)
        assert ("AmbiguousSelector", why) in world.events()
        before = replicas(world)
        world.api.remove(HORIZONTAL_POD_AUTOSCALERS, "second", "d")
        await world.settle()
        put_pods(world, used_milli=100)
        await world.advance(EVERY_S)
        assert told(world)["ScalingActive"][:2] == ("True", "ValidMetricFound")
        assert replicas(world) > before


async def test_without_figures_nothing_is_scaled(world):
    put_target(world)
    put_scaler(world)
    async with world.running(HorizontalPodAutoscalerController):
        state, reason, text = told(world)["ScalingActive"]
        assert (state, reason) == ("False", "FailedGetResourceMetric")
        assert text.startswith("the HPA was unable to compute the replica count: ")
        reasons = [reason for reason, _ in world.events()]
        assert {"FailedGetResourceMetric", "FailedComputeMetricsReplicas"} <= set(reasons)
        assert writes_of_scale(world) == []
        put_pods(world, used_milli=75)
        await world.advance(EVERY_S)
        assert replicas(world) == 3


async def test_a_scale_that_cannot_be_written(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=75)
    world.api.reactors.append(
        lambda request: (
            Forbidden("no") if request.method == "PUT" and request.path.endswith("/scale") else None
        )
    )
    async with world.running(HorizontalPodAutoscalerController):
        text = "the HPA controller was unable to update the target scale: no"
        assert told(world)["AbleToScale"] == ("False", "FailedUpdateScale", text)
        assert "lastScaleTime" not in status(world)
        assert status(world)["desiredReplicas"] == 0, "as it was before"
        (failed,) = [text for reason, text in world.events() if reason == "FailedRescale"]
        assert failed.startswith("New size: 3; reason: ")
        assert failed.endswith("; error: no")
        world.api.reactors.clear()
        await world.advance(EVERY_S)
        assert replicas(world) == 3
        assert told(world)["AbleToScale"][:2] == ("True", "SucceededRescale")


async def test_a_scale_that_somebody_else_wrote_meanwhile_is_written_anew(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=75)
    lost = []

    def react(request):
        if request.method == "PUT" and request.path.endswith("/scale") and len(lost) < 2:
            lost.append(request)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(HorizontalPodAutoscalerController):
        assert replicas(world) == 3
        assert told(world)["AbleToScale"][:2] == ("True", "SucceededRescale")
        assert "FailedRescale" not in [reason for reason, _ in world.events()]


MEMORY = {"type": "Resource", "resource": {"name": "memory", "target": HALF}}


async def test_a_metric_that_fails_keeps_its_place_among_those_shown(world):
    put_target(world)
    put_scaler(world, metrics=[MEMORY, CPU])
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        assert replicas(world) == 3
        shown = status(world)["currentMetrics"]
        assert [one["type"] for one in shown] == ["", "Resource"]
        assert told(world)["ScalingActive"][:2] == ("True", "ValidMetricFound")
        (why,) = {text for reason, text in world.events() if reason == "FailedGetResourceMetric"}
        assert why.startswith("failed to get memory utilization: ")


async def test_what_was_measured_is_forgotten_where_nothing_is(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=50)
    async with world.running(HorizontalPodAutoscalerController):
        assert status(world)["currentMetrics"]
        put_target(world, replicas=0)
        await world.advance(EVERY_S)
        assert "currentMetrics" not in status(world)
        assert (status(world)["currentReplicas"], status(world)["desiredReplicas"]) == (0, 0)


async def test_failures_keep_what_was_wanted_last(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        assert status(world)["desiredReplicas"] == 3
        put_target(world, replicas=5, selector="")
        await world.advance(EVERY_S)
        assert (status(world)["currentReplicas"], status(world)["desiredReplicas"]) == (5, 3)
        assert ("FailedComputeMetricsReplicas", "selector is required") in world.events()


async def test_who_shares_some_of_the_pods_is_in_the_way_too(world):
    put_target(world)
    put_target(world, name="other", selector="app in (web,api)")
    put_scaler(world)
    put_scaler(world, name="second", target="other")
    put_pods(world, used_milli=75)
    async with world.running(HorizontalPodAutoscalerController):
        await world.advance(EVERY_S)
        assert told(world)["ScalingActive"][1] == "AmbiguousSelector"
        assert told(world, "second")["ScalingActive"][1] == "AmbiguousSelector"


async def test_a_status_that_somebody_else_wrote_meanwhile_is_written_again(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, used_milli=50)
    lost = []

    def react(request):
        if request.method == "PUT" and request.path.endswith("/hpa/status") and not lost:
            lost.append(request)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(HorizontalPodAutoscalerController):
        assert lost
        assert told(world)["ScalingActive"][:2] == ("True", "ValidMetricFound")


async def test_one_that_goes_while_it_is_looked_at(world):
    put_target(world)
    put_scaler(world)

    def react(request):
        if request.path.endswith("/scale"):
            world.api.remove(HORIZONTAL_POD_AUTOSCALERS, "hpa", "d")
        return

    world.api.reactors.append(react)
    async with world.running(HorizontalPodAutoscalerController):
        assert world.api.all(HORIZONTAL_POD_AUTOSCALERS) == []
        await world.advance(EVERY_S)


def counted(name, **labels):
    return metrics.REGISTRY.sample_value(f"horizontal_pod_autoscaler_controller_{name}", labels) or 0.0


@pytest.mark.parametrize(
    ("has", "used_milli", "selector", "kind", "action", "error", "measured"),
    [
        (2, 75, "app=web", "Deployment", "scale_up", "none", ("scale_up", "none")),
        (2, 50, "app=web", "Deployment", "none", "none", ("none", "none")),
        (20, 50, "app=web", "Deployment", "scale_down", "none", None),
        (2, 50, "", "Deployment", "none", "spec", None),
        (2, None, "app=web", "Deployment", "none", "internal", ("none", "internal")),
        (2, 50, "app=web", "Unknown", "none", "internal", None),
    ],
)
async def test_how_looks_are_counted(world, has, used_milli, selector, kind, action, error, measured):
    put_target(world, replicas=has, selector=selector)
    put_scaler(world, kind=kind)
    if used_milli is not None:
        put_pods(world, used_milli=used_milli)
    labels = {"action": action, "error": error}
    of_metric = {**dict(zip(labels, measured or ("", ""), strict=True)), "metric_type": "Resource"}

    def shown():
        looks = [counted(f"reconciliation{end}", **labels) for end in ("s_total", "_duration_seconds_count")]
        ends = ("total", "duration_seconds_count")
        return looks + [counted(f"metric_computation_{end}", **of_metric) for end in ends]

    before = shown()
    async with world.running(HorizontalPodAutoscalerController):
        times = 1 if measured else 0
        assert [new - old for new, old in zip(shown(), before, strict=True)] == [1, 1, times, times]


async def test_a_scaler_that_goes_while_it_is_looked_at_is_forgotten(world):
    put_target(world)
    put_scaler(world)
    put_pods(world, 100)

    def leave(asked):
        if asked.path.endswith("/scale") and world.api.get(HORIZONTAL_POD_AUTOSCALERS, "hpa", "d"):
            world.api.remove(HORIZONTAL_POD_AUTOSCALERS, "hpa", "d")

    world.api.reactors.append(leave)
    async with world.running(HorizontalPodAutoscalerController):
        (controller,) = world.controllers
        assert list(controller._past) == ["d/hpa"], "written down after it went"
        await world.advance(EVERY_S)
        assert (controller._past, controller._selectors) == ({}, {})
