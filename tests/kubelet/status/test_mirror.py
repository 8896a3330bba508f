"""The status of a static pod, and its mirror that comes and goes."""

import asyncio

import pytest

from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.kubelet.status.mirror import MirrorWriter

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "hash"},
    "spec": {},
}
NOW, EARLIER = "2026-01-01T00:00:09Z", "2026-01-01T00:00:00Z"


class World:
    def __init__(self):
        self.api = FakeApi()
        self.writer = MirrorWriter(Client(InProcessTransport(self.api.handler)), POD)

    def mirror(self, **status):
        meta = {"name": "p", "namespace": "default"}
        return self.api.put(PODS, {**POD, "metadata": meta, "status": status})

    @property
    def status(self):
        return (self.api.get(PODS, "p", "default") or {}).get("status") or {}

    async def until(self, check):
        async with asyncio.timeout(20):
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def world():
    made = World()
    task = asyncio.ensure_future(made.writer.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_known_before_there_is_a_mirror_is_told_then(world):
    world.writer.set({"phase": "Running", "startTime": NOW})
    await world.writer.flush()
    assert world.api.writes() == []
    assert world.writer.latest(POD)["status"]["phase"] == "Running"
    world.writer.mirrored(world.mirror())
    await world.until(lambda: world.status == {"phase": "Running", "startTime": NOW})


async def test_a_pod_began_when_an_earlier_kubelet_began_it(world):
    world.writer.set({"phase": "Running", "startTime": NOW})
    world.writer.mirrored(world.mirror(phase="Pending", startTime=EARLIER))
    await world.until(lambda: world.status["phase"] == "Running")
    assert world.status["startTime"] == EARLIER
    assert world.writer.latest(POD)["status"]["startTime"] == EARLIER


async def test_another_mirror_is_told_all_over(world):
    world.writer.set({"phase": "Running", "startTime": NOW})
    world.writer.mirrored(world.mirror())
    await world.until(lambda: world.status)
    world.api.remove(PODS, "p", "default")
    world.writer.set({"phase": "Failed", "startTime": NOW})  # nobody has told of the end of the mirror yet
    await world.until(lambda: not world.writer._there.is_set())
    assert not world.writer.gone
    world.writer.mirrored(None)
    world.writer.mirrored(world.mirror())
    await world.until(lambda: world.status.get("phase") == "Failed")
