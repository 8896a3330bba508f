"""The queue coalesces, delays by the injected clock and backs off by key."""

import asyncio

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.workqueue import QueueClosed, RateLimiter, WorkQueue


async def test_a_key_waits_once_however_often_it_is_added():
    queue = WorkQueue(clock=FakeClock())
    for _ in range(3):
        queue.add("a")
    assert len(queue) == 1
    assert await queue.get() == "a"


async def test_a_key_added_while_worked_on_comes_back_only_when_done():
    queue = WorkQueue(clock=FakeClock())
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_delayed_keys_become_ready_in_order_of_their_time():
    clock = FakeClock()
    queue = WorkQueue(clock=clock)
    queue.add_after("late", 20)
    queue.add_after("soon", 10)
    queue.poke()
    assert len(queue) == 0
    clock.advance(10)
    queue.poke()
    assert await queue.get() == "soon"
    clock.advance(10)
    queue.poke()
    assert await queue.get() == "late"
    queue.close()


async def test_of_two_delays_the_earlier_counts():
    clock = FakeClock()
    queue = WorkQueue(clock=clock)
    queue.add_after("a", 20)
    queue.add_after("a", 5)
    queue.add_after("a", 50)
    assert queue.next_due == 5
    clock.advance(5)
    queue.poke()
    assert len(queue) == 1
    await queue.get()
    queue.done("a")
    clock.advance(100)
    queue.poke()
    assert len(queue) == 0
    queue.close()


async def test_closing_lets_waiting_workers_go():
    queue = WorkQueue(clock=FakeClock())
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await waiting


async def test_a_cancelled_worker_hands_its_wakeup_on():
    queue = WorkQueue(clock=FakeClock())
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


def test_failures_back_off_exponentially_up_to_the_cap():
    limiter = RateLimiter(FakeClock())
    delays = [limiter.delay("a") for _ in range(20)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000.0
    limiter.forget("a")
    assert limiter.delay("a") == 0.005


def test_many_keys_failing_share_one_bucket():
    limiter = RateLimiter(FakeClock(), per_s=10, burst=2)
    assert [limiter.delay(key) for key in "abcd"] == [0.005, 0.005, 0.1, 0.2]


async def test_a_timer_is_set_for_the_first_that_is_due_and_not_again_for_each_look():
    queue, loop, timers = WorkQueue(), asyncio.get_running_loop(), []
    call_later = loop.call_later

    def counted(delay, *args):
        timers.append(delay)
        return call_later(delay, *args)

    loop.call_later = counted
    try:
        queue.add_after("late", 60)
        for _ in range(5):
            queue.poke()
        assert len(timers) == 1
        queue.add_after("soon", 0.01)
        assert len(timers) == 2
        assert await queue.get() == "soon"
        assert len(timers) == 3, "the late one is still to come"
    finally:
        del loop.call_later
        queue.close()
