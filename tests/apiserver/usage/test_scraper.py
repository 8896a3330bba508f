"""How soon what nodes use is known: in virtual time, with simulated nodes."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tiphys.client.kinds import NODES
from tiphys.testing import Cluster
from tiphys.testing.simulation import Simulation, simulate

PATH = "/apis/metrics.k8s.io/v1beta1/nodes"
RESOLUTION_S = 60.0


def test_a_new_node_is_known_long_before_the_next_turn() -> None:
    """Two answers tell what it uses: the second is asked for soon after the first."""
    waited: list[float] = []

    async def story(simulation: Simulation) -> None:
        options = {"metric_resolution_s": RESOLUTION_S}
        async with Cluster(nodes=1, clock=simulation.clock, options=options) as cluster:
            for seconds in range(int(2 * RESOLUTION_S)):
                if (await cluster.client.request("GET", PATH))["items"]:
                    waited.append(seconds)
                    break
                await asyncio.sleep(1)

    simulate(story, seed=1)
    assert waited[0] < RESOLUTION_S / 4


def test_a_node_that_never_answers_is_asked_as_often_as_others_after_a_while() -> None:
    asked: list[float] = []

    async def story(simulation: Simulation) -> None:
        options = {"metric_resolution_s": RESOLUTION_S}
        async with Cluster(nodes=0, clock=simulation.clock, options=options) as cluster:

            async def refuse(_node: object) -> str:
                asked.append(simulation.clock.monotonic())
                raise OSError("refused")

            cluster.server.scraper._source = refuse
            await cluster.client.create(NODES, {"metadata": {"name": "silent"}})
            await asyncio.sleep(5 * RESOLUTION_S)

    simulate(story, seed=1)
    steps = [later - earlier for earlier, later in pairwise(asked)]
    assert steps[0] < RESOLUTION_S / 4
    assert min(steps[-2:]) >= RESOLUTION_S
