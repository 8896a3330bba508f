"""A controller's world: the fake API, a client in process, informers that catch mutation, a still clock."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.fake_api import FakeApi
from tiphys.client.informer import InformerSet
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.controllers.context import Context, ControllerOptions

QUIET_TURNS = 30


class World:
    def __init__(self, **options):
        self.clock = FakeClock()
        self.api = FakeApi(self.clock)
        self.client = Client(InProcessTransport(self.api.handler))
        self.informers = InformerSet(self.client, detect_mutation=True)
        self.context = Context(self.client, self.informers, ControllerOptions(**options), self.clock)
        self.controllers = []

    @asynccontextmanager
    async def running(self, *kinds):
        """Run these controllers until the block ends; whatever they raise fails the test."""
        self.controllers = [kind(self.context) for kind in kinds]
        tasks = [asyncio.ensure_future(self.informers.run())]
        tasks += [asyncio.ensure_future(controller.run()) for controller in self.controllers]
        try:
            await self.settle()
            yield
        finally:
            self.informers.check_mutations()
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await self.client.close()
            faults = [end for end in ends if isinstance(end, Exception)]
            assert not faults, faults

    async def settle(self):
        """Let everything happen that happens without time going by; short retries are waited out."""
        quiet, seen = 0, None
        for _ in range(20_000):
            await asyncio.sleep(0)
            state = (len(self.api.calls), self.api.revision)
            quiet = quiet + 1 if state == seen else 0
            seen = state
            if quiet < QUIET_TURNS:
                continue
            due = [c.queue.next_due for c in self.controllers if getattr(c, "queue", None) is not None]
            due = [at for at in due if at is not None and at - self.clock.monotonic() < 0.5]
            if not due:
                return
            self.clock.advance(max(min(due) - self.clock.monotonic(), 0) + 1e-6)
            self.poke()
            quiet = 0
        raise AssertionError("it never settled")

    def poke(self):
        for controller in self.controllers:
            if getattr(controller, "queue", None) is not None:
                controller.queue.poke()

    async def advance(self, seconds):
        self.clock.advance(seconds)
        self.poke()
        await self.settle()

    def events(self):
        from tiphys.client.kinds import EVENTS

        return [(event["reason"], event["message"]) for event in self.api.all(EVENTS)]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World
