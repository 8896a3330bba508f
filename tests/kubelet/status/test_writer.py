"""What is written of a status, and when."""

import asyncio

import pytest
from pod_api import PodApi
from pods import pod

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.kubelet import counts
from tiphys.kubelet.status.writer import StatusWriter, status_patch

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "t"}


@pytest.mark.parametrize(
    ("have", "want", "patch"),
    [
        ({}, {"phase": "Running"}, {"phase": "Running"}),
        ({"phase": "Running"}, {"phase": "Running"}, {}),
        ({"reason": "x"}, {}, {"reason": None}),
        ({}, {"podIPs": [{"ip": "1"}]}, {"podIPs": [{"ip": "1"}]}),
        (
            {"podIPs": [{"ip": "1"}]},
            {"podIPs": [{"ip": "2"}]},
            {"podIPs": [{"ip": "2"}, {"$patch": "replace"}]},
        ),
        ({"conditions": [READY]}, {"conditions": [{**READY, "lastProbeTime": None}]}, {}),
        (
            {"conditions": [{**READY, "reason": "old"}]},
            {"conditions": [READY]},
            {"conditions": [{"reason": None, **READY}]},
        ),
        (
            {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}},
            {"resources": {"limits": {"cpu": "2"}}, "allocatedResources": {"cpu": "1"}},
            {
                "resources": {"limits": {"cpu": "2", "memory": None}, "requests": None},
                "allocatedResources": {"cpu": "1"},
            },
        ),
        ({"allocatedResources": {"cpu": "1"}}, {}, {"allocatedResources": None}),
        ({}, {"conditions": [{"type": "theirs", "status": "True"}]}, {}),
        (
            {"conditions": [READY, {"type": "theirs", "status": "True"}, {"type": "DisruptionTarget"}]},
            {"conditions": []},
            {"conditions": [{"type": "Ready", "$patch": "delete"}]},
        ),
    ],
)
def test_patch(have, want, patch):
    assert status_patch(have, want) == patch


async def test_writer():
    api = PodApi()
    client = Client(InProcessTransport(api.handler))
    made = await client.create(PODS, pod())
    writer = StatusWriter(client, made)
    task = asyncio.ensure_future(writer.run())
    writer.set({"phase": "Pending"})
    writer.set({"phase": "Running"})
    await writer.flush()
    assert api.get(PODS, "p", "ns")["status"] == {"phase": "Running"}
    assert writer.latest(made)["status"] == {"phase": "Running"}
    writes = len(api.calls)
    writer.set({"phase": "Running"})
    await writer.flush()
    assert len(api.calls) == writes
    api.remove(PODS, "p", "ns")
    writer.set({"phase": "Failed"})
    await writer.flush()
    assert writer.gone
    task.cancel()
    await client.close()


async def test_how_long_a_status_took_to_be_written():
    api, clock = PodApi(), FakeClock()
    client = Client(InProcessTransport(api.handler))
    writer = StatusWriter(client, await client.create(PODS, pod()), clock)
    name = "kubelet_pod_status_sync_duration_seconds_sum"
    before = counts.REGISTRY.sample_value(name)
    writer.set({"phase": "Pending"})
    clock.advance(1)
    writer.set({"phase": "Running"})
    clock.advance(2)
    task = asyncio.ensure_future(writer.run())
    await writer.flush()
    assert counts.REGISTRY.sample_value(name) - before == 3
    clock.advance(5)
    writer.set({"phase": "Failed"})
    clock.advance(1)
    await writer.flush()
    assert counts.REGISTRY.sample_value(name) - before == 4
    task.cancel()
    await client.close()
