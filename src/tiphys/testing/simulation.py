"""Days of a cluster's life in seconds: an event loop whose clock jumps to whatever is due next.

Owns: virtual time, and that a seed always tells the same story (from one process to the next, only with the
same ``PYTHONHASHSEED``: sets of names have an order of their own). A story is a coroutine that makes a
``Cluster`` and does something to it; nothing in it may wait for a socket, a process or a real second. Threads
are not used: what would go to one is done at once.

    def test_a_day() -> None:
        simulate(story, seed=7)

    async def story(simulation: Simulation) -> None:
        async with Cluster(nodes=3, clock=simulation.clock) as cluster:
            ...
            await asyncio.sleep(86_400)
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import randomness

T = TypeVar("T")
_Args = TypeVarTuple("_Args")
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_STUCK: Final = "nothing is due and nobody can wake the story: it waits for what never comes"


class _Jumping(selectors.DefaultSelector):
    """Where a selector would wait, the loop's time moves on instead."""

    elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError(_STUCK)
        self.elapsed_s += max(timeout, 0.0)
        return []  # there is no socket to ask for


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers fire in their order, at once; ``time`` is how long the story has lasted."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        # How late a timer may seem to be and still fire: after a hundred days, floats know no nanoseconds.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.elapsed_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Args]], T], *args: *_Args
    ) -> asyncio.Future[T]:
        """Do the work now: a thread would end at another moment each run."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class VirtualClock:
    """A ``Clock`` that tells a virtual loop's time."""

    def __init__(self, loop: VirtualLoop, start: datetime = _START) -> None:
        self._loop = loop
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a story is given: the time, and the chance that decides everything that is not decided."""

    clock: VirtualClock
    chance: random.Random


def simulate(story: Callable[[Simulation], Awaitable[T]], *, seed: int, start: datetime = _START) -> T:
    """Run a story to its end in virtual time and return what it returns.

    Raises RuntimeError when everything waits and nothing is due, and whatever the story raises.
    """
    chance = random.Random(seed)
    before = random.getstate()
    random.seed(chance.random())
    names = random.Random(chance.random())
    try:
        with randomness(names.randbytes), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            return runner.run(_told(story, Simulation(VirtualClock(loop, start), chance)))
    finally:
        random.setstate(before)


async def _told(story: Callable[[Simulation], Awaitable[T]], simulation: Simulation) -> T:
    return await story(simulation)
