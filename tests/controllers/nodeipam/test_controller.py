"""Nodes get distinct ranges and keep them."""

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import NODES
from tiphys.controllers.nodeipam.controller import NodeIpamController


def node(name, **spec):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


async def test_ranges_are_distinct_and_given_back(make_world):
    world = make_world(cluster_cidr="10.0.0.0/22")
    world.api.put(NODES, node("fixed", podCIDR="10.0.1.0/24", podCIDRs=["10.0.1.0/24"]))
    for name in ("a", "b"):
        world.api.put(NODES, node(name))
    async with world.running(NodeIpamController):
        ranges = [item["spec"]["podCIDR"] for item in world.api.all(NODES)]
        assert sorted(ranges) == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
        gone = world.api.get(NODES, "a")["spec"]["podCIDRs"]
        world.api.remove(NODES, "a")
        await world.settle()
        world.api.put(NODES, node("c"))
        await world.settle()
        assert world.api.get(NODES, "c")["spec"]["podCIDR"] == "10.0.3.0/24", "the next, while there is one"
        world.api.put(NODES, node("d"))
        await world.settle()
        assert world.api.get(NODES, "d")["spec"]["podCIDRs"] == gone


async def test_ranges_are_read_as_they_are_written(make_world):
    """A node may have got its range from elsewhere, with an address of it in its place."""
    world = make_world(cluster_cidr="10.10.7.7/22")
    world.api.put(NODES, node("fixed", podCIDR="10.10.4.1/24", podCIDRs=["10.10.4.1/24"]))
    world.api.put(NODES, node("a"))
    async with world.running(NodeIpamController):
        assert world.api.get(NODES, "a")["spec"]["podCIDR"] == "10.10.5.0/24"


async def test_the_ranges_of_services_are_left_alone(make_world):
    world = make_world(cluster_cidr="10.0.0.0/22", service_cidr="10.0.0.0/23, fd00::/108")
    world.api.put(NODES, node("a"))
    async with world.running(NodeIpamController):
        assert world.api.get(NODES, "a")["spec"]["podCIDR"] == "10.0.2.0/24"


async def test_a_range_that_cannot_be_given_is_told_of_and_kept(make_world):
    world = make_world(cluster_cidr="10.0.0.0/22")
    refusing = [True]

    def refuse(request):
        return Forbidden("no") if request.method == "PATCH" and refusing else None

    world.api.reactors.append(refuse)
    world.api.put(NODES, node("a"))
    async with world.running(NodeIpamController):
        assert ("CIDRAssignmentFailed", "Node a status is now: CIDRAssignmentFailed") in world.events()
        refusing.clear()
        await world.advance(10)
        assert world.api.get(NODES, "a")["spec"]["podCIDR"] == "10.0.0.0/24"
