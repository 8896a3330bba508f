"""Pods of a vanished node fail and go, after the quarantine."""

from tiphys.client.kinds import NODES, PODS
from tiphys.controllers.podgc.controller import PodGarbageCollector


async def test_pods_of_a_vanished_node(world):
    world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    for name, node in (("stays", "n1"), ("lost", "n2")):
        meta = {"name": name, "namespace": "d"}
        world.api.put(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": meta,
                "spec": {"nodeName": node},
                "status": {"phase": "Running"},
            },
        )
    async with world.running(PodGarbageCollector):
        await world.advance(20)
        assert len(world.api.all(PODS)) == 2
        await world.advance(21)
        assert [item["metadata"]["name"] for item in world.api.all(PODS)] == ["stays"]
