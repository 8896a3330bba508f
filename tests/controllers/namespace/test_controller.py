"""A namespace is emptied through discovery, says how far it is, and goes; new ones get their furniture."""

import pytest

from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.client.kinds import CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from tiphys.controllers.conditions import find
from tiphys.controllers.namespace.controller import NamespaceController
from tiphys.controllers.rootca.controller import RootCaController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discovery(world):
    def resource(name, kind):
        return {"name": name, "kind": kind, "namespaced": True, "verbs": VERBS}

    world.api.discovery["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    world.api.discovery["/apis"] = {"kind": "APIGroupList", "groups": []}
    resources = [resource("pods", "Pod"), resource("configmaps", "ConfigMap"), resource("pods/log", "Pod")]
    world.api.discovery["/api/v1"] = {"groupVersion": "v1", "resources": resources}


def namespace(deleting=False):
    obj = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    if deleting:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return obj


def thing(kind, name, **metadata):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "team", **metadata}}


async def test_everything_in_it_goes_and_then_it_does(world):
    discovery(world)
    world.api.put(CONFIG_MAPS, thing("ConfigMap", "a"))
    world.api.put(PODS, thing("Pod", "b"))
    world.api.put(CONFIG_MAPS, {**thing("ConfigMap", "c"), "metadata": {"name": "c", "namespace": "other"}})
    world.api.put(NAMESPACES, namespace(deleting=True))
    async with world.running(NamespaceController):
        assert world.api.all(PODS) == []
        assert [item["metadata"]["namespace"] for item in world.api.all(CONFIG_MAPS)] == ["other"]
        assert world.api.all(NAMESPACES) == []


async def test_what_has_finalizers_holds_it_and_is_told(world):
    discovery(world)
    world.api.put(CONFIG_MAPS, thing("ConfigMap", "a", finalizers=["x.io/hold"]))
    world.api.put(NAMESPACES, namespace(deleting=True))
    async with world.running(NamespaceController):
        status = world.api.get(NAMESPACES, "team")["status"]
        assert status["phase"] == "Terminating"
        told = {item["type"]: (item["status"], item["message"]) for item in status["conditions"]}
        assert told["NamespaceContentRemaining"] == (
            "True",
            "Some resources are remaining: configmaps. has 1 resource instances",
        )
        assert told["NamespaceFinalizersRemaining"] == (
            "True",
            "Some content in the namespace has finalizers remaining: x.io/hold in 1 resource instances",
        )
        held = world.api.get(CONFIG_MAPS, "a", "team")
        held["metadata"]["finalizers"] = []
        world.api.put(CONFIG_MAPS, held)
        await world.advance(2)
        assert world.api.all(NAMESPACES) == []


async def test_it_goes_as_soon_as_its_last_pod_has_gone(world):
    discovery(world)
    for name in "ab":
        world.api.put(PODS, thing("Pod", name, finalizers=["x.io/hold"]))
    world.api.put(PODS, {**thing("Pod", "c"), "metadata": {"name": "c", "namespace": "other"}})
    world.api.put(NAMESPACES, namespace(deleting=True))
    async with world.running(NamespaceController):
        world.api.remove(PODS, "a", "team")
        await world.settle()
        assert len(world.api.all(NAMESPACES)) == 1
        looked = len(world.api.calls)
        world.api.remove(PODS, "c", "other")
        await world.settle()
        assert len(world.api.calls) == looked, "not its pod"
        world.api.remove(PODS, "b", "team")
        await world.settle()
        assert world.api.all(NAMESPACES) == []


async def test_a_group_that_cannot_be_discovered_holds_it(world):
    discovery(world)
    world.api.discovery["/api"]["versions"].append("v2")
    world.api.put(NAMESPACES, namespace(deleting=True))
    async with world.running(NamespaceController):
        found = find(
            world.api.get(NAMESPACES, "team")["status"]["conditions"], "NamespaceDeletionDiscoveryFailure"
        )
        assert found["status"] == "True"
        head = (
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs"
        )
        assert found["message"].startswith(f"{head}: v2: ")


@pytest.mark.parametrize("deleting", [False, True])
async def test_new_namespaces_get_an_account_and_the_ca(make_world, deleting):
    world = make_world(root_ca_pem="PEM")
    world.api.put(NAMESPACES, namespace(deleting))
    async with world.running(ServiceAccountController, RootCaController):
        accounts = [item["metadata"]["name"] for item in world.api.all(SERVICE_ACCOUNTS, "team")]
        assert accounts == ([] if deleting else ["default"])
        if deleting:
            return
        world.api.remove(SERVICE_ACCOUNTS, "default", "team")
        stored = world.api.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
        assert stored["data"] == {"ca.crt": "PEM"}
        world.api.put(CONFIG_MAPS, {**stored, "data": {}})
        await world.settle()
        assert len(world.api.all(SERVICE_ACCOUNTS, "team")) == 1
        assert world.api.get(CONFIG_MAPS, "kube-root-ca.crt", "team")["data"] == {"ca.crt": "PEM"}


async def test_nothing_else_goes_while_nobody_knows_whether_pods_are_gone(world):
    discovery(world)
    world.api.put(CONFIG_MAPS, thing("ConfigMap", "a"))
    world.api.put(NAMESPACES, namespace(deleting=True))

    def refuse(request):
        return ServiceUnavailable("down") if request.path.endswith("/pods") else None

    world.api.reactors.append(refuse)
    async with world.running(NamespaceController):
        assert [item["metadata"]["name"] for item in world.api.all(CONFIG_MAPS)] == ["a"]
        failed = find(
            world.api.get(NAMESPACES, "team")["status"]["conditions"], "NamespaceDeletionContentFailure"
        )
        assert failed is not None
        assert failed["status"] == "True"
