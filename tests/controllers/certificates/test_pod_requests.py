"""Requests for pods' certificates go a quarter of an hour after they were made."""

from datetime import timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.client.kinds import POD_CERTIFICATE_REQUESTS
from tiphys.controllers.certificates.pod_requests import PodCertificateCleaner, left_s


def request(name, made, **status):
    meta = {"name": name, "namespace": "d", "creationTimestamp": rfc3339(made)}
    return {"metadata": meta, "spec": {}, "status": status}


@pytest.mark.parametrize(("age_s", "left"), [(0, 900), (899, 1), (900, 0), (3600, -2700)])
def test_how_long_one_is_kept(world, age_s, left):
    now = world.clock.now()
    assert left_s(request("r", now - timedelta(seconds=age_s)), now) == left


async def test_old_requests_go(world):
    now = world.clock.now()
    world.api.put(POD_CERTIFICATE_REQUESTS, request("old", now - timedelta(minutes=16)))
    world.api.put(POD_CERTIFICATE_REQUESTS, request("answered", now, conditions=[{"type": "Issued"}]))
    async with world.running(PodCertificateCleaner):
        assert world.api.get(POD_CERTIFICATE_REQUESTS, "old", "d") is None
        world.api.put(POD_CERTIFICATE_REQUESTS, request("asked", now + timedelta(minutes=10)))
        await world.settle()
        await world.advance(14 * 60)
        assert world.api.get(POD_CERTIFICATE_REQUESTS, "answered", "d") is not None
        await world.advance(60)
        assert world.api.get(POD_CERTIFICATE_REQUESTS, "answered", "d") is None
        assert world.api.get(POD_CERTIFICATE_REQUESTS, "asked", "d") is not None
