"""Events are sent in the background; a repeated one counts up."""

from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import EVENTS
from tiphys.client.rest import Client

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
