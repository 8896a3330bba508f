"""Claims and volumes find each other on the fake API, one after the other and without waiting."""

import asyncio

from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController

COUNT = 20


def volume(index):
    spec = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "x",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"},
    }  # fmt: skip
    meta = {"name": f"v{index}"}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec, "status": {}}


def claim(index):
    requests = {"requests": {"storage": "1Gi"}}
    spec = {"storageClassName": "x", "accessModes": ["ReadWriteOnce"], "resources": requests}
    meta = {"name": f"c{index}", "namespace": "d"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": {}}


def fill(world):
    for index in range(COUNT):
        world.api.put(PERSISTENT_VOLUMES, volume(index))
        world.api.put(PERSISTENT_VOLUME_CLAIMS, claim(index))


async def test_many_claims_are_bound_each_to_a_volume_of_its_own_without_time_going_by(world):
    fill(world)
    before = world.clock.monotonic()
    async with world.running(PersistentVolumeController):
        claims, volumes = world.api.all(PERSISTENT_VOLUME_CLAIMS), world.api.all(PERSISTENT_VOLUMES)
        assert {item["status"]["phase"] for item in (*claims, *volumes)} == {"Bound"}
        names = {item["spec"]["volumeName"]: item["metadata"]["name"] for item in claims}
        assert len(names) == COUNT
        found = {item["metadata"]["name"]: item["spec"]["claimRef"]["name"] for item in volumes}
        assert found == names
        assert world.clock.monotonic() == before


async def test_a_cache_that_does_not_catch_up_stops_nobody_for_long(world, monkeypatch):
    """What is written and never shows is waited for a moment, then the key comes back later."""
    monkeypatch.setattr("tiphys.controllers.persistentvolume.controller._SETTLE_S", 0.01)
    async with world.running(PersistentVolumeController):
        (controller,) = world.controllers
        controller._volume_writes.wrote("volume:", {"metadata": {"resourceVersion": "1000000"}})
        world.api.put(PERSISTENT_VOLUME_CLAIMS, claim(0))
        async with asyncio.timeout(5):
            while controller.queue.next_due is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert controller.queue.next_due - world.clock.monotonic() <= 0.01
