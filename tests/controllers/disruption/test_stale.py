"""An end that was announced and does not come."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.client.kinds import PODS
from tiphys.controllers.disruption.stale import StaleDisruptions, stale_in_s

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(phase="Running", *, ago_s=0, reason="EvictionByEvictionAPI", status="True", now=NOW, **meta):
    told = {
        "type": "DisruptionTarget",
        "status": status,
        "reason": reason,
        "lastTransitionTime": rfc3339(now - timedelta(seconds=ago_s)),
    }
    ready = {"type": "Ready", "status": "True"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", **meta},
        "status": {"phase": phase, "conditions": [ready, told]},
    }


@pytest.mark.parametrize(
    ("found", "left_s"),
    [
        pytest.param(pod(), 120, id="just told"),
        pytest.param(pod(ago_s=50), 70, id="told a while ago"),
        pytest.param(pod(ago_s=200), -80, id="told too long ago"),
        pytest.param(pod("Pending", ago_s=200), -80, id="never started"),
        pytest.param(pod(status="False"), None, id="taken back already"),
        pytest.param(pod("Failed", ago_s=200), None, id="it came to its end"),
        pytest.param(pod("Succeeded", ago_s=200), None, id="it came to a good end"),
        pytest.param(pod(ago_s=200, deletionTimestamp=rfc3339(NOW)), None, id="on its way out"),
        pytest.param(pod(reason="TerminationByKubelet", ago_s=200), None, id="the kubelet takes its time"),
        pytest.param({"metadata": {}, "status": {}}, None, id="nothing was told"),
    ],
)
def test_how_long_it_is_believed(found, left_s):
    assert stale_in_s(found, NOW) == left_s


async def test_it_is_taken_back_after_two_minutes(world):
    world.api.put(PODS, pod(now=world.clock.now()))

    def told():
        return {one["type"]: one["status"] for one in world.api.get(PODS, "p", "d")["status"]["conditions"]}

    async with world.running(StaleDisruptions):
        await world.advance(119)
        assert told() == {"Ready": "True", "DisruptionTarget": "True"}
        await world.advance(2)
        assert told() == {"Ready": "True", "DisruptionTarget": "False"}
