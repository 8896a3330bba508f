"""Events are sent in the background; a repeated one counts up."""

import asyncio

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.client import events
from tiphys.client.events import EventRecorder
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import EVENTS
from tiphys.client.rest import Client
from tiphys.wire.message import Request, Response

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "4"},
}


async def test_an_event_bears_upstreams_fields():
    api = FakeApi()
    client = Client(InProcessTransport(api.handler))
    recorder = client.events("kubelet", "n1")
    recorder.record(POD, "Normal", "Pulled", "got it", field_path="spec.containers{a}")
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "web",
        "uid": "u1",
        "apiVersion": "v1",
        "resourceVersion": "4",
        "fieldPath": "spec.containers{a}",
    }
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Normal",
        "Pulled",
        "got it",
        1,
    )
    assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "n1")
    await client.close()


async def test_a_repeated_event_raises_the_count():
    api = FakeApi()
    client = Client(InProcessTransport(api.handler))
    for version in ("4", "5", "6"):
        newer = {**POD, "metadata": {**POD["metadata"], "resourceVersion": version}}
        client.events("kubelet").record(newer, "Warning", "BackOff", "slowly")
    client.events("kubelet").record(POD, "Warning", "BackOff", "differently")
    await client.events("kubelet").flush()
    assert sorted(event["count"] for event in api.all(EVENTS)) == [1, 3]
    await client.close()


async def test_cluster_scoped_objects_have_their_events_in_default():
    api = FakeApi()
    client = Client(InProcessTransport(api.handler))
    recorder = client.events("x")
    recorder.record({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, reason="Up")
    await recorder.flush()
    assert len(api.all(EVENTS, "default")) == 1
    await client.close()


class Gate:
    """An API server that answers when it is let, and knows how many requests are under way."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.open = asyncio.Event()
        self.under_way: list[str] = []
        self.requests = 0
        self.came = asyncio.Condition()

    async def __call__(self, request: Request) -> Response:
        self.requests += 1
        self.under_way.append(request.path)
        async with self.came:
            self.came.notify_all()
        await self.open.wait()
        self.under_way.remove(request.path)
        return await self.api.handler(request)

    async def wait_for(self, count: int) -> None:
        """Wait until so many are under way, and give more a chance to come."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.under_way) >= count)
        for _ in range(20):
            await asyncio.sleep(0)


async def test_a_few_are_sent_at_a_time_and_none_is_lost():
    gate = Gate()
    client = Client(InProcessTransport(gate))
    recorder = client.events("scheduler")
    for index in range(1500):
        pod = {**POD, "metadata": {"name": f"p{index}", "namespace": "default"}}
        recorder.record(pod, reason="Scheduled", message="well")
    await gate.wait_for(4)
    assert len(gate.under_way) == 4
    gate.open.set()
    await recorder.flush()
    assert len({event["metadata"]["name"] for event in gate.api.all(EVENTS)}) == 1500
    await client.close()


async def test_one_at_a_time_while_something_is_more_urgent():
    gate, urgent = Gate(), [True]
    client = Client(InProcessTransport(gate))
    recorder = client.events("scheduler")
    recorder.urgent = lambda: urgent[0]
    for index in range(20):
        recorder.record(
            {**POD, "metadata": {"name": f"p{index}", "namespace": "default"}}, reason="Scheduled"
        )
    await gate.wait_for(1)
    assert len(gate.under_way) == 1
    urgent[0] = False
    first, gate.open = gate.open, asyncio.Event()
    first.set()
    await gate.wait_for(4)
    assert len(gate.under_way) == 4, "once nothing is urgent there are more again, without another event"
    urgent[0] = True
    gate.open.set()
    await recorder.flush()
    assert len({event["metadata"]["name"] for event in gate.api.all(EVENTS)}) == 20
    await client.close()


async def test_what_repeats_itself_while_it_waits_is_one_write():
    gate, clock = Gate(), FakeClock()
    client = Client(InProcessTransport(gate))
    recorder = EventRecorder(client, "kubelet", clock=clock)
    recorder.record(POD, "Warning", "BackOff", "slowly")
    await gate.wait_for(1)
    for _ in range(5):
        clock.advance(1)
        recorder.record(POD, "Warning", "BackOff", "slowly")
    await gate.wait_for(1)
    assert len(gate.under_way) == 1, "the count of the first is not known yet"
    gate.open.set()
    await recorder.flush()
    (event,) = gate.api.all(EVENTS)
    assert (event["count"], gate.requests) == (6, 2)
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["lastTimestamp"] == "2026-01-01T00:00:05Z"
    await client.close()


async def test_a_full_backlog_drops_the_oldest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "_BACKLOG", 3)
    gate = Gate()
    gate.open.set()
    client = Client(InProcessTransport(gate))
    recorder = client.events("kubelet")
    for index in range(5):  # nothing is sent before the recorder's task runs
        recorder.record(POD, reason="Seen", message=str(index))
    await recorder.flush()
    assert sorted(event["message"] for event in gate.api.all(EVENTS)) == ["2", "3", "4"]
    await client.close()


async def test_an_event_with_an_action_has_the_newer_form():
    api, clock = FakeApi(), FakeClock()
    client = Client(InProcessTransport(api.handler))
    recorder = EventRecorder(client, "default-scheduler", "n1", clock=clock)
    cause = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cause", "namespace": "x"}}
    recorder.record(POD, "Normal", "Preempted", "gone", action="Preempting", related=cause)
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert (event["action"], event["reportingComponent"], event["reportingInstance"]) == (
        "Preempting", "default-scheduler", "default-scheduler-n1",
    )  # fmt: skip
    assert event["related"] == {"apiVersion": "v1", "kind": "Pod", "name": "cause", "namespace": "x"}
    assert not {"source", "count", "firstTimestamp", "lastTimestamp", "series"} & event.keys()
    clock.advance(5)
    recorder.record(POD, "Normal", "Preempted", "gone", action="Preempting", related=cause)
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:00:05.000000Z"}
    assert "count" not in event
    await client.close()


async def test_what_repeats_before_it_was_sent_is_a_series_at_once():
    api = FakeApi()
    client = Client(InProcessTransport(api.handler))
    recorder = EventRecorder(client, "default-scheduler", "n1", clock=FakeClock())
    for _ in range(3):
        recorder.record(POD, "Warning", "FailedScheduling", "no", action="Scheduling")
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["series"]["count"] == 3
    await client.close()


async def test_many_alike_become_one():
    api, clock = FakeApi(), FakeClock()
    client = Client(InProcessTransport(api.handler))
    recorder = EventRecorder(client, "replicaset-controller", clock=clock)
    for index in range(12):
        clock.advance(1)
        recorder.record(POD, "Warning", "FailedCreate", f"no {index}")
        await recorder.flush()
    told = {event["message"]: event["count"] for event in api.all(EVENTS)}
    assert told == {
        **{f"no {index}": 1 for index in range(9)},
        "(combined from similar events): no 11": 3,
    }
    await client.close()


async def test_an_object_with_too_many_events_has_few_more():
    api, clock = FakeApi(), FakeClock()
    client = Client(InProcessTransport(api.handler))
    recorder = EventRecorder(client, "kubelet", "n1", clock=clock)
    for _ in range(30):
        recorder.record(POD, "Warning", "BackOff", "slowly")
        await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["count"] == 25
    clock.advance(301)
    recorder.record(POD, "Warning", "BackOff", "slowly")
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert event["count"] == 31, "those that were not told are counted"
    await client.close()


async def test_an_event_that_expired_on_the_server_is_written_anew_with_all_that_was_counted():
    api, clock = FakeApi(), FakeClock()
    client = Client(InProcessTransport(api.handler))
    recorder = EventRecorder(client, "kubelet", "n1", clock=clock)
    recorder.record(POD, "Warning", "BackOff", "slowly")
    await recorder.flush()
    (first,) = api.all(EVENTS)
    api.remove(EVENTS, first["metadata"]["name"], "default")
    clock.advance(5000)
    recorder.record(POD, "Warning", "BackOff", "slowly")
    await recorder.flush()
    (event,) = api.all(EVENTS)
    assert (event["count"], event["firstTimestamp"]) == (2, first["firstTimestamp"])
    assert event["lastTimestamp"] > first["lastTimestamp"]
    await client.close()
