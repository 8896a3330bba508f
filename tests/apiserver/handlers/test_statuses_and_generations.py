"""What the server says of new objects and of changed ones by itself: statuses, times, generations."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


VOLUMES = "/api/v1/persistentvolumes"
SPEC = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
TIME = "lastPhaseTransitionTime"
CHOSEN = "2020-01-01T00:00:00Z"


async def test_since_when_a_volume_is_in_its_phase(api: Any) -> None:
    made = await api.create(VOLUMES, {"metadata": {"name": "v"}, "spec": SPEC, "status": {TIME: CHOSEN}})
    now = made["metadata"]["creationTimestamp"]
    assert made["status"] == {"phase": "Pending", TIME: now}
    for status, expected in (
        ({"phase": "Pending", "message": "no time of its own"}, now),
        ({"phase": "Available", TIME: CHOSEN}, CHOSEN),
        ({"phase": "Available"}, CHOSEN),
        ({"phase": "Bound", TIME: CHOSEN}, now),
        ({"phase": "Bound", TIME: CHOSEN}, CHOSEN),
        ({"phase": "Released"}, now),
    ):
        made["metadata"].pop("resourceVersion", None)
        after = (await api.put(f"{VOLUMES}/v/status", {**made, "status": status}))["status"]
        assert after == {**status, TIME: expected}
    await api.patch(f"{VOLUMES}/v", {"metadata": {"finalizers": None}})


async def test_the_class_of_a_priority_keeps_its_generation(api: Any) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made = await api.create(path, {"metadata": {"name": "c"}, "value": 7})
    changed = await api.put(f"{path}/c", {**made, "description": "other"})
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 1)


async def test_the_status_of_a_range_is_open(api: Any) -> None:
    """Upstream resets it in neither way."""
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    ready = {"type": "Ready", "status": "True", "reason": "", "message": "", "lastTransitionTime": CHOSEN}
    made = await api.create(
        path,
        {"metadata": {"name": "c"}, "spec": {"cidrs": ["192.0.2.0/24"]}, "status": {"conditions": [ready]}},
    )
    assert made["status"]["conditions"] == [ready]
    changed = await api.put(f"{path}/c", {**made, "status": {}})
    assert changed["status"] == {}


@pytest.mark.parametrize("held", [False, True], ids=["at once", "when its last finalizer goes"])
async def test_the_endpoints_of_a_service_go_with_it(api: Any, held: bool) -> None:
    root, finalizers = "/api/v1/namespaces/default", ["example.com/held"] if held else []
    ports = {"ports": [{"port": 80}]}
    await api.create(f"{root}/services", {"metadata": {"name": "s", "finalizers": finalizers}, "spec": ports})
    for name in ("s", "other"):
        await api.create(f"{root}/endpoints", {"metadata": {"name": name}})
    dry = await api("DELETE", f"{root}/services/s?dryRun=All")
    assert (dry.status, (await api("GET", f"{root}/endpoints/s")).status) == (200, 200)
    await api("DELETE", f"{root}/services/s")
    if held:
        assert (await api("GET", f"{root}/endpoints/s")).status == 200
        await api.patch(f"{root}/services/s", {"metadata": {"finalizers": None}})
    found = [(await api("GET", f"{root}/endpoints/{name}")).status for name in ("s", "other")]
    assert found == [404, 200]
