import pytest

from tiphys.client.kinds import NODES
from tiphys.controllers.ttl.controller import ANNOTATION, TtlController, ttl_s


@pytest.mark.parametrize(
    ("nodes", "current", "expected"),
    [(0, 0, 0), (100, 0, 0), (101, 0, 15), (95, 15, 15), (89, 15, 0), (501, 15, 30), (9999, 60, 300)],
)
def test_ttl_s(nodes, current, expected):
    assert ttl_s(nodes, current) == expected


async def test_nodes_are_annotated(world):
    world.api.put(NODES, {"metadata": {"name": "n"}})
    async with world.running(TtlController):
        assert world.api.get(NODES, "n")["metadata"]["annotations"] == {ANNOTATION: "0"}
