"""Virtual time, and that a seed is the whole story."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from tiphys.apimachinery.meta import Object, generate_name, new_uid
from tiphys.client.informer import Informer
from tiphys.client.kinds import DEPLOYMENTS, PODS
from tiphys.client.transport import Answer, Call, Stream, TransportError
from tiphys.testing import Cluster, Simulation, simulate
from tiphys.testing.faults import Faults, FaultyTransport


def test_time_jumps_to_what_is_due() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(simulation: Simulation, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, simulation.clock.monotonic()))

    async def story(simulation: Simulation) -> datetime:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper(simulation, "a year", 365 * 86_400))
            group.create_task(sleeper(simulation, "an hour", 3_600))
        return simulation.clock.now()

    assert simulate(story, seed=1) == datetime(2027, 1, 1, tzinfo=UTC)
    assert seen == [("an hour", 3_600), ("a year", 365 * 86_400)]


def test_a_timeout_is_in_virtual_time() -> None:
    async def story(_: Simulation) -> None:
        async with asyncio.timeout(3_600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        simulate(story, seed=1)


def test_who_waits_for_nothing_is_told() -> None:
    async def story(_: Simulation) -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="waits for what never comes"):
        simulate(story, seed=1)


def test_what_would_go_to_a_thread_is_done_at_once() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def story(simulation: Simulation) -> tuple[int, float]:
        with pytest.raises(KeyError):
            await asyncio.to_thread(fail)
        return await asyncio.to_thread(lambda: 7), simulation.clock.monotonic()

    assert simulate(story, seed=1) == (7, 0.0)


async def _draws(simulation: Simulation) -> tuple[object, ...]:
    return new_uid(), generate_name("web-"), random.random(), simulation.chance.random()


def test_a_seed_is_the_whole_story() -> None:
    state = random.getstate()
    first = simulate(_draws, seed=5)
    assert simulate(_draws, seed=5) == first
    assert not set(simulate(_draws, seed=6)) & set(first)
    assert random.getstate() == state
    assert new_uid() != new_uid()


LABELS = {"app": "web"}
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 4, "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}  # fmt: skip


async def _roll_out(simulation: Simulation) -> list[tuple[str, ...]]:
    """Return what became of the pods of a Deployment, over a slow network."""
    slow = Faults(latency_s=(0.001, 0.2))
    seen: list[tuple[str, ...]] = []

    def on_pod(_old: Object | None, new: Object | None) -> None:
        if new is not None:
            node, version = new["spec"].get("nodeName", ""), new["metadata"]["resourceVersion"]
            seen.append((new["metadata"]["name"], node, version, str(simulation.clock.monotonic())))

    async with Cluster(
        nodes=2,
        clock=simulation.clock,
        network=lambda wire: FaultyTransport(wire, slow, simulation.chance),
    ) as cluster:
        pods = Informer(cluster.client, PODS, namespace="default")
        pods.add_handler(on_pod)
        watching = asyncio.create_task(pods.run())
        await cluster.client.create(DEPLOYMENTS, DEPLOYMENT)
        await cluster.wait_for(
            DEPLOYMENTS, "web", "default", lambda web: (web or {}).get("status", {}).get("readyReplicas") == 4
        )
        watching.cancel()
    return seen


@pytest.mark.slow
def test_a_cluster_goes_the_same_way_each_time() -> None:
    """Several watch the same pods: who hears first must not depend on where they lie in memory."""
    first = simulate(_roll_out, seed=8)
    assert len(first) >= 12
    assert [simulate(_roll_out, seed=8) for _ in range(2)] == [first] * 2


class Wire:
    """A transport that notes what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def send(self, call: Call) -> Answer:
        self.reached.append(call.path)
        return Answer(200, {}, b"")

    def stream(self, _: Call) -> "Wire":
        return self

    async def __aenter__(self) -> Stream:
        return Stream(200, {}, self._pieces())

    async def __aexit__(self, *_: object) -> None:
        return None

    async def _pieces(self):  # type: ignore[no-untyped-def]  # an async generator
        for piece in (b"a", b"b", b"c"):
            await asyncio.sleep(10)
            yield piece

    def anonymous(self) -> "Wire":
        return self

    async def close(self) -> None:
        self.reached.append("closed")


def _sent(faults: Faults, times: int = 200) -> tuple[int, int, float]:
    """Send requests; return how many reached the server, how many were answered, and when it was over."""

    async def story(simulation: Simulation) -> tuple[int, int, float]:
        wire, answered = Wire(), 0
        transport = FaultyTransport(wire, faults, simulation.chance)  # type: ignore[arg-type]
        for _ in range(times):
            try:
                answered += (await transport.send(Call("GET", "/x"))).status == 200
            except TransportError:
                continue
        return len(wire.reached), answered, simulation.clock.monotonic()

    return simulate(story, seed=3)


def test_a_transport_without_faults() -> None:
    assert _sent(Faults()) == (200, 200, 0.0)


def test_lost_requests_do_nothing() -> None:
    reached, answered, _ = _sent(Faults(requests_lost=0.5))
    assert reached == answered
    assert 50 < reached < 150


def test_lost_answers_leave_the_work_done() -> None:
    reached, answered, _ = _sent(Faults(answers_lost=0.5))
    assert reached == 200
    assert 50 < answered < 150


def test_each_way_takes_its_time() -> None:
    assert 200 * 2 * 0.1 < _sent(Faults(latency_s=(0.1, 0.2)))[2] < 200 * 2 * 0.2


@pytest.mark.parametrize(("last_s", "whole"), [(0.0, True), (0.001, False)], ids=["whole", "broken"])
def test_streams_break(last_s: float, whole: bool) -> None:
    async def story(simulation: Simulation) -> list[bytes]:
        transport = FaultyTransport(Wire(), Faults(streams_last_s=last_s), simulation.chance)  # type: ignore[arg-type]
        try:
            async with transport.stream(Call("GET", "/x")) as stream:
                return [piece async for piece in stream.chunks]
        except TransportError:
            return []

    assert simulate(story, seed=3) == ([b"a", b"b", b"c"] if whole else [])
