"""Mode batch: when events go on, together with which others, how often, and what is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.batches import LOG_BATCHES, Batched, BatchOptions, Throttle


class Backend:
    """Keeps batches; holds them while ``open`` is not set."""

    name, failed = "webhook", 2

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self.closed = False

    async def process(self, events: Any) -> bool:
        self.begun += 1
        await self.open.wait()
        self.batches.append([one["auditID"] for one in events])
        return True

    async def close(self) -> None:
        self.closed = True


def put(sink: Batched, count: int) -> None:
    for number in range(count):
        assert sink.put({"auditID": str(number)}) is True, "no request waits for a batch"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_full_batch_does_not_wait() -> None:
    backend = Backend()
    sink = Batched(backend, BatchOptions(max_size=2, max_wait_s=600), FakeClock())
    running = asyncio.ensure_future(sink.run())
    put(sink, 4)
    await until(lambda: len(backend.batches) == 2)
    assert backend.batches == [["0", "1"], ["2", "3"]]
    running.cancel()


async def test_what_a_full_batch_leaves_waits_for_others() -> None:
    backend = Backend()
    sink = Batched(backend, BatchOptions(max_size=2, max_wait_s=600), FakeClock())
    running = asyncio.ensure_future(sink.run())
    put(sink, 3)
    await until(lambda: bool(backend.batches))
    for _ in range(20):
        await asyncio.sleep(0)
    assert backend.batches == [["0", "1"]]
    put(sink, 1)
    await until(lambda: len(backend.batches) == 2)
    assert backend.batches[1] == ["2", "0"]
    running.cancel()


async def test_a_batch_goes_when_it_has_waited_long_enough() -> None:
    backend = Backend()
    sink = Batched(backend, BatchOptions(max_wait_s=0.001), FakeClock())
    running = asyncio.ensure_future(sink.run())
    put(sink, 3)
    await until(lambda: bool(backend.batches))
    assert backend.batches == [["0", "1", "2"]]
    running.cancel()


@pytest.mark.parametrize(("together", "begun"), [(True, 3), (False, 1)], ids=["webhook", "log"])
async def test_whether_batches_wait_for_each_other(together: bool, begun: int) -> None:
    backend = Backend()
    backend.open.clear()
    sink = Batched(backend, BatchOptions(max_size=1, together=together), FakeClock())
    running = asyncio.ensure_future(sink.run())
    put(sink, 3)
    await until(lambda: backend.begun == begun)
    for _ in range(20):
        await asyncio.sleep(0)
    assert backend.begun == begun
    backend.open.set()
    await until(lambda: len(backend.batches) == 3)
    running.cancel()


async def test_a_full_buffer_loses_what_comes(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend()
    sink = Batched(backend, BatchOptions(buffer=2), FakeClock())
    put(sink, 3)
    assert sink.failures == {"buffered": 1, "webhook": 2}
    assert "audit buffer queue blocked id=2" in caplog.text
    await sink.close()
    assert backend.batches == [["0", "1"]]
    assert backend.closed


async def test_the_end_hands_on_the_rest_in_batches() -> None:
    backend = Backend()
    sink = Batched(backend, BatchOptions(max_size=2), FakeClock())
    put(sink, 5)
    await sink.close()
    assert backend.batches == [["0", "1"], ["2", "3"], ["4"]]


async def test_batches_beyond_the_burst_wait() -> None:
    backend, clock = Backend(), FakeClock()
    sink = Batched(backend, BatchOptions(max_size=1, qps=1000, burst=2), clock)
    running = asyncio.ensure_future(sink.run())
    put(sink, 3)
    await until(lambda: len(backend.batches) == 2)
    await until(lambda: len(backend.batches) == 3)
    running.cancel()


def test_the_throttle() -> None:
    throttle = Throttle(10, 15)
    assert [throttle.delay_s(0) for _ in range(15)] == [0] * 15
    assert [round(throttle.delay_s(0), 3) for _ in range(3)] == [0.1, 0.2, 0.3]
    assert throttle.delay_s(10) == 0, "ten seconds later there are tokens again"
    assert [throttle.delay_s(10) for _ in range(14)] == [0] * 14, "but no more than the burst"
    assert throttle.delay_s(10) > 0


def test_logs_are_not_gathered() -> None:
    assert (LOG_BATCHES.max_size, LOG_BATCHES.throttle, LOG_BATCHES.together) == (1, False, False)
