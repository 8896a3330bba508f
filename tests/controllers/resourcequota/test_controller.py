"""Counting over the fake API."""

import asyncio

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import CONFIG_MAPS, RESOURCE_QUOTAS
from tiphys.controllers.resourcequota import controller
from tiphys.controllers.resourcequota.controller import ResourceQuotaController

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@pytest.fixture(autouse=True)
def discovery(world, monkeypatch):
    monkeypatch.setattr(controller, "_PATIENCE_S", 0.05)
    resources = [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": VERBS},
        {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": VERBS},
    ]
    world.api.discovery["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    world.api.discovery["/apis"] = {"kind": "APIGroupList", "groups": []}
    world.api.discovery["/api/v1"] = {"groupVersion": "v1", "resources": resources}


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
