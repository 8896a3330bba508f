"""Claims of ephemeral volumes: made with the pod, made again when one is removed, told of when in the way."""

from tiphys.apimachinery.errors import AlreadyExists, Forbidden
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PODS
from tiphys.controllers.ephemeralvolume.controller import EphemeralVolumeController
from tiphys.controllers.metrics import EPHEMERAL_CLAIMS, EPHEMERAL_FAILURES


def put_pod(world, *volumes):
    template = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    found = [{"name": name, "ephemeral": {"volumeClaimTemplate": template}} for name in volumes]
    return world.api.put(
        PODS,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "d"},
            "spec": {"volumes": [*found, {"name": "plain", "emptyDir": {}}]},
        },
    )


def names(world):
    return sorted(one["metadata"]["name"] for one in world.api.all(PERSISTENT_VOLUME_CLAIMS))


def counted():
    return EPHEMERAL_CLAIMS.labels().value, EPHEMERAL_FAILURES.labels().value


async def test_made_with_the_pod_and_again_after_one_is_gone(world):
    made, failed = counted()
    pod = put_pod(world, "scratch", "cache")
    async with world.running(EphemeralVolumeController):
        assert names(world) == ["p-cache", "p-scratch"]
        claim = world.api.get(PERSISTENT_VOLUME_CLAIMS, "p-cache", "d")
        assert claim["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        world.api.remove(PERSISTENT_VOLUME_CLAIMS, "p-cache", "d")
        await world.settle()
        assert names(world) == ["p-cache", "p-scratch"]
    assert counted() == (made + 3, failed)


async def test_one_that_is_not_the_pods_is_in_the_way(world):
    world.api.put(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "p-scratch", "namespace": "d"}, "spec": {}})
    put_pod(world, "scratch", "cache")
    async with world.running(EphemeralVolumeController):
        assert names(world) == ["p-cache", "p-scratch"]
        (text,) = [text for reason, text in world.events() if reason == "FailedBinding"]
        assert text == (
            "ephemeral volume scratch: PVC d/p-scratch was not created for pod d/p (pod is not owner)"
        )


async def test_one_that_somebody_made_a_moment_before_is_looked_at_again(world):
    def react(request):
        if request.method == "POST" and request.path.endswith("/persistentvolumeclaims"):
            world.api.reactors.clear()
            meta = {"name": "p-scratch", "namespace": "d"}
            world.api.put(PERSISTENT_VOLUME_CLAIMS, {"metadata": meta, "spec": {}})
            return AlreadyExists("there is one")
        return None

    world.api.reactors.append(react)
    _, failed = counted()
    put_pod(world, "scratch")
    async with world.running(EphemeralVolumeController):
        assert [reason for reason, _ in world.events()] == ["FailedBinding"]
    assert counted()[1] > failed


async def test_one_that_is_refused_is_tried_again(world):
    world.api.reactors.append(lambda request: Forbidden("quota") if request.method == "POST" else None)
    _, failed = counted()
    put_pod(world, "scratch")
    async with world.running(EphemeralVolumeController):
        assert names(world) == []
        assert counted()[1] > failed
        world.api.reactors.clear()
        await world.advance(1000)
        assert names(world) == ["p-scratch"]
