"""Slices and Endpoints follow pods on the fake API."""

import asyncio

import orjson
import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslice.trigger import TRIGGER_TIME


def pod(name, ip, ready="True"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "d", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "d"},
    "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
}


@pytest.fixture(autouse=True)
def node(world):
    world.api.put(NODES, {"metadata": {"name": "n1"}, "spec": {}})


async def test_a_pod_is_shown_once_its_node_is_there(world):
    world.api.remove(NODES, "n1")
    world.api.put(SERVICES, SERVICE)
    world.api.put(PODS, pod("a", "10.1.0.1"))
    async with world.running(EndpointSliceController):
        (item,) = world.api.all(ENDPOINT_SLICES)
        assert item["endpoints"] == []
        world.api.put(NODES, {"metadata": {"name": "n1"}, "spec": {}})
        await world.settle()
        (item,) = world.api.all(ENDPOINT_SLICES)
        assert [one["addresses"] for one in item["endpoints"]] == [["10.1.0.1"]]


async def test_pods_come_and_go(world):
    world.api.put(SERVICES, SERVICE)
    world.api.put(PODS, pod("a", "10.1.0.1"))
    async with world.running(EndpointSliceController, EndpointsController):
        world.api.put(PODS, pod("b", "10.1.0.2", "False"))
        await world.settle()
        (item,) = world.api.all(ENDPOINT_SLICES)
        assert [(e["addresses"], e["conditions"]["ready"]) for e in item["endpoints"]] == [
            (["10.1.0.1"], True),
            (["10.1.0.2"], False),
        ]
        (subset,) = world.api.get(ENDPOINTS, "web", "d")["subsets"]
        assert [a["ip"] for a in subset["addresses"]] == ["10.1.0.1"]
        assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.1.0.2"]
        assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
        writes = len(world.api.writes())
        chatter = pod("a", "10.1.0.1")
        chatter["status"]["containerStatuses"] = [{"restartCount": 1}]
        world.api.put(PODS, chatter)
        await world.settle()
        assert len(world.api.writes()) == writes
        world.api.remove(SERVICES, "web", "d")
        await world.settle()
        assert world.api.all(ENDPOINTS) == []


async def test_endpoints_are_never_written_over_what_the_cache_does_not_show_yet(world):
    """Each would be a conflict: a request for nothing, and a key that waits for its backoff."""
    stale = []

    def watch(request):
        if request.method == "PUT" and request.path.endswith("/endpoints/web"):
            now = world.api.get(ENDPOINTS, "web", "d")["metadata"]["resourceVersion"]
            stale.append(orjson.loads(request.body)["metadata"]["resourceVersion"] != now)

    world.api.reactors.append(watch)
    world.api.put(SERVICES, SERVICE)
    async with world.running(EndpointsController):
        for index in range(40):
            world.api.put(PODS, pod(f"p{index}", f"10.1.0.{index}"))
            await asyncio.sleep(0)
        await world.settle()
        (subset,) = world.api.get(ENDPOINTS, "web", "d")["subsets"]
        assert len(subset["addresses"]) == 40
        assert set(stale) == {False}


async def test_writes_bear_the_time_of_what_made_them_necessary(world):
    world.api.put(
        SERVICES,
        {**SERVICE, "metadata": {**SERVICE["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}},
    )

    def times():
        (item,) = world.api.all(ENDPOINT_SLICES)
        both = (item, world.api.get(ENDPOINTS, "web", "d"))
        return [(one["metadata"].get("annotations") or {}).get(TRIGGER_TIME) for one in both]

    async with world.running(EndpointSliceController, EndpointsController):
        created = world.api.get(SERVICES, "web", "d")["metadata"]["creationTimestamp"]
        assert times() == [created, created]
        made = pod("a", "10.1.0.1")
        made["status"]["conditions"][0]["lastTransitionTime"] = "2099-01-01T00:00:00Z"
        world.api.put(PODS, made)
        await world.settle()
        assert times() == ["2099-01-01T00:00:00Z"] * 2
        world.api.remove(PODS, "a", "d")
        await world.settle()
        assert times() == [None, None], "a pod that goes leaves no time"


@pytest.mark.parametrize(
    ("method", "reason", "text"),
    [
        ("POST", "FailedToCreateEndpoint", "Failed to create endpoint for service d/web: no"),
        ("PUT", "FailedToUpdateEndpoint", "Failed to update endpoint d/web: no"),
    ],
)
async def test_endpoints_that_cannot_be_written_are_told_of(world, method, reason, text):
    def refuse(request):
        if request.method == method and "/endpoints" in request.path:
            raise Forbidden("no")

    world.api.put(SERVICES, SERVICE)
    async with world.running(EndpointsController):
        if method == "POST":
            world.api.remove(SERVICES, "web", "d")
            await world.settle()
        world.api.reactors.append(refuse)
        world.api.put(SERVICES, SERVICE)
        world.api.put(PODS, pod("a", "10.1.0.1"))
        await world.settle()
        world.api.reactors.clear()
        await world.advance(5)
        (subset,) = world.api.get(ENDPOINTS, "web", "d")["subsets"]
        assert len(subset["addresses"]) == 1
    assert (reason, text) in world.events()
