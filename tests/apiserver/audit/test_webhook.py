"""Events for another server: retries, what is lost, and who waits."""

from __future__ import annotations

import asyncio

import orjson

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.batches import Batched, BatchOptions
from tiphys.apiserver.audit.webhook import RetryOptions, Webhook


class Receiver:
    """Takes lists of events; fails the first ``failures`` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.lists: list[list[str]] = []
        self.closed = False

    async def __call__(self, body: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("refused")
        found = orjson.loads(body)
        assert list(found) == ["kind", "apiVersion", "metadata", "items"]
        assert (found["kind"], found["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
        assert [list(item) for item in found["items"]] == [["auditID", "level"]] * len(found["items"])
        self.lists.append([item["auditID"] for item in found["items"]])

    async def close(self) -> None:
        self.closed = True


HEAD = {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}
EVENTS = [{**HEAD, "auditID": number, "level": "Metadata"} for number in ("1", "2")]
AT_ONCE = RetryOptions(retries=2, backoff_s=0)


async def test_failures_are_tried_again_then_counted() -> None:
    receiver = Receiver(failures=2)
    hook = Webhook(receiver, AT_ONCE)
    assert await hook.process(EVENTS)
    assert (receiver.lists, hook.failures) == ([["1", "2"]], {"webhook": 0})
    receiver.failures = 3
    assert not await hook.process(EVENTS)
    assert (len(receiver.lists), hook.failures) == (1, {"webhook": 2})


async def test_who_puts_an_event_may_wait_for_it() -> None:
    receiver = Receiver(failures=3)
    hook = Webhook(receiver, AT_ONCE)
    running = asyncio.ensure_future(hook.run())
    async with asyncio.timeout(5):
        assert not await hook.put(EVENTS[0]), "every attempt failed"
        assert await hook.put(EVENTS[1])
    assert receiver.lists == [["2"]]
    running.cancel()


async def test_the_end_posts_what_was_put() -> None:
    receiver = Receiver()
    hook = Webhook(receiver, AT_ONCE)
    kept = hook.put(EVENTS[0])
    await hook.close()
    assert await kept
    assert (receiver.lists, receiver.closed) == ([["1"]], True)


async def test_nobody_waits_for_a_server_that_has_stopped() -> None:
    receiver = Receiver(failures=1)
    hook = Webhook(receiver, RetryOptions(retries=1, backoff_s=600))
    running = asyncio.ensure_future(hook.run())
    kept = hook.put(EVENTS[0])
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kept.cancelled()


async def test_a_server_that_comes_back_gets_what_was_put_meanwhile() -> None:
    """In batches of their own: one that is tried again holds up no other."""
    receiver = Receiver(failures=3)
    sink = Batched(Webhook(receiver, AT_ONCE), BatchOptions(max_size=2, max_wait_s=600), FakeClock())
    running = asyncio.ensure_future(sink.run())
    for event in EVENTS + EVENTS:
        sink.put(event)
    async with asyncio.timeout(5):
        while len(receiver.lists) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert receiver.lists == [["1", "2"], ["1", "2"]]
    assert sink.failures == {"buffered": 0, "webhook": 0}
    running.cancel()
