"""Pods leave tainted nodes without anybody who watches heartbeats."""

import pytest

from tiphys.client.kinds import EVENTS, NODES, PODS
from tiphys.controllers.tainteviction.controller import TaintEvictionController

TAINT = {"key": "x", "effect": "NoExecute"}


def node(*taints, name="n1"):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": list(taints)}}


def pod(name, seconds=None, where="n1", **spec):
    tolerations = [{"key": "x", "operator": "Exists", "tolerationSeconds": seconds}] if seconds else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "d"},
        "spec": {"nodeName": where, "tolerations": tolerations, **spec},
        "status": {"phase": "Running"},
    }


def left(world):
    return sorted(item["metadata"]["name"] for item in world.api.all(PODS))


def told(world):
    return [event["message"] for event in world.api.all(EVENTS) if event["reason"] == "TaintManagerEviction"]


async def test_at_once_and_when_the_time_is_up(world):
    world.api.put(NODES, node())
    for one in (pod("quick"), pod("slow", 60), pod("other", where="n2")):
        world.api.put(PODS, one)
    async with world.running(TaintEvictionController):
        assert left(world) == ["other", "quick", "slow"]
        world.api.put(NODES, node(TAINT))
        await world.settle()
        assert left(world) == ["other", "slow"]
        await world.advance(59)
        assert left(world) == ["other", "slow"]
        await world.advance(2)
        assert left(world) == ["other"]
    assert told(world) == ["Marking for deletion Pod d/quick", "Marking for deletion Pod d/slow"]


async def test_a_taint_taken_away_in_time(world):
    world.api.put(NODES, node(TAINT))
    world.api.put(PODS, pod("slow", 60))
    async with world.running(TaintEvictionController):
        await world.advance(30)
        world.api.put(NODES, node())
        await world.settle()
        await world.advance(60)
        assert left(world) == ["slow"]
        await world.settle()
    assert told(world) == ["Cancelling deletion of Pod d/slow"]


@pytest.mark.parametrize("effect", ["NoSchedule", "PreferNoSchedule"])
async def test_other_effects_are_borne(world, effect):
    world.api.put(NODES, node({**TAINT, "effect": effect}))
    world.api.put(PODS, pod("quick"))
    async with world.running(TaintEvictionController):
        await world.advance(10)
        assert left(world) == ["quick"]


async def test_who_comes_later_is_judged(world):
    world.api.put(NODES, node(TAINT))
    async with world.running(TaintEvictionController):
        world.api.put(PODS, pod("late"))
        await world.settle()
        assert left(world) == []
