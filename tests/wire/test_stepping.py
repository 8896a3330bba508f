"""Handlers that were stepped once by hand."""

import asyncio
from typing import Any

import pytest

from tiphys.wire.message import Response
from tiphys.wire.stepping import Runner, awaited, resume


async def waiting(future: asyncio.Future[bytes], seen: list[str]) -> Response:
    try:
        body = await future
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    except OSError as error:
        return Response(503, {}, str(error).encode())
    return Response(200, {}, body)


def stepped(future: asyncio.Future[bytes], seen: list[str]) -> tuple[Any, object]:
    """Run a handler up to where it waits."""
    coro = waiting(future, seen)
    return coro, coro.send(None)


async def test_what_it_waits_for_comes() -> None:
    future = asyncio.get_running_loop().create_future()
    coro, yielded = stepped(future, [])
    asyncio.get_running_loop().call_soon(future.set_result, b"done")
    assert (await resume(coro, yielded, [])).body == b"done"


async def test_what_it_waits_for_fails() -> None:
    future = asyncio.get_running_loop().create_future()
    coro, yielded = stepped(future, [])
    asyncio.get_running_loop().call_soon(future.set_exception, OSError("away"))
    response = await resume(coro, yielded, [])
    assert (response.status, response.body) == (503, b"away")


async def test_an_interrupt_that_came_before_comes_first() -> None:
    seen: list[str] = []
    future = asyncio.get_running_loop().create_future()
    coro, yielded = stepped(future, seen)
    interrupts: list[BaseException] = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await resume(coro, yielded, interrupts)
    assert (seen, interrupts) == (["cancelled"], [])


async def test_a_task_that_goes_on_with_it_is_cancelled() -> None:
    seen: list[str] = []
    future = asyncio.get_running_loop().create_future()
    coro, yielded = stepped(future, seen)
    task = asyncio.ensure_future(resume(coro, yielded, []))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_an_answer_that_is_a_future() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(Response(204, {}, b""))
    assert (await awaited(future)).status == 204


class Ends:
    """What a runner tells of itself."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.worked = asyncio.Event()

    async def after(self, runner: Runner) -> None:
        self.told.append("after")
        self.worked.set()

    def ended(self, runner: Runner) -> None:
        self.told.append("ended")


async def test_a_runner_does_what_it_is_handed() -> None:
    ends, done = Ends(), []
    runner = Runner(asyncio.get_running_loop(), ends.after, ends.ended)

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        done.append((name, asyncio.current_task() is runner.task))

    runner.hand(work("one"))
    await ends.worked.wait()
    runner.last = True
    runner.hand(work("two"))
    await runner.task
    await asyncio.sleep(0)
    assert done == [("one", True), ("two", True)]
    assert ends.told == ["after", "after", "ended"]


async def test_a_runner_that_is_cancelled_before_it_begins_drops_its_work() -> None:
    ends = Ends()
    runner = Runner(asyncio.get_running_loop(), ends.after, ends.ended)

    async def work() -> None:
        raise AssertionError

    runner.hand(work())
    runner.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await runner.task
    await asyncio.sleep(0)
    assert ends.told == ["ended"]
