"""Counting over the fake API."""

import asyncio

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import CONFIG_MAPS, DEVICE_CLASSES, RESOURCE_CLAIMS, RESOURCE_QUOTAS
from tiphys.controllers.resourcequota import controller
from tiphys.controllers.resourcequota.controller import ResourceQuotaController

_V1 = {"groupVersion": "resource.k8s.io/v1", "version": "v1"}
DEVICES = {"name": "resource.k8s.io", "versions": [_V1], "preferredVersion": _V1}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@pytest.fixture(autouse=True)
def discovery(world, monkeypatch):
    monkeypatch.setattr(controller, "_PATIENCE_S", 0.05)
    resources = [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": VERBS},
        {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": VERBS},
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": VERBS},
    ]
    devices = [{"name": "resourceclaims", "kind": "ResourceClaim", "namespaced": True, "verbs": VERBS}]
    world.api.discovery["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    world.api.discovery["/apis"] = {"kind": "APIGroupList", "groups": [DEVICES]}
    world.api.discovery["/api/v1"] = {"groupVersion": "v1", "resources": resources}
    path = "/apis/resource.k8s.io/v1"
    world.api.discovery[path] = {"groupVersion": "resource.k8s.io/v1", "resources": devices}


def quota(world, name, *counted):
    hard = dict.fromkeys(counted, "5")
    obj = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "d"}}
    world.api.put(RESOURCE_QUOTAS, {**obj, "spec": {"hard": hard}})


def used(world, name):
    return (world.api.get(RESOURCE_QUOTAS, name, "d").get("status") or {}).get("used")


async def test_what_is_there_is_counted_and_counted_again_when_it_goes(world):
    for name in ("a", "b"):
        world.api.put(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "d"}})
    quota(world, "q", "configmaps")
    async with world.running(ResourceQuotaController):
        assert used(world, "q") == {"configmaps": "2"}
        await world.client.delete(CONFIG_MAPS, "a", "d")
        await world.settle()
        assert used(world, "q") == {"configmaps": "1"}


async def test_a_kind_that_cannot_be_listed_holds_up_no_quota(world):
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "d"}})
    for name in ("first", "second", "third"):
        quota(world, name, "secrets", "configmaps")
    quota(world, "fourth", "configmaps")
    world.api.reactors.append(lambda asked: Forbidden("no") if asked.path == "/api/v1/secrets" else None)
    async with world.running(ResourceQuotaController):
        await asyncio.sleep(0.2)
        await world.settle()
        for name in ("first", "second", "third", "fourth"):
            assert used(world, name) == {"configmaps": "1"}


async def test_claims_of_devices_count_under_the_name_of_their_resource(world):
    spec = {"extendedResourceName": "example.com/gpu"}
    world.api.put(DEVICE_CLASSES, {"metadata": {"name": "gpu"}, "spec": spec})
    requests = [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}]
    for name in ("a", "b"):
        meta = {"name": name, "namespace": "d"}
        world.api.put(RESOURCE_CLAIMS, {"metadata": meta, "spec": {"devices": {"requests": requests}}})
    quota(world, "q", "requests.example.com/gpu")
    async with world.running(ResourceQuotaController):
        assert used(world, "q") == {"requests.example.com/gpu": "4"}
        await world.client.delete(RESOURCE_CLAIMS, "a", "d")
        await world.settle()
        assert used(world, "q") == {"requests.example.com/gpu": "2"}


async def test_a_kind_that_went_and_came_back_is_counted_as_it_is_now(world):
    for name in ("a", "b"):
        world.api.put(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "d"}})
    quota(world, "q", "configmaps", "pods")
    async with world.running(ResourceQuotaController):
        (controller,) = world.controllers
        assert used(world, "q") == {"configmaps": "2", "pods": "0"}
        served = world.api.discovery["/api/v1"]
        world.api.discovery["/api/v1"] = {**served, "resources": served["resources"][1:]}
        world.informers.remove(CONFIG_MAPS)
        for name in ("a", "b"):
            world.api.remove(CONFIG_MAPS, name, "d")
        quota(world, "q", "configmaps", "pods", "secrets")
        await world.settle()
        assert ("", "configmaps") not in controller._watched
        world.api.discovery["/api/v1"] = served
        world.api.put(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "d"}})
        await world.advance(400)
        assert used(world, "q") == {"configmaps": "1", "pods": "0", "secrets": "0"}
        await world.client.delete(CONFIG_MAPS, "c", "d")
        await world.settle()
        assert used(world, "q") == {"configmaps": "0", "pods": "0", "secrets": "0"}
