"""Which node ports a Service takes."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tiphys.apimachinery.errors import InternalError, Invalid
from tiphys.apiserver.services.ports import PortAllocator, Refused, choose
from tiphys.apiserver.services.ranges import PortSet
from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore

Spec = dict[str, Any]


def node(*numbers: int, kind: str = "NodePort", **spec: Any) -> Spec:
    ports = [
        {"name": str(index), "port": 80 + index, "protocol": "TCP", "nodePort": number}
        for index, number in enumerate(numbers)
    ]
    return {"type": kind, "ports": ports, **spec}


def balanced(*numbers: int, **spec: Any) -> Spec:
    return node(*numbers, kind="LoadBalancer", **spec)


LOCAL = {"externalTrafficPolicy": "Local"}
CHOSEN: dict[str, tuple[Spec, Spec | None, tuple[int, ...], int]] = {
    "asked for": (node(30001, 30002), None, (30001, 30002), 0),
    "cluster ip": (node(0, kind="ClusterIP"), None, (0,), 0),
    "load balancer without": (balanced(0, allocateLoadBalancerNodePorts=False), None, (0,), 0),
    "load balancer without, but one asked for": (
        balanced(0, 30003, allocateLoadBalancerNodePorts=False),
        None,
        (0, 30003),
        0,
    ),
    "held before": (node(30009), node(30009), (30009,), 0),
    "health check asked for": (
        balanced(30001, healthCheckNodePort=30002, **LOCAL),
        None,
        (30001,),
        30002,
    ),
    "health check held": (
        balanced(30009, healthCheckNodePort=30008, **LOCAL),
        balanced(30009, healthCheckNodePort=30008, **LOCAL),
        (30009,),
        30008,
    ),
}


@pytest.mark.parametrize(("spec", "old", "numbers", "health"), CHOSEN.values(), ids=CHOSEN)
def test_choose(spec: Spec, old: Spec | None, numbers: tuple[int, ...], health: int) -> None:
    ports = PortSet(30000, 30010)
    for taken in (30008, 30009):
        ports.take(taken)
    found = choose(spec, old, ports, Random(1))
    assert (found.numbers, found.health) == (numbers, health)


def test_the_port_of_the_health_check_is_no_entrys() -> None:
    old = balanced(30001, healthCheckNodePort=30002, **LOCAL)
    taken = PortSet(30000, 30010)
    for number in (30001, 30002):
        taken.take(number)
    with pytest.raises(Refused, match="provided port is already allocated"):
        choose(balanced(30001, 30002, healthCheckNodePort=30002, **LOCAL), old, taken, Random(1))


def test_asked_for_twice_is_one() -> None:
    spec = node(30001, 30001)
    spec["ports"][1] |= {"port": 80, "protocol": "UDP"}
    assert choose(spec, None, PortSet(30000, 30010), Random(1)).numbers == (30001, 30001)


@pytest.mark.parametrize("old", [None, node(30005)], ids=["new", "changed"])
def test_refused(old: Spec | None) -> None:
    ports = PortSet(30000, 30010)
    ports.take(30001)
    with pytest.raises(
        Refused, match=r"spec.ports\[0\].nodePort: Invalid value: 30001: provided port is already"
    ):
        choose(node(30001), old, ports, Random(1))
    with pytest.raises(Refused, match="The range of valid ports is 30000-30010"):
        choose(node(80), old, ports, Random(1))


def test_full_and_health_check_taken() -> None:
    full = PortSet(30000, 30001, 3)
    with pytest.raises(InternalError, match="failed to allocate a nodePort: range is full"):
        choose(node(0), None, full, Random(1))
    with pytest.raises(InternalError, match="failed to allocate requested HealthCheck NodePort 30001"):
        choose(
            balanced(0, allocateLoadBalancerNodePorts=False, healthCheckNodePort=30001, **LOCAL),
            None,
            full,
            Random(1),
        )


def service(spec: Spec) -> dict[str, Any]:
    return {"metadata": {"name": "s", "namespace": "d"}, "spec": spec}


async def test_what_is_taken_and_what_is_left() -> None:
    ports = PortAllocator(MemoryStore(), 30000, 30010)
    old = service(balanced(30001, healthCheckNodePort=30002, **LOCAL))
    assert await ports.take(old, None, dry_run=False) == ([30001, 30002], [])
    new = service(node(30003))
    assert await ports.take(new, old, dry_run=False) == ([30003], [30001, 30002])
    await ports.release([30001, 30002])
    assert list(await ports.read()) == [30003]
    with pytest.raises(Invalid, match='Service "s" is invalid'):
        await ports.take(service(node(30003)), None, dry_run=False)


@pytest.mark.parametrize("kind", ["ClusterIP", "ExternalName"])
async def test_an_external_name_lets_go_of_nothing_that_is_anothers(kind: str) -> None:
    ports = PortAllocator(MemoryStore(), 30000, 30010)
    await ports.take(service(node(30001)), None, dry_run=False)
    named = service(node(30001, kind="ExternalName"))
    assert await ports.take(named, None, dry_run=False) == ([], [])
    assert await ports.take(service(node(0, kind=kind)), named, dry_run=False) == ([], [])


class Rival(MemoryStore):
    """Another server writes the record just before each of our first writes."""

    rivals = 2

    async def commit(self, writes: Any) -> int:
        if self.rivals:
            self.rivals -= 1
            await super().commit([Put(writes[0].key, writes[0].value)])
        return await super().commit(writes)


async def test_two_servers_never_give_out_the_same() -> None:
    store = MemoryStore()
    servers = [PortAllocator(store, 30000, 30063) for _ in range(2)]
    wanted = [service(node(0)) for _ in range(64)]
    await asyncio.gather(
        *(servers[index % 2].take(one, None, dry_run=False) for index, one in enumerate(wanted))
    )
    assert len({one["spec"]["ports"][0]["nodePort"] for one in wanted}) == 64


async def test_a_lost_race_chooses_anew() -> None:
    ports = PortAllocator(Rival(), 30000, 30010)
    wanted = service(node(0))
    taken, _ = await ports.take(wanted, None, dry_run=False)
    assert wanted["spec"]["ports"][0]["nodePort"] == taken[0]
    assert len(list(await ports.read())) == 3


async def test_another_range_takes_over_what_both_have() -> None:
    store = MemoryStore()
    await PortAllocator(store, 30000, 30010).take(service(node(30001, 30009)), None, dry_run=False)
    moved = PortAllocator(store, 30005, 30020)
    assert list(await moved.read()) == [30009]
