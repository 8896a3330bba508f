"""Pods lose their place with their devices."""

from tiphys.apimachinery.clock import rfc3339
from tiphys.client.kinds import PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from tiphys.controllers.devicetainteviction.controller import DeviceTaintEvictionController


def put_pod(world, node="n1"):
    spec = {"nodeName": node} if node else {}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": spec,
    }
    world.api.put(PODS, made)


def put_claim(world, seconds=None, uid="u"):
    tolerations = [] if seconds is None else [{"operator": "Exists", "tolerationSeconds": seconds}]
    result = {"driver": "x", "pool": "p", "device": "d0", "tolerations": tolerations}
    status = {
        "allocation": {"devices": {"results": [result]}},
        "reservedFor": [{"resource": "pods", "name": "p", "uid": uid}],
    }
    meta = {"name": "c", "namespace": "d"}
    world.api.put(
        RESOURCE_CLAIMS,
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": meta,
            "spec": {},
            "status": status,
        },
    )


def put_slice(world, *, tainted):
    taint = {"key": "broken", "effect": "NoExecute", "timeAdded": rfc3339(world.clock.now())}
    device = {"name": "d0", **({"taints": [taint]} if tainted else {})}
    spec = {"driver": "x", "pool": {"name": "p", "generation": 1}, "devices": [device]}
    world.api.put(
        RESOURCE_SLICES,
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": "s"},
            "spec": spec,
        },
    )


def reasons(world):
    return [text for reason, text in world.events() if reason == "DeviceTaintManagerEviction"]


async def test_at_once_when_it_is_not_tolerated(world):
    put_pod(world)
    put_claim(world)
    put_slice(world, tainted=False)
    async with world.running(DeviceTaintEvictionController):
        assert len(world.api.all(PODS)) == 1
        put_slice(world, tainted=True)
        await world.settle()
        assert world.api.all(PODS) == []
        assert reasons(world) == ["Marking for deletion"]


async def test_when_the_time_is_up(world):
    put_pod(world)
    put_claim(world, seconds=60)
    put_slice(world, tainted=True)
    async with world.running(DeviceTaintEvictionController):
        await world.advance(59)
        assert len(world.api.all(PODS)) == 1
        await world.advance(2)
        assert world.api.all(PODS) == []


async def test_a_taint_that_goes_in_time(world):
    put_pod(world)
    put_claim(world, seconds=60)
    put_slice(world, tainted=True)
    async with world.running(DeviceTaintEvictionController):
        await world.advance(30)
        put_slice(world, tainted=False)
        await world.settle()
        assert reasons(world) == ["Cancelling deletion"]
        await world.advance(60)
        assert len(world.api.all(PODS)) == 1


async def test_others_are_left_alone(world):
    put_pod(world, node="")
    put_claim(world)
    put_slice(world, tainted=True)
    async with world.running(DeviceTaintEvictionController):
        assert len(world.api.all(PODS)) == 1, "it runs nowhere"
        put_claim(world, uid="former")
        put_pod(world)
        await world.settle()
        assert len(world.api.all(PODS)) == 1, "the claim is another pod's of its name"
