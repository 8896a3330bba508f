"""What is done for a pod: nothing twice to one thing at a time, and what fails ends nothing else."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tiphys.kubelet import pod_actions
from tiphys.kubelet.pod_actions import PodActions
from tiphys.kubelet.runtime import RuntimeFailure


class Worker:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.looks = self.pokes = 0
        self.done: list[str] = []
        self.held = asyncio.Event()
        self.actions = PodActions("default/web", self.look, self.poke)

    async def look(self) -> None:
        self.looks += 1

    def poke(self) -> None:
        self.pokes += 1

    async def work(self, name: str) -> None:
        await self.held.wait()
        self.done.append(name)

    async def fail(self) -> None:
        raise RuntimeFailure("Unknown", "no")


async def test_nothing_is_done_twice_to_one_thing_at_a_time() -> None:
    worker = Worker()
    async with asyncio.TaskGroup() as group:
        worker.actions.begin(group, "a", worker.work("first"))
        worker.actions.begin(group, "a", worker.work("second"))
        worker.actions.begin(group, "b", worker.work("third"))
        assert worker.actions.busy == {"a", "b"}
        assert "a" in worker.actions
        worker.held.set()
    assert worker.done == ["first", "third"]
    assert (worker.looks, worker.pokes) == (2, 2)
    assert not worker.actions.busy


async def test_a_failed_action_ends_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_actions, "_RETRY_S", 0.0)
    worker = Worker()
    async with asyncio.TaskGroup() as group:
        worker.actions.begin(group, "a", worker.fail())
        worker.actions.begin(group, "b", worker.work("b"))
        worker.held.set()
    assert worker.done == ["b"]
    assert (worker.looks, worker.pokes) == (2, 2)


async def test_what_is_broken_off_is_forgotten() -> None:
    worker = Worker()
    async with asyncio.TaskGroup() as group:
        for thing in ("a", "b", "c"):
            worker.actions.begin(group, thing, worker.work(thing))
        await asyncio.sleep(0)
        worker.actions.cancel("c")
        worker.actions.cancel("nothing")
        worker.actions.cancel_but("b")
        worker.held.set()
    assert worker.done == ["b"]
    assert worker.pokes == 3
    assert not worker.actions.busy


async def test_what_is_broken_off_before_its_first_step_was_never_begun() -> None:
    worker = Worker()
    work = worker.work("first")
    async with asyncio.TaskGroup() as group:
        worker.actions.begin(group, "a", work)
        worker.actions.cancel("a")
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
    assert worker.done == []
