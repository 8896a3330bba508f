"""Background, foreground and orphan deletion over the fake API."""

import pytest

from tiphys.client.kinds import CONFIG_MAPS, NODES, PODS
from tiphys.controllers.garbagecollector.controller import GarbageCollector

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@pytest.fixture(autouse=True)
def discovery(world):
    resources = [
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": VERBS},
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": VERBS},
        {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": VERBS},
        {"name": "events", "kind": "Event", "namespaced": True, "verbs": VERBS},
        {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
    ]
    world.api.discovery["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    world.api.discovery["/apis"] = {"kind": "APIGroupList", "groups": []}
    world.api.discovery["/api/v1"] = {"groupVersion": "v1", "resources": resources}


def make(world, name, *owners, gvr=CONFIG_MAPS, block=True, **metadata):
    refs = [
        {
            "apiVersion": "v1",
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    kind = {CONFIG_MAPS: "ConfigMap", PODS: "Pod", NODES: "Node"}[gvr]
    meta = {"name": name, **metadata}
    if gvr != NODES:
        meta["namespace"] = "d"
    if refs:
        meta["ownerReferences"] = refs
    return world.api.put(gvr, {"apiVersion": "v1", "kind": kind, "metadata": meta})


def names(world, gvr=CONFIG_MAPS):
    return [obj["metadata"]["name"] for obj in world.api.all(gvr)]


async def test_dependents_follow_their_owner_down_the_chain(world):
    owner = make(world, "a")
    child = make(world, "b", owner)
    make(world, "c", child, gvr=PODS)
    make(world, "free")
    async with world.running(GarbageCollector):
        assert names(world) == ["a", "b", "free"]
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Background")
        await world.settle()
        assert names(world) == ["free"]
        assert names(world, PODS) == []


async def test_what_was_ownerless_before_the_start_goes_after_a_live_look(world):
    gone = {"kind": "ConfigMap", "metadata": {"name": "gone", "uid": "gone"}}
    make(world, "child", gone)
    async with world.running(GarbageCollector):
        assert names(world) == []
        assert ("GET", "/api/v1/namespaces/d/configmaps/gone") in world.api.calls


async def test_a_namesake_of_the_owner_is_not_the_owner(world):
    make(world, "a")
    make(world, "child", {"kind": "ConfigMap", "metadata": {"name": "a", "uid": "of another a"}})
    async with world.running(GarbageCollector):
        assert names(world) == ["a"]


async def test_one_of_two_owners_gone_only_drops_the_reference(world):
    first, second = make(world, "a"), make(world, "b")
    make(world, "child", first, second)
    async with world.running(GarbageCollector):
        world.api.remove(CONFIG_MAPS, "a", "d")
        await world.settle()
        child = world.api.get(CONFIG_MAPS, "child", "d")
        assert [ref["name"] for ref in child["metadata"]["ownerReferences"]] == ["b"]


async def test_orphans_stay_and_lose_the_reference(world):
    owner = make(world, "a")
    make(world, "child", owner)
    async with world.running(GarbageCollector):
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Orphan")
        await world.settle()
        assert names(world) == ["child"]
        assert world.api.get(CONFIG_MAPS, "child", "d")["metadata"]["ownerReferences"] == []


async def test_foreground_waits_for_blocking_dependents(world):
    owner = make(world, "a")
    make(world, "slow", owner, finalizers=["x.io/hold"])
    make(world, "loose", owner, block=False, finalizers=["x.io/hold"])
    async with world.running(GarbageCollector):
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Foreground")
        await world.settle()
        assert names(world) == ["a", "loose", "slow"]
        slow = world.api.get(CONFIG_MAPS, "slow", "d")
        assert slow["metadata"]["deletionTimestamp"]
        world.api.remove(CONFIG_MAPS, "slow", "d")
        await world.settle()
        assert names(world) == ["loose"]


async def test_foreground_goes_all_the_way_down(world):
    owner = make(world, "a")
    child = make(world, "b", owner)
    make(world, "c", child)
    async with world.running(GarbageCollector):
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Foreground")
        await world.settle()
        assert names(world) == []
        order = [path.rsplit("/", 1)[1] for method, path in world.api.calls if method == "DELETE"]
        assert order == ["a", "b", "c"]


async def test_cluster_scoped_owners_are_found(world):
    node = make(world, "n1", gvr=NODES)
    make(world, "child", node, gvr=PODS)
    async with world.running(GarbageCollector):
        assert names(world, PODS) == ["child"]
        world.api.remove(NODES, "n1")
        await world.settle()
        assert names(world, PODS) == []


async def test_an_owner_of_an_unknown_kind_proves_nothing(world):
    ref = {"apiVersion": "x.io/v1", "kind": "Strange", "name": "s", "uid": "s"}
    make(world, "child")
    child = world.api.get(CONFIG_MAPS, "child", "d")
    child["metadata"]["ownerReferences"] = [ref]
    world.api.put(CONFIG_MAPS, child)
    async with world.running(GarbageCollector):
        assert names(world) == ["child"]


async def test_an_owner_in_another_namespace_is_told_of(world):
    owner = make(world, "owner")
    world.api.put(
        CONFIG_MAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "child",
                "namespace": "other",
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "name": "owner",
                        "uid": owner["metadata"]["uid"],
                    }
                ],
            },
        },
    )
    async with world.running(GarbageCollector):
        uid = owner["metadata"]["uid"]
        text = (
            f'[v1/ConfigMap, namespace: other, name: owner, uid: {uid}] does not exist in namespace "other"'
        )
        assert ("OwnerRefInvalidNamespace", f"ownerRef {text}") in world.events()
        assert names(world) == ["owner"]


async def test_events_are_not_watched(world):
    async with world.running(GarbageCollector):
        assert not any("events" in path for _, path in world.api.calls)


async def test_a_circle_of_owners_holds_nothing_up(world):
    first = make(world, "a")
    second = make(world, "b", first)
    third = make(world, "c", second)
    refs = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": third["metadata"]["uid"]}]
    refs[0]["blockOwnerDeletion"] = True
    world.api.put(CONFIG_MAPS, {**first, "metadata": {**first["metadata"], "ownerReferences": refs}})
    async with world.running(GarbageCollector):
        assert names(world) == ["a", "b", "c"]
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Foreground")
        await world.settle()
        assert names(world) == []
