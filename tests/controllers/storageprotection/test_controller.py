"""Claims and volumes that are kept while they are used, and let go when they are not."""

import pytest

from tiphys.apimachinery.errors import Conflict
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from tiphys.controllers.storageprotection.controller import PvcProtectionController, PvProtectionController
from tiphys.controllers.storageprotection.plan import CLAIM_FINALIZER, VOLUME_FINALIZER

GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
BY_NAME = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
OWN = {"name": "scratch", "ephemeral": {}}


def put_claim(world, name="data", **meta):
    meta = {"name": name, "namespace": "d", **meta}
    return world.api.put(PERSISTENT_VOLUME_CLAIMS, {"metadata": meta, "spec": {}})


def put_pod(world, *volumes, name="p", node="n1", **meta):
    spec = {"volumes": list(volumes), **({"nodeName": node} if node else {})}
    return world.api.put(PODS, {"metadata": {"name": name, "namespace": "d", **meta}, "spec": spec})


def claim(world, name="data"):
    return world.api.get(PERSISTENT_VOLUME_CLAIMS, name, "d")


async def test_a_claim_is_protected_from_its_beginning(world):
    put_claim(world)
    async with world.running(PvcProtectionController):
        assert claim(world)["metadata"]["finalizers"] == [CLAIM_FINALIZER]
        writes = len(world.api.writes())
        await world.advance(600)
        assert len(world.api.writes()) == writes


async def test_a_claim_goes_with_the_last_pod_that_uses_it(world):
    put_claim(world, finalizers=[CLAIM_FINALIZER], **GOING)
    for name in ("a", "b"):
        put_pod(world, BY_NAME, name=name)
    put_pod(world, BY_NAME, name="nowhere yet", node="")
    async with world.running(PvcProtectionController):
        assert claim(world) is not None
        world.api.remove(PODS, "a", "d")
        await world.settle()
        assert claim(world) is not None
        world.api.remove(PODS, "b", "d")
        await world.settle()
        assert claim(world) is None


async def test_a_pod_that_the_cache_has_not_seen_yet_holds_its_claim(world):
    """The server is asked before a claim is let go."""
    put_claim(world, finalizers=[CLAIM_FINALIZER], **GOING)
    hidden = []

    def react(request):
        if request.path.endswith("/namespaces/d/pods") and "watch" not in request.raw_query and not hidden:
            hidden.append(put_pod(world, BY_NAME))

    world.api.reactors.append(react)
    async with world.running(PvcProtectionController):
        assert hidden
        assert claim(world) is not None


@pytest.mark.parametrize(
    ("volume", "name", "grace_s", "held"),
    [(OWN, "p-scratch", 30, True), (OWN, "p-scratch", 0, False), (BY_NAME, "data", 0, True)],
    ids=["still ending", "its own", "another's"],
)
async def test_a_pod_that_waits_for_its_own_claim_does_not_hold_it(world, volume, name, grace_s, held):
    """Deleted in the foreground, a pod goes after the claims that were made for it."""
    pod = put_pod(world, volume, finalizers=["foregroundDeletion"])
    put_claim(world, name, finalizers=[CLAIM_FINALIZER], **GOING)
    async with world.running(PvcProtectionController):
        assert claim(world, name) is not None
        world.api.put(
            PODS, {**pod, "metadata": {**pod["metadata"], **GOING, "deletionGracePeriodSeconds": grace_s}}
        )
        await world.settle()
        assert (claim(world, name) is not None) is held


async def test_a_lost_race_is_run_again(world):
    put_claim(world, finalizers=[CLAIM_FINALIZER, "mine"], **GOING)
    lost = []

    def react(request):
        if request.method == "PUT" and not lost:
            lost.append(request)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(PvcProtectionController):
        assert lost
        assert claim(world)["metadata"]["finalizers"] == ["mine"]


@pytest.mark.parametrize(("phase", "kept"), [("Bound", True), ("Released", False), ("Available", False)])
async def test_a_bound_volume_is_kept(world, phase, kept):
    meta = {"name": "v", "finalizers": [VOLUME_FINALIZER], **GOING}
    world.api.put(PERSISTENT_VOLUMES, {"metadata": meta, "spec": {}, "status": {"phase": phase}})
    world.api.put(PERSISTENT_VOLUMES, {"metadata": {"name": "new"}, "spec": {}})
    async with world.running(PvProtectionController):
        assert (world.api.get(PERSISTENT_VOLUMES, "v") is not None) is kept
        assert world.api.get(PERSISTENT_VOLUMES, "new")["metadata"]["finalizers"] == [VOLUME_FINALIZER]
        if kept:
            live = world.api.get(PERSISTENT_VOLUMES, "v")
            world.api.put(PERSISTENT_VOLUMES, {**live, "status": {"phase": "Released"}})
            await world.settle()
            assert world.api.get(PERSISTENT_VOLUMES, "v") is None
