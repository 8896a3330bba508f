"""Ten minutes of a cluster whose node dies, in a second: time is virtual, the seed decides every delay."""

from __future__ import annotations

import asyncio

from tiphys.client.kinds import DEPLOYMENTS, PODS
from tiphys.testing import Cluster, Simulation, simulate
from tiphys.testing.faults import Faults, FaultyTransport

SLOW = Faults(latency_s=(0.01, 0.3), answers_lost=0.01)


async def story(simulation: Simulation) -> set[str]:
    """Return the nodes that the pods are on in the end."""
    cluster = Cluster(
        nodes=3,
        clock=simulation.clock,
        network=lambda transport: FaultyTransport(transport, SLOW, simulation.chance),
    )
    async with cluster:
        labels = {"app": "web"}
        containers = [{"name": "web", "image": "web:1"}]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": "web", "namespace": "default"}
        await cluster.client.create(DEPLOYMENTS, {"metadata": meta, "spec": spec})
        await asyncio.sleep(60)
        cluster.nodes.stop("node-2")
        await asyncio.sleep(600)
        pods = (await cluster.client.list(PODS, "default"))["items"]
        return {pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_a_dead_nodes_pods_move() -> None:
    assert simulate(story, seed=1) == {"node-1", "node-3"}
