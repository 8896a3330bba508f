"""One leader at a time; the lease runs out by the watcher's own clock."""

import asyncio

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import LEASES
from tiphys.client.leaderelection import LeaderElector, LeadershipLost, Timings
from tiphys.client.metrics import REGISTRY
from tiphys.client.rest import Client


class World:
    def __init__(self):
        self.api = FakeApi()
        self.clock = FakeClock()

    async def sleep(self, seconds):
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def elector(self, who):
        client = Client(InProcessTransport(self.api.handler))
        return LeaderElector(client, "cm", who, clock=self.clock, sleep=self.sleep)

    @property
    def lease(self):
        return self.api.get(LEASES, "cm", "kube-system")["spec"]


async def test_the_first_holds_and_the_second_waits_until_it_runs_out():
    world = World()
    first, second = world.elector("a"), world.elector("b")
    assert await first.try_hold()
    assert not await second.try_hold()
    world.clock.advance(14)
    assert await first.try_hold()
    world.clock.advance(2)
    assert not await second.try_hold()
    world.clock.advance(15)
    assert await second.try_hold()
    assert not await first.try_hold()
    assert (world.lease["holderIdentity"], world.lease["leaseTransitions"]) == ("b", 1)


async def test_it_is_given_up_when_the_work_ends():
    world = World()

    def leading():
        return REGISTRY.sample_value("leader_election_master_status", {"name": "cm"})

    async def lead():
        assert world.lease["holderIdentity"] == "a"
        assert leading() == 1

    await world.elector("a").run(lead)
    assert leading() == 0
    assert world.lease["holderIdentity"] == ""
    assert await world.elector("b").try_hold()


async def test_a_lease_is_renewed_as_it_was_seen_last():
    """And read again where somebody else has written it, which is counted."""
    world = World()
    elector, asked = world.elector("slow"), []
    elector._name = "seen"
    world.api.reactors.append(lambda request: asked.append(request.method))

    def slow():
        return REGISTRY.sample_value("leader_election_slowpath_total", {"name": "seen"})

    assert await elector.try_hold()
    assert asked == ["GET", "POST"]
    asked.clear()
    world.clock.advance(2)
    assert await elector.try_hold()
    assert (asked, slow()) == (["PUT"], None)
    asked.clear()
    lease = world.api.get(LEASES, "seen", "kube-system")
    world.api.put(LEASES, {**lease, "metadata": {**lease["metadata"], "labels": {"a": "b"}}})
    assert await elector.try_hold()
    assert (asked, slow()) == (["PUT", "GET", "PUT"], 1)
    world.clock.advance(15)  # another may have it by now
    asked.clear()
    assert await elector.try_hold()
    assert (asked, slow()) == (["GET", "PUT"], 2)
    assert world.api.get(LEASES, "seen", "kube-system")["spec"]["leaseTransitions"] == 0


async def test_who_leads_with_a_lease_that_ran_out_long_ago_is_not_healthy():
    world = World()
    elector, other = world.elector("a"), world.elector("b")
    assert await elector.try_hold()
    assert not await other.try_hold()
    world.clock.advance(35)
    assert elector.fault() is None
    world.clock.advance(1)
    assert elector.fault() == "failed election to renew leadership on lease cm"
    assert other.fault() is None


async def test_failing_to_renew_cancels_the_work():
    world = World()
    cancelled = []

    async def lead():
        world.api.reactors.append(lambda request: ServiceUnavailable("down"))
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(LeadershipLost):
        await world.elector("a").run(lead)
    assert cancelled


async def test_a_server_that_never_answers_costs_the_lease_in_time(monkeypatch):
    world = World()
    elector, cancelled = world.elector("a"), []

    async def never(*_args, **_more):
        world.clock.advance(8)
        await asyncio.get_running_loop().create_future()

    async def lead():
        monkeypatch.setattr(elector, "_client", type("Silent", (), {"get": never, "update": never})())
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    elector._timings = Timings(lease_s=3, renew_deadline_s=0.02, retry_s=0.001)
    with pytest.raises(LeadershipLost):
        async with asyncio.timeout(20):
            await elector.run(lead)
    assert cancelled


class Hanging(InProcessTransport):
    """Leaves the first calls without an answer, as connections do that lead to a server which hangs."""

    def __init__(self, world):
        super().__init__(world.api.handler)
        self.left, self._clock = 1, world.clock

    async def send(self, call):
        if self.left:
            self.left -= 1
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await loop.create_future()
            finally:
                self._clock.advance(loop.time() - began)
        return await super().send(call)


@pytest.mark.parametrize("already_leads", [True, False])
async def test_one_connection_that_hangs_is_not_the_end_of_an_election(already_leads):
    """Not of who leads, nor of who would like to."""
    world, done = World(), asyncio.Event()
    elector = world.elector("a")
    elector._timings = Timings(lease_s=3, renew_deadline_s=1.5, retry_s=0.001)

    def hang():
        elector._client = Client(Hanging(world))

    async def lead():
        if already_leads:
            before = world.lease
            hang()
            async with asyncio.timeout(20):
                while world.lease == before or elector._client.transport.left:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        done.set()

    if not already_leads:
        hang()
    async with asyncio.timeout(20):
        await elector.run(lead)
    assert done.is_set()


async def test_a_server_that_hangs_does_not_keep_a_leader_that_is_done():
    world = World()
    elector = world.elector("a")
    elector._timings = Timings(lease_s=3, renew_deadline_s=0.3, retry_s=0.001)

    async def lead():
        elector._client = Client(Hanging(world))

    async with asyncio.timeout(20):
        await elector.run(lead)
    assert world.lease["holderIdentity"] == "a"
