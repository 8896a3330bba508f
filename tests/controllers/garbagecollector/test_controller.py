"""Background, foreground and orphan deletion over the fake API."""

import asyncio
from dataclasses import replace

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.apimachinery.meta import GVR
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


def reference(owner, **changes):
    meta = owner["metadata"]
    return {"apiVersion": "v1", "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], **changes}


def put_child(world, name, *refs, gvr=CONFIG_MAPS, namespace="d", **metadata):
    kind = {CONFIG_MAPS: "ConfigMap", NODES: "Node"}[gvr]
    meta = {"name": name, "ownerReferences": list(refs), **metadata}
    if gvr != NODES:
        meta["namespace"] = namespace
    world.api.put(gvr, {"apiVersion": "v1", "kind": kind, "metadata": meta})


WRONG = {
    "the name": ({"name": "other"}, "d", False),
    "the kind": ({"kind": "Pod"}, "d", False),
    "the namespace": ({}, "elsewhere", False),
    "the group, which is not served": ({"apiVersion": "extensions/v1beta1"}, "d", True),
    "the version, which is not served": ({"apiVersion": "v2"}, "d", True),
}


@pytest.mark.parametrize(("changes", "namespace", "stays"), WRONG.values(), ids=WRONG)
async def test_a_reference_with_the_right_uid_that_has_wrong(world, changes, namespace, stays):
    """Its object goes, unless nobody can tell; one with a right reference stays, and goes with its owner."""
    owner = make(world, "a")
    put_child(world, "bad", reference(owner, **changes), namespace=namespace)
    put_child(world, "good", reference(owner))
    left = ["bad"] if stays else []
    async with world.running(GarbageCollector):
        assert names(world) == ["a", *left, "good"]
        world.api.remove(CONFIG_MAPS, "a", "d")
        await world.settle()
        assert names(world) == left


async def test_the_absence_of_a_wrong_owner_proves_nothing_of_the_right_one(world):
    """The owner has not been seen yet: what was found out for one child must not count for the other."""
    put_child(world, "bad", {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "u"})
    async with world.running(GarbageCollector):
        assert names(world) == []
        meta = {"name": "a", "namespace": "d", "uid": "u"}
        world.api.objects[PODS] = {("d", "a"): {"apiVersion": "v1", "kind": "Pod", "metadata": meta}}
        put_child(world, "good", {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"})
        await world.settle()
        assert names(world) == ["good"]


async def test_an_object_of_no_namespace_cannot_be_owned_from_within_one(world):
    """It is left alone, told of once, and not looked at again and again."""
    owner = make(world, "a")
    put_child(world, "n1", reference(owner), gvr=NODES)
    async with world.running(GarbageCollector):
        (told,) = [message for reason, message in world.events() if reason == "OwnerRefInvalidNamespace"]
        uid = owner["metadata"]["uid"]
        assert told == (
            f'ownerRef [v1/ConfigMap, namespace: , name: a, uid: {uid}] does not exist in namespace ""'
        )
        before = len(world.api.calls)
        await world.advance(60)
        assert len(world.api.calls) == before
        world.api.remove(CONFIG_MAPS, "a", "d")
        await world.settle()
        assert names(world, NODES) == ["n1"]


async def test_what_has_got_another_owner_meanwhile_is_not_deleted(world):
    owner, other = make(world, "a"), make(world, "b")
    make(world, "child", owner)

    def adopt(request):
        if request.method == "DELETE" and request.path.endswith("/child"):
            world.api.reactors.clear()
            make(world, "child", other)

    async with world.running(GarbageCollector):
        world.api.reactors.append(adopt)
        world.api.remove(CONFIG_MAPS, "a", "d")
        await world.settle()
        assert not world.api.reactors
        assert names(world) == ["b", "child"]


async def test_what_was_changed_otherwise_meanwhile_is_deleted(world):
    owner = make(world, "a")
    child = make(world, "child", owner)

    def touch(request):
        if request.method == "DELETE" and request.path.endswith("/child"):
            world.api.reactors.clear()
            world.api.put(CONFIG_MAPS, {**child, "data": {"a": "b"}})

    async with world.running(GarbageCollector):
        world.api.reactors.append(touch)
        world.api.remove(CONFIG_MAPS, "a", "d")
        await world.settle()
        assert not world.api.reactors
        assert names(world) == []


async def test_foreground_takes_along_also_who_does_not_block_it(world):
    """They go at once, even where somebody else holds the owner."""
    owner = make(world, "a", finalizers=["x.io/hold"])
    make(world, "loose", owner, block=False)
    async with world.running(GarbageCollector):
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Foreground")
        await world.settle()
        assert names(world) == ["a"]


async def test_an_orphan_that_cannot_be_written_holds_up_no_other(world):
    owner = make(world, "a")
    for name in ("one", "two", "three"):
        make(world, name, owner)

    def deny(request):
        if request.method == "PATCH" and request.path.endswith("/two"):
            return Forbidden("no")
        return None

    async with world.running(GarbageCollector):
        world.api.reactors.append(deny)
        await world.client.delete(CONFIG_MAPS, "a", "d", propagation="Orphan")
        await world.settle()
        owned = {one["metadata"]["name"] for one in world.api.all(CONFIG_MAPS)
                 if one["metadata"].get("ownerReferences")}  # fmt: skip
        assert owned == {"two"}
        assert "a" in names(world)
        world.api.reactors.clear()
        await world.advance(20)
        assert names(world) == ["one", "three", "two"]


async def test_dependents_go_with_a_custom_object_whose_kind_goes_at_once(world):
    """A definition takes its objects along: when a dependent is looked at, nobody serves them any more."""
    served = world.api.discovery["/api/v1"]["resources"]
    odd = GVR("", "v1", "odds")
    served.append({"name": "odds", "kind": "Odd", "namespaced": True, "verbs": VERBS})
    owner = world.api.put(
        odd, {"apiVersion": "v1", "kind": "Odd", "metadata": {"name": "o", "namespace": "d"}}
    )
    put_child(world, "child", reference(owner))
    async with world.running(GarbageCollector):
        collector = world.controllers[0]
        served.pop()
        collector._by_kind.pop(("v1", "Odd"))
        world.api.remove(odd, "o", "d")
        await world.settle()
        assert names(world) == []


async def test_a_kind_that_cannot_be_listed_holds_up_no_other(world):
    """Nobody converts its objects, say: upstream begins without it after its period too."""
    options = replace(world.context.options, gc_resync_s=0.05)
    world.context = replace(world.context, options=options)
    gone = {"kind": "ConfigMap", "metadata": {"name": "gone", "uid": "gone"}}
    make(world, "child", gone)
    world.api.reactors.append(lambda asked: Forbidden("no") if asked.path == "/api/v1/nodes" else None)
    async with world.running(GarbageCollector):
        assert names(world) == ["child"]
        await asyncio.sleep(0.1)
        await world.settle()
        assert names(world) == []
